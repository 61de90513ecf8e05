// Many processes on one path: the invariants of threads_test.cpp, with nothing shared but the store.
#include <algorithm>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "erase_history.hpp"
#include "numbered_workload.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

TEST_CASE("Processes that append and read: every get is a closed cut of one order, each record is there once",
          "[process]") {
    const Mode mode = GENERATE(Mode::kOneAtATime, Mode::kBatches, Mode::kBoth);
    constexpr std::size_t kWriters = 4, kReaders = 2, kKeys = 3;
    TemporaryStore place;
    Ledger ledger(kWriters, kKeys);
    SharedCounters order_hashes(kReaders * kKeys);
    std::vector<Child> writers, readers;
    for (std::size_t reader = 0; reader < kReaders; ++reader)
        readers.push_back(Child::start([&, reader]() -> std::string {
            auto store = Store::open(place.path(), with_limit(256 * kMiB));
            EXPECT_OK(store);
            ClosedCutChecker checker(ledger);
            std::string wrong = read_until_finished(*store, ledger, checker);
            for (std::size_t key = 0; key < kKeys; ++key)
                order_hashes[reader * kKeys + key] = checker.order_hash(key);
            return wrong;
        }));
    for (std::size_t writer = 0; writer < kWriters; ++writer)
        writers.push_back(Child::start([&, writer]() -> std::string {
            auto store = Store::open(place.path(), with_limit(256 * kMiB));
            EXPECT_OK(store);
            return NumberedWriter(*store, ledger, writer).write(scaled(8'000), mode);
        }));
    const std::string written = wait_for(writers);
    ledger.finish();
    CHECK(written == "");
    CHECK(wait_for(readers) == "");
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    ClosedCutChecker checker(ledger);
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
    for (std::size_t key = 0; key < kKeys; ++key) {
        REQUIRE(store->size(key_name(key))->records == checker.order(key).size());
        for (std::size_t reader = 0; reader < kReaders; ++reader)
            CHECK(order_hashes[reader * kKeys + key].load() == checker.order_hash(key));
    }
}

TEST_CASE("What was acknowledged before an erase is gone for other processes too, and what was begun after stays",
          "[process]") {
    constexpr std::size_t kWriters = 3;
    TemporaryStore place;
    Ledger ledger(kWriters, 1);
    auto store = Store::open(place.path(), with_limit(128 * kMiB));
    REQUIRE_OK(store);
    std::vector<Child> writers;
    for (std::size_t writer = 0; writer < kWriters; ++writer)
        writers.push_back(Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            return NumberedWriter(*own, ledger, writer).write(UINT64_MAX / 2, Mode::kBoth);
        }));
    EraseHistory history(*store, ledger);
    std::string wrong;
    for (std::size_t round = 0; wrong.empty() && round < scaled(400, 30); ++round)
        wrong = history.erase_and_check(round);
    ledger.finish();
    CHECK(wait_for(writers) == "");
    CHECK(wrong == "");
    CHECK(history.check() == "");
}

TEST_CASE("Of processes that race in iset exactly one sets, and all see its value", "[process]") {
    constexpr std::size_t kProcesses = 4;
    TemporaryStore place;
    const std::size_t keys = scaled(3000, 300);
    SharedCounters set(keys), winner(keys);
    StartLine line(kProcesses);
    std::vector<Child> children;
    for (std::size_t id = 1; id <= kProcesses; ++id)
        children.push_back(Child::start([&, id]() -> std::string {
            auto store = Store::open(place.path(), with_limit(64 * kMiB));
            EXPECT_OK(store);
            line.arrive_and_wait();
            for (std::size_t key = 0; key < keys; ++key) {
                const auto did = store->iset(std::to_string(key), std::to_string(id));
                EXPECT_OK(did);
                if (*did) winner[key].store(id);
                if (*did) set[key].fetch_add(1);
                EXPECT_OK(store->get(std::to_string(key)));
            }
            return {};
        }));
    REQUIRE(wait_for(children) == "");
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    for (std::size_t key = 0; key < keys; ++key) {
        REQUIRE(set[key].load() == 1);
        REQUIRE(store->get(std::to_string(key))->text() == std::to_string(winner[key].load()));
    }
}

TEST_CASE("Processes that insert the same and other keys while the index grows: each key is there once",
          "[process]") {
    constexpr std::size_t kProcesses = 4;
    TemporaryStore place;
    const std::size_t own = scaled(40'000), shared = scaled(20'000);
    StartLine line(kProcesses);
    std::vector<Child> children;
    for (std::size_t id = 0; id < kProcesses; ++id)
        children.push_back(Child::start([&, id]() -> std::string {
            auto store = Store::open(place.path(), with_limit(256 * kMiB));
            EXPECT_OK(store);
            line.arrive_and_wait();
            for (std::size_t i = 0; i < own; ++i) {
                const std::string own_key = "own " + std::to_string(id) + "/" + std::to_string(i);
                const std::string shared_key = "shared " + std::to_string(i % shared);
                const shoal::Pair both[] = {{own_key, "o"}, {shared_key, "s"}};
                if (i % 2 == 0) EXPECT_OK(store->append(both));
                if (i % 2 == 1) EXPECT_OK(store->append(own_key, "o"));
                if (i % 2 == 1) EXPECT_OK(store->append(shared_key, "s"));
                if (i % 100 == 0) {
                    const std::string earlier = "own " + std::to_string(id) + "/" + std::to_string(i / 2);
                    EXPECT_OK(store->get(earlier));
                }
            }
            return {};
        }));
    REQUIRE(wait_for(children) == "");
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    const auto keys = store->keys();
    REQUIRE_OK(keys);
    std::vector<std::string> names;
    for (const shoal::Bytes& key : *keys) names.push_back(key.str());
    std::sort(names.begin(), names.end());
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
    CHECK(names.size() == kProcesses * own + shared);
    for (std::size_t i = 0; i < shared; ++i)
        REQUIRE(store->size("shared " + std::to_string(i))->records == kProcesses * own / shared);
    for (std::size_t id = 0; id < kProcesses; ++id)
        for (std::size_t i = 0; i < own; ++i)
            REQUIRE(store->get("own " + std::to_string(id) + "/" + std::to_string(i))->text() == "o");
}
