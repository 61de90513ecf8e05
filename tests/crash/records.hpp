// What the processes of a crash test write, and what must be there afterwards.
//
// A writer writes records 0, 1, 2, ... each to the key, and with as many bytes, as its plan says. How many it has
// begun and how many were acknowledged stands in memory that all processes share, so that it outlives the writer.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <shoal/store.hpp>

#include "../store/result_checks.hpp"
#include "../store/shared_counters.hpp"

namespace shoal_test {

inline constexpr std::string_view kAside = "aside ";  // keys of which nobody keeps account begin so

struct Plan {
    std::function<std::string(std::uint64_t)> key;
    std::function<std::size_t(std::uint64_t)> bytes;
    std::size_t pieces = 1;
    bool fleeting = false;  // who has written a record erases its key
};

inline std::string record_text(std::size_t writer, std::uint64_t number, std::size_t bytes) {
    std::string text = std::to_string(writer) + "." + std::to_string(number) + "|";
    const std::size_t head = text.size();
    text.resize(std::max(head, bytes));
    std::uint64_t word = (writer * 31 + number) * 0x9e3779b97f4a7c15;
    // Sixteen letters, eight at once: thousands of records are compared at each crash point.
    for (std::size_t at = head; at < text.size(); at += sizeof word, word = word * 5 + 1) {
        const std::uint64_t letters = (word >> 4 & 0x0f0f0f0f0f0f0f0f) + 0x6161616161616161;
        std::memcpy(text.data() + at, &letters, std::min(sizeof letters, text.size() - at));
    }
    return text;
}

class Records {
public:
    static constexpr std::size_t kWriters = 400;

    Records() : counts_(2 * kWriters) {}

    // A writer for one process, to be made before the fork.
    std::size_t add_writer(Plan plan) {
        plans_.push_back(std::move(plan));
        return plans_.size() - 1;
    }
    [[nodiscard]] std::uint64_t acknowledged(std::size_t writer) const { return counts_[2 * writer].load(); }
    [[nodiscard]] std::uint64_t begun(std::size_t writer) const { return counts_[2 * writer + 1].load(); }
    [[nodiscard]] const Plan& plan(std::size_t writer) const { return plans_[writer]; }

    // The writer's next records, in one call.
    shoal::Result<void> append(shoal::Store& store, std::size_t writer, std::uint64_t count = 1) {
        const Plan& plan = plans_[writer];
        const std::uint64_t first = acknowledged(writer);
        std::vector<std::string> keys, texts;
        for (std::uint64_t number = first; number < first + count; ++number) {
            keys.push_back(plan.key(number));
            texts.push_back(record_text(writer, number, plan.bytes(number)));
        }
        counts_[2 * writer + 1].store(first + count);
        auto done = count == 1 ? append_pieces(store, keys[0], texts[0], plan.pieces) : [&] {
            std::vector<shoal::Pair> pairs;
            for (std::size_t at = 0; at < count; ++at) pairs.emplace_back(keys[at], texts[at]);
            return store.append(pairs);
        }();
        if (done) counts_[2 * writer].store(first + count);
        return done;
    }

    // The writer's next record, and its key erased.
    std::string append_and_erase(shoal::Store& store, std::size_t writer) {
        const std::string key = plans_[writer].key(acknowledged(writer));
        EXPECT_OK(append(store, writer));
        const auto erased = store.erase(key);
        EXPECT_OK(erased);
        EXPECT(*erased);
        return {};
    }

    // The next one by iset: each key is new.
    shoal::Result<bool> iset(shoal::Store& store, std::size_t writer) {
        const std::uint64_t number = acknowledged(writer);
        counts_[2 * writer + 1].store(number + 1);
        auto done =
            store.iset(plans_[writer].key(number), record_text(writer, number, plans_[writer].bytes(number)));
        if (done) counts_[2 * writer].store(number + 1);
        return done;
    }

    // What the writers so far have written to `key`, or to all keys, may be there or not: they are erased, or were
    // while they were written.
    void may_be_gone(const std::string& key) { gone_in_[key] = plans_.size(); }
    void may_all_be_gone() { gone_ = plans_.size(); }

