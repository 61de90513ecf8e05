// What writers have begun and what was acknowledged, in memory that all processes of a test share. A record is
// begun before append is called and acknowledged after it returned: so a death in between leaves a record that
// may or may not be there, and never one that is forgotten.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared_counters.hpp"

namespace shoal_test {

class Ledger {
public:
    Ledger(std::size_t writers, std::size_t keys)
        : writers_(writers), keys_(keys), begun_(writers * keys), acknowledged_(writers * keys), finished_(1) {}

    std::size_t writers() const { return writers_; }
    std::size_t keys() const { return keys_; }

    void begin(std::size_t writer, std::size_t key, std::uint64_t records) {
        begun_[at(writer, key)].store(records);
    }
    void acknowledge(std::size_t writer, std::size_t key, std::uint64_t records) {
        acknowledged_[at(writer, key)].store(records);
    }
    std::uint64_t begun(std::size_t writer, std::size_t key) const { return begun_[at(writer, key)].load(); }
    std::uint64_t acknowledged(std::size_t writer, std::size_t key) const {
        return acknowledged_[at(writer, key)].load();
    }
    std::uint64_t acknowledged_in_all() const {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < acknowledged_.size(); ++i) sum += acknowledged_[i].load();
        return sum;
    }

    // Tells readers and eternal writers to end.
    void finish() { finished_[0].store(1); }
    bool finished() const { return finished_[0].load() != 0; }

private:
    std::size_t at(std::size_t writer, std::size_t key) const { return writer * keys_ + key; }

    std::size_t writers_;
    std::size_t keys_;
    SharedCounters begun_;
    SharedCounters acknowledged_;
    SharedCounters finished_;
};

}  // namespace shoal_test
