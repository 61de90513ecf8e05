// Many threads on one store: every record accounted for, every get a closed cut of one order.
#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "erase_history.hpp"
#include "numbered_workload.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

// Writers and readers as threads; `stores` are shared out among them.
void run_writers_and_readers(std::vector<Store>& stores, Mode mode, std::size_t writers, std::size_t readers,
                             std::size_t keys, std::uint64_t records) {
    Ledger ledger(writers, keys);
    std::vector<ClosedCutChecker> checkers(readers, ClosedCutChecker(ledger));
    Threads reading, writing;
    for (std::size_t reader = 0; reader < readers; ++reader)
        reading.start(
            [&, reader] { return read_until_finished(stores[reader % stores.size()], ledger, checkers[reader]); });
    for (std::size_t writer = 0; writer < writers; ++writer)
        writing.start([&, writer] {
            return NumberedWriter(stores[writer % stores.size()], ledger, writer).write(records, mode);
        });
    const std::string written = writing.join();
    ledger.finish();
    REQUIRE(written == "");
    REQUIRE(reading.join() == "");
    ClosedCutChecker checker(ledger);
    for (Store& store : stores) REQUIRE(check_at_rest(store, ledger, checker) == "");
    for (const ClosedCutChecker& reader : checkers)
        for (std::size_t key = 0; key < keys; ++key) REQUIRE(reader.order(key) == checker.order(key));
    for (std::size_t writer = 0; writer < writers; ++writer)
        for (std::size_t key = 0; key < keys; ++key)
            REQUIRE(ledger.acknowledged(writer, key) == ledger.begun(writer, key));
}

std::vector<Store> one_store() {
    std::vector<Store> stores;
    auto store = Store::in_memory(with_limit(256 * kMiB));
    REQUIRE_OK(store);
    stores.push_back(std::move(*store));
    return stores;
}

}  // namespace