    // "" or what is wrong: every acknowledged record exactly once, each writer's in its order, those in flight at
    // most once and after them, and nothing else; keys(), get() and records() say the same.
    [[nodiscard]] std::string check(const shoal::Store& store) const {
        std::map<std::string, std::vector<std::vector<std::uint64_t>>> acknowledged_in, in_flight_in;
        for (std::size_t writer = 0; writer < plans_.size(); ++writer) {
            for (std::uint64_t number = 0; number < begun(writer); ++number) {
                auto& keys = number < acknowledged(writer) ? acknowledged_in : in_flight_in;
                auto& numbers = keys[plans_[writer].key(number)];
                numbers.resize(plans_.size());
                numbers[writer].push_back(number);
            }
        }
        const auto keys = store.keys();
        EXPECT_OK(keys);
        std::set<std::string> there;
        for (const auto& key : *keys) {
            if (!there.emplace(key.text()).second) return "keys() has twice: " + std::string(key.text());
        }
        for (const auto& [key, numbers] : acknowledged_in) {
            for (std::size_t writer = first_that_must_be(key); writer < numbers.size(); ++writer) {
                if (!plans_[writer].fleeting && !numbers[writer].empty() && there.count(key) == 0)
                    return "keys() has not: " + key;
            }
        }
        for (const std::string& key : there) {
            if (key.starts_with(kAside)) continue;
            const std::string wrong = check_key(store, key, acknowledged_in[key], in_flight_in[key]);
            if (!wrong.empty()) return "key " + key + ": " + wrong;
        }
        return {};
    }

private:
    using Numbers = std::vector<std::vector<std::uint64_t>>;  // by writer

    static shoal::Result<void> append_pieces(shoal::Store& store, const std::string& key, const std::string& text,
                                             std::size_t pieces) {
        std::vector<shoal::ByteView> views;
        for (std::size_t at = 0; at < pieces; ++at) {
            const std::size_t from = text.size() * at / pieces, to = text.size() * (at + 1) / pieces;
            views.emplace_back(text.data() + from, to - from);
        }
        return store.append(key, views);
    }

    [[nodiscard]] std::string check_key(const shoal::Store& store, const std::string& key,
                                        Numbers acknowledged_here, Numbers in_flight_here) const {
        acknowledged_here.resize(plans_.size());
        in_flight_here.resize(plans_.size());
        const auto records = store.records(key);
        EXPECT_OK(records);
        const auto value = store.get(key);
        EXPECT_OK(value);
        std::string joined;
        Numbers found(plans_.size());
        for (const auto record : *records) {
            joined += record.text();
            std::size_t writer = 0;
            unsigned long long number = 0;
            const std::string_view text = record.text();
            const char* const end = text.data() + text.size();
            const auto dot = std::from_chars(text.data(), end, writer);
            const auto bar = std::from_chars(std::min(dot.ptr + 1, end), end, number);
            if (dot.ec != std::errc() || bar.ec != std::errc() || writer >= plans_.size() ||
                plans_[writer].key(number) != key ||
                text != record_text(writer, number, plans_[writer].bytes(number)))
                return "no record of ours: " + std::string(text.substr(0, 60));
            found[writer].push_back(number);
        }
        if (value->text() != joined) return "get() is not its records";
        for (std::size_t writer = 0; writer < plans_.size(); ++writer) {
            const auto& must = acknowledged_here[writer];
            const auto& may = in_flight_here[writer];
            const auto& is = found[writer];
            const std::string who = "writer " + std::to_string(writer) + ": ";
            if (std::adjacent_find(is.begin(), is.end(), std::greater_equal<>()) != is.end())
                return who + "a record twice, or not in order";
            std::vector<std::uint64_t> known = must;
            known.insert(known.end(), may.begin(), may.end());
            if (!std::includes(known.begin(), known.end(), is.begin(), is.end())) return who + "one never written";
            if (plans_[writer].fleeting) continue;
            const bool whole = std::includes(is.begin(), is.end(), must.begin(), must.end());
            if (writer >= first_that_must_be(key) && !whole)
                return who + "an acknowledged record is missing of " + std::to_string(must.size());
            if (writer >= gone_ && !is.empty() && !whole) return who + "a part is erased";
        }
        return {};
    }

    [[nodiscard]] std::size_t first_that_must_be(const std::string& key) const {
        const auto found = gone_in_.find(key);
        return std::max(gone_, found == gone_in_.end() ? 0 : found->second);
    }

    std::vector<Plan> plans_;
    std::map<std::string, std::size_t> gone_in_;  // writers before that one may be missing
    std::size_t gone_ = 0;                        // the same for all keys
    SharedCounters counts_;
};

}  // namespace shoal_test
