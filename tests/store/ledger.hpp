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
        : writers_(writers), keys_(keys), begun_(writers * keys), acknowledged_(writers * keys), whole_(3) {
        allow(UINT64_MAX);
    }

    std::size_t writers() const { return writers_; }
    std::size_t keys() const { return keys_; }

    void begin(std::size_t writer, std::size_t key, std::uint64_t records) {
        begun_[at(writer, key)].store(records);
    }
    void acknowledge(std::size_t writer, std::size_t key, std::uint64_t records) {
        const std::uint64_t before = acknowledged_[at(writer, key)].exchange(records);
        whole_[kTotal].fetch_add(records - before);
    }
    std::uint64_t begun(std::size_t writer, std::size_t key) const { return begun_[at(writer, key)].load(); }
    std::uint64_t acknowledged(std::size_t writer, std::size_t key) const {
        return acknowledged_[at(writer, key)].load();
    }
    std::uint64_t acknowledged_in_all() const { return whole_[kTotal].load(); }

    // Eternal writers pause while so many are acknowledged in all, so that a slow reader bounds the test.
    void allow(std::uint64_t records_in_all) { whole_[kAllowance].store(records_in_all); }
    bool may_write() const { return whole_[kTotal].load() < whole_[kAllowance].load(); }

    // Tells readers and eternal writers to end.
    void finish() { whole_[kFinished].store(1); }
    bool finished() const { return whole_[kFinished].load() != 0; }

private:
    enum Whole : std::size_t { kTotal, kAllowance, kFinished };

    std::size_t at(std::size_t writer, std::size_t key) const { return writer * keys_ + key; }

    std::size_t writers_;
    std::size_t keys_;
    SharedCounters begun_;
    SharedCounters acknowledged_;
    SharedCounters whole_;
};

}  // namespace shoal_test