TEST_CASE("Threads that append one at a time: every get is a closed cut, at the end each record is there once",
          "[threads]") {
    auto stores = one_store();
    run_writers_and_readers(stores, Mode::kOneAtATime, 4, 2, 3, scaled(12'000));
}

TEST_CASE("Threads that append batches: every get is a closed cut, at the end each record is there once",
          "[threads]") {
    auto stores = one_store();
    run_writers_and_readers(stores, Mode::kBatches, 4, 2, 3, scaled(12'000));
}

TEST_CASE("Threads on one hot key, one at a time and in batches", "[threads]") {
    auto stores = one_store();
    run_writers_and_readers(stores, Mode::kBoth, 6, 1, 1, scaled(6'000));
}

TEST_CASE("Threads on several Store objects of one path in one process", "[threads]") {
    if (kThreadSanitizer) SHOAL_SKIP(kTwoMappings);  // a tail that a writer of another Store moves on
    TemporaryStore place;
    std::vector<Store> stores;
    for (int i = 0; i < 3; ++i) {
        auto store = Store::open(place.path(), with_limit(256 * kMiB));
        REQUIRE_OK(store);
        stores.push_back(std::move(*store));
    }
    run_writers_and_readers(stores, Mode::kBoth, 3, 3, 2, scaled(8'000));
}

TEST_CASE("What was acknowledged before an erase is gone, what was begun after it stays", "[threads]") {
    auto store = Store::in_memory(with_limit(128 * kMiB));
    REQUIRE_OK(store);
    constexpr std::size_t kWriters = 3;
    Ledger ledger(kWriters, 1);
    Threads writing;
    for (std::size_t writer = 0; writer < kWriters; ++writer)
        writing.start(
            [&, writer] { return NumberedWriter(*store, ledger, writer).write(UINT64_MAX / 2, Mode::kBoth); });
    EraseHistory history(*store, ledger);
    std::string wrong;
    for (std::size_t round = 0; wrong.empty() && round < scaled(400, 30); ++round)
        wrong = history.erase_and_check(round);
    ledger.finish();
    const std::string written = writing.join();
    CHECK(wrong == "");
    CHECK(written == "");
    CHECK(history.check() == "");
}

TEST_CASE("Threads that append, read, list and erase the same keys keep the store whole", "[threads]") {
    auto store = Store::in_memory(with_limit(128 * kMiB));
    REQUIRE_OK(store);
    Threads threads;
    for (std::uint64_t id = 0; id < 6; ++id) {
        threads.start([&, id]() -> std::string {
            std::uint64_t random = id;
            std::vector<shoal::Key> handles;
            for (int i = 0; i < 8; ++i) handles.push_back(*store->key("key " + std::to_string(i)));
            for (std::size_t i = 0; i < scaled(20'000); ++i) {
                const std::uint64_t word = next_random(random);
                const std::size_t at = word % handles.size();
                const std::string key = "key " + std::to_string(at);
                // Each record is one letter, repeated: a torn or foreign one shows.
                const std::string record((word >> 8) % 8 == 0 ? 5000 : 1 + (word >> 16) % 60,
                                         static_cast<char>('a' + at));
                switch ((word >> 32) % 10) {
                    case 0:
                        EXPECT_OK(store->erase(key));
                        break;
                    case 1: {
                        auto value = store->get(handles[at]);
                        if (!value) EXPECT_CODE(value, Code::kNotFound);
                        if (value)
                            EXPECT(value->text().find_first_not_of(static_cast<char>('a' + at)) ==
                                   std::string::npos);
                        break;
                    }
                    case 2: {
                        auto records = store->records(key);
                        if (!records) EXPECT_CODE(records, Code::kNotFound);
                        if (records)
                            for (const shoal::ByteView each : *records)
                                EXPECT(each.text().find_first_not_of(static_cast<char>('a' + at)) ==
                                       std::string::npos);
                        break;
                    }
                    case 3: {
                        auto keys = store->keys();
                        EXPECT_OK(keys);
                        EXPECT(keys->size() <= 8);
                        if ((word >> 40) % 64 == 0) EXPECT_OK(store->drop());
                        break;
                    }
                    case 4:
                        EXPECT_OK(store->iset(key, record));
                        break;
                    case 5: {
                        const shoal::Pair batch[] = {{handles[at], record}, {key, record}, {handles[at], record}};
                        EXPECT_OK(store->append(batch));
                        break;
                    }
                    default:
                        EXPECT_OK(store->append(handles[at], record));
                }
            }
            return {};
        });
    }
    REQUIRE(threads.join() == "");
    REQUIRE_OK(store->drop());
    CHECK(store->keys()->empty());
    CHECK(store->stats()->records == 0);
}

TEST_CASE("Of threads that race in iset exactly one sets, and all see its value", "[threads]") {
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    constexpr std::size_t kThreads = 4;
    const std::size_t keys = scaled(3000, 300);
    std::vector<std::atomic<int>> winners(keys), set(keys);
    StartLine line(kThreads);
    Threads threads;
    for (std::size_t id = 1; id <= kThreads; ++id) {
        threads.start([&, id]() -> std::string {
            line.arrive_and_wait();
            for (std::size_t key = 0; key < keys; ++key) {
                const std::string name = std::to_string(key);
                const std::string value(key % 100, static_cast<char>('0' + id));
                const auto did = store->iset(name, value);
                EXPECT_OK(did);
                if (*did) set[key].fetch_add(1);
                if (*did) winners[key].store(static_cast<int>(id));
                const auto seen = store->get(name);
                EXPECT_OK(seen);
                EXPECT(seen->size() == key % 100);
                if (*did) EXPECT(seen->text() == value);
            }
            return {};
        });
    }
    REQUIRE(threads.join() == "");
    for (std::size_t key = 0; key < keys; ++key) {
        REQUIRE(set[key] == 1);
        const std::string value(key % 100, static_cast<char>('0' + winners[key]));
        REQUIRE(store->get(std::to_string(key))->text() == value);
        REQUIRE(store->size(std::to_string(key))->records == 1);
    }
}

TEST_CASE("Threads that insert the same and other keys while the index grows: keys gives each once", "[threads]") {
    auto store = Store::in_memory(with_limit(256 * kMiB));
    REQUIRE_OK(store);
    const std::size_t own = scaled(20'000), shared = scaled(10'000), before = 500;
    for (std::size_t i = 0; i < before; ++i) REQUIRE_OK(store->append("before " + std::to_string(i), "x"));
    std::atomic<bool> done{false};
    Threads inserting, listing;
    listing.start([&]() -> std::string {
        while (!done.load()) {
            const auto keys = store->keys();
            EXPECT_OK(keys);
            std::size_t old_keys = 0;
            std::vector<std::string> names;
            for (const shoal::Bytes& key : *keys) {
                names.push_back(key.str());
                if (names.back().rfind("before ", 0) == 0) ++old_keys;
            }
            std::sort(names.begin(), names.end());
            EXPECT(std::adjacent_find(names.begin(), names.end()) == names.end());
            EXPECT(old_keys == before);
        }
        return {};
    });
    for (std::size_t id = 0; id < 3; ++id) {
        inserting.start([&, id]() -> std::string {
            for (std::size_t i = 0; i < own; ++i) {
                EXPECT_OK(store->append("own " + std::to_string(id) + "/" + std::to_string(i), "o"));
                if (i < shared) EXPECT_OK(store->append("shared " + std::to_string(i), "s"));
            }
            return {};
        });
    }
    const std::string inserted = inserting.join();
    done = true;
    CHECK(listing.join() == "");
    REQUIRE(inserted == "");
    CHECK(store->keys()->size() == before + 3 * own + shared);
    for (std::size_t i = 0; i < shared; ++i) REQUIRE(store->get("shared " + std::to_string(i))->text() == "sss");
    for (std::size_t id = 0; id < 3; ++id)
        for (std::size_t i = 0; i < own; ++i)
            REQUIRE(store->get("own " + std::to_string(id) + "/" + std::to_string(i))->text() == "o");
}
