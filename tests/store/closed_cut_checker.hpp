// Checks that every get of one reader is a closed cut of one order (DESIGN, "Promises"). Call before_get, read
// the value, call after_get; it says what is wrong:
//   I1  each record is whole;
//   I2  each writer's records are in the order it wrote them, each at most once;
//   I3  every record that was acknowledged before the get began is there;
//   I4  a record is only there, and only behind, what its writer knew to be acknowledged when it began it: at
//       once for the same key, in every later get for another key;
//   I5  what an earlier get gave is in this one, in the same order.
// A writer's records may have a gap only where a batch of it is in flight (or died): I3 and I4 bound the gap.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger.hpp"
#include "numbered_record.hpp"

namespace shoal_test {

class ClosedCutChecker {
public:
    explicit ClosedCutChecker(const Ledger& ledger)
        : ledger_(ledger),
          required_(ledger.keys(), std::vector<std::uint64_t>(ledger.writers(), 0)),
          order_(ledger.keys()) {}

    void before_get(std::size_t key) {
        for (std::size_t writer = 0; writer < ledger_.writers(); ++writer)
            raise(key, writer, ledger_.acknowledged(writer, key));
    }

    std::string after_get(std::size_t key, std::string_view value) {
        std::vector<std::uint64_t> order;
        std::vector<std::uint64_t> without_gap(ledger_.writers(), 0);
        std::vector<std::uint64_t> next(ledger_.writers(), 0);
        order.reserve(order_[key].size());
        NumberedRecord head{};
        while (!value.empty()) {
            std::string wrong = take_record(value, head);
            if (wrong.empty()) wrong = check_record(key, head, without_gap, next);
            if (!wrong.empty())
                return "key " + std::to_string(key) + ", after " + std::to_string(order.size()) +
                       " records: " + wrong;
            order.push_back(static_cast<std::uint64_t>(head.writer) << 40 | head.number);
        }
        for (std::size_t writer = 0; writer < ledger_.writers(); ++writer)
            if (without_gap[writer] < required_[key][writer])
                return "I3/I4: key " + std::to_string(key) + ", writer " + std::to_string(writer) + ": " +
                       std::to_string(required_[key][writer]) + " records were acknowledged, the first " +
                       std::to_string(without_gap[writer]) + " are there, then a gap (last number seen " +
                       std::to_string(next[writer]) + ")";
        if (!is_subsequence(order_[key], order)) return "I5: the order of key " + std::to_string(key) + " changed";
        order_[key] = std::move(order);
        return {};
    }

    // The order that the last get gave: (writer << 40 | number) of each record.
    const std::vector<std::uint64_t>& order(std::size_t key) const { return order_[key]; }

    std::uint64_t order_hash(std::size_t key) const {
        std::uint64_t hash = order_[key].size();
        for (const std::uint64_t record : order_[key]) {
            hash ^= record;
            hash = next_random(hash);
        }
        return hash;
    }

private:
    void raise(std::size_t key, std::size_t writer, std::uint64_t records) {
        required_[key][writer] = std::max(required_[key][writer], records);
    }

    std::string check_record(std::size_t key, const NumberedRecord& head, std::vector<std::uint64_t>& without_gap,
                             std::vector<std::uint64_t>& next) {
        if (head.writer >= ledger_.writers() || head.seen_writer >= ledger_.writers() ||
            head.seen_key >= ledger_.keys())
            return "I1: a record of another test";
        const std::string name = "writer " + std::to_string(head.writer) + " number " + std::to_string(head.number);
        if (head.number < next[head.writer])
            return "I2: " + name + " comes after number " + std::to_string(next[head.writer] - 1);
        if (without_gap[head.writer] < head.own_acknowledged)
            return "I4: " + name + " is there, and not all " + std::to_string(head.own_acknowledged) +
                   " that its writer knew to be acknowledged, only " + std::to_string(without_gap[head.writer]);
        if (head.number == without_gap[head.writer]) ++without_gap[head.writer];
        next[head.writer] = head.number + 1;
        if (head.seen_key != key) {
            raise(head.seen_key, head.seen_writer, head.seen_acknowledged);
        } else if (without_gap[head.seen_writer] < head.seen_acknowledged) {
            return "I4: " + name + " is there, and of writer " + std::to_string(head.seen_writer) + " only " +
                   std::to_string(without_gap[head.seen_writer]) + " of " + std::to_string(head.seen_acknowledged) +
                   " that were acknowledged before it was begun";
        }
        return {};
    }

    static bool is_subsequence(const std::vector<std::uint64_t>& part, const std::vector<std::uint64_t>& whole) {
        std::size_t found = 0;
        for (std::size_t i = 0; i < whole.size() && found < part.size(); ++i)
            if (whole[i] == part[found]) ++found;
        return found == part.size();
    }

    const Ledger& ledger_;
    std::vector<std::vector<std::uint64_t>> required_;  // [key][writer]: so many must be there from now on
    std::vector<std::vector<std::uint64_t>> order_;     // [key]
};

}  // namespace shoal_test
