// Writers and readers of numbered records, for threads and for processes alike. Each returns what failed.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "closed_cut_checker.hpp"
#include "ledger.hpp"
#include "numbered_record.hpp"
#include "result_checks.hpp"

namespace shoal_test {

inline std::string key_name(std::size_t key) { return "shared key " + std::to_string(key); }

enum class Mode { kOneAtATime, kBatches, kBoth };

class NumberedWriter {
public:
    NumberedWriter(shoal::Store& store, Ledger& ledger, std::size_t writer)
        : store_(store), ledger_(ledger), writer_(writer), random_(writer * 7919 + 1), next_(ledger.keys(), 0) {}

    // At least `records` records to keys at random; stops early when the ledger is finished.
    std::string write(std::uint64_t records, Mode mode) {
        if (std::string wrong = make_handles(); !wrong.empty()) return wrong;
        const std::uint64_t end = written_ + records;
        while (written_ < end && !ledger_.finished()) {
            if (!ledger_.may_write()) {
                std::this_thread::yield();
                continue;
            }
            const bool batch = mode == Mode::kBatches || (mode == Mode::kBoth && next_random(random_) % 4 == 0);
            const std::string wrong = batch ? append_batch() : append_one();
            if (wrong.empty()) continue;
            ledger_.finish();  // who waits for more records must not wait for ever
            return wrong;
        }
        return {};
    }

private:
    std::string make_handles() {
        while (handles_.size() < ledger_.keys()) {
            auto handle = store_.key(key_name(handles_.size()));
            EXPECT_OK(handle);
            handles_.push_back(*handle);
        }
        return {};
    }

    // Mostly small, at times larger than a first segment, rarely larger than any.
    std::size_t filler_bytes() {
        const std::uint64_t word = next_random(random_);
        if (word % 1024 == 0) return (word >> 32) % 150'000;
        if (word % 32 == 0) return (word >> 32) % 5'000;
        return (word >> 32) % 100;
    }

    std::string next_record(std::size_t key) {
        NumberedRecord head{};
        head.writer = static_cast<std::uint32_t>(writer_);
        head.own_acknowledged = ledger_.acknowledged(writer_, key);
        head.seen_writer = static_cast<std::uint32_t>(next_random(random_) % ledger_.writers());
        head.seen_key = static_cast<std::uint32_t>(next_random(random_) % ledger_.keys());
        head.seen_acknowledged = ledger_.acknowledged(head.seen_writer, head.seen_key);
        head.number = next_[key]++;
        ++written_;
        return make_record(head, filler_bytes());
    }

    std::string append_one() {
        const std::size_t key = next_random(random_) % ledger_.keys();
        const std::string record = next_record(key);
        ledger_.begin(writer_, key, next_[key]);
        switch (next_random(random_) % 3) {
            case 0:
                EXPECT_OK(store_.append(key_name(key), record));
                break;
            case 1:
                EXPECT_OK(store_.append(handles_[key], record));
                break;
            default: {
                const std::string_view text = record;
                const shoal::ByteView pieces[] = {text.substr(0, 11), text.substr(11, 30), text.substr(41)};
                EXPECT_OK(store_.append(key_name(key), pieces));
            }
        }
        ledger_.acknowledge(writer_, key, next_[key]);
        return {};
    }

    std::string append_batch() {
        const std::size_t size = 1 + next_random(random_) % 48;
        std::vector<std::size_t> keys;
        std::vector<std::string> records, names;
        std::vector<shoal::Pair> batch;
        for (std::size_t i = 0; i < size; ++i) {
            keys.push_back(next_random(random_) % ledger_.keys());
            records.push_back(next_record(keys.back()));
            names.push_back(key_name(keys.back()));
        }
        for (std::size_t i = 0; i < size; ++i) {
            if (i % 2 == 0)
                batch.emplace_back(handles_[keys[i]], records[i]);
            else
                batch.emplace_back(shoal::ByteView(names[i]), records[i]);
        }
        for (const std::size_t key : keys) ledger_.begin(writer_, key, next_[key]);
        EXPECT_OK(store_.append(batch));
        for (const std::size_t key : keys) ledger_.acknowledge(writer_, key, next_[key]);
        return {};
    }

    shoal::Store& store_;
    Ledger& ledger_;
    std::size_t writer_;
    std::uint64_t random_;
    std::uint64_t written_ = 0;
    std::vector<std::uint64_t> next_;  // [key]
    std::vector<shoal::Key> handles_;
};

// Reads all keys once, each in one of the ways that the API has, and checks each cut.
inline std::string read_and_check(const shoal::Store& store, ClosedCutChecker& checker, std::size_t keys,
                                  std::uint64_t way) {
    for (std::size_t key = 0; key < keys; ++key) {
        const std::string name = key_name(key);
        checker.before_get(key);
        std::string value;
        shoal::Result<void> found;
        switch ((way + key) % 4) {
            case 0: {
                auto got = store.get(name);
                if (got) value = got->str();
                if (!got) found = tl::unexpected(got.error());
                break;
            }
            case 1: {
                auto records = store.records(name);
                if (!records) found = tl::unexpected(records.error());
                if (!records) break;
                for (const shoal::ByteView record : *records) {
                    NumberedRecord head{};
                    std::string_view rest = record.text();
                    const std::string wrong = take_record(rest, head);
                    EXPECT(wrong.empty() && rest.empty());
                    value += record.text();
                }
                break;
            }
            case 2: {
                auto view = store.view(name);
                if (!view) found = tl::unexpected(view.error());
                if (!view) break;
                for (const shoal::ByteView span : view->spans()) value += span.text();
                EXPECT(value.size() == view->bytes());
                break;
            }
            default: {
                const shoal::ByteView asked[] = {name, "a key that nobody writes"};
                auto both = store.get(asked);
                EXPECT(both.size() == 2);
                EXPECT_CODE(both[1], shoal::Code::kNotFound);
                if (both[0]) value = both[0]->str();
                if (!both[0]) found = tl::unexpected(both[0].error());
            }
        }
        if (!found) EXPECT_CODE(found, shoal::Code::kNotFound);
        if (std::string wrong = checker.after_get(key, value); !wrong.empty()) return wrong;
    }
    return {};
}

// Reads until the ledger is finished, and once more after that.
inline std::string read_until_finished(const shoal::Store& store, const Ledger& ledger, ClosedCutChecker& checker) {
    bool last = false;
    for (std::uint64_t way = 0; !last; ++way) {
        last = ledger.finished();
        if (std::string wrong = read_and_check(store, checker, ledger.keys(), way); !wrong.empty()) return wrong;
    }
    return {};
}

// What the store must hold when all writers are done or dead: every record exactly once (the checker's I2 and
// I3), none that was not begun.
inline std::string check_at_rest(const shoal::Store& store, const Ledger& ledger, ClosedCutChecker& checker) {
    for (std::uint64_t way = 0; way < 4; ++way)
        if (std::string wrong = read_and_check(store, checker, ledger.keys(), way); !wrong.empty()) return wrong;
    for (std::size_t key = 0; key < ledger.keys(); ++key) {
        std::uint64_t least = 0, most = 0;
        for (std::size_t writer = 0; writer < ledger.writers(); ++writer) {
            least += ledger.acknowledged(writer, key);
            most += ledger.begun(writer, key);
        }
        EXPECT(checker.order(key).size() >= least);
        EXPECT(checker.order(key).size() <= most);
    }
    return {};
}

}  // namespace shoal_test
