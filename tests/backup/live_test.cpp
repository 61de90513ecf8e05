// A backup of a store that others change meanwhile: each value is a closed cut, and nobody waits for the backup.
#include <algorithm>
#include <string>
#include <vector>

#include "../spill/spilling_store.hpp"
#include "../store/child.hpp"
#include "../store/numbered_workload.hpp"
#include "../store/pattern.hpp"
#include "catch.hpp"
#include "contents.hpp"

using namespace shoal_test;
using shoal::Store;

namespace {

constexpr std::size_t kWriters = 4;
constexpr std::size_t kKeys = 3;  // so that values become longer than a chunk

// Of a value that is made anew again and again: all records say in which turn, and which of it they are.
std::string record_of_turn(std::uint64_t turn, std::uint64_t number) {
    return std::to_string(turn) + ":" + std::to_string(number) + ":" + pattern(200'000, turn * 1'000 + number);
}

// "" where the value is the first records of one turn.
std::string check_turn(const std::vector<std::string>& records) {
    EXPECT(!records.empty());
    const std::uint64_t turn = std::stoull(records.front());
    for (std::uint64_t number = 0; number < records.size(); ++number)
        EXPECT(records[number] == record_of_turn(turn, number));
    return {};
}

}  // namespace

TEST_CASE("A backup beside processes that append has for each key what was acknowledged before it, as a closed cut",
          "[process]") {
    const bool spills = GENERATE(false, true);
    SpillingPlace place;
    const shoal::Options options = spills ? place.options(32 * kMiB, "lz4") : with_limit(512 * kMiB);
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    Ledger ledger(kWriters, kKeys);
    std::vector<Child> writers;
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
        writers.push_back(Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            return NumberedWriter(*own, ledger, writer).write(UINT64_MAX, Mode::kBoth);
        }));
    }
    BackupPlace backup;
    for (int turn = 1; turn <= 3; ++turn) {
        ledger.allow(60'000ULL * static_cast<unsigned>(turn));
        while (ledger.acknowledged_in_all() < 40'000ULL * static_cast<unsigned>(turn)) std::this_thread::yield();
        // One for each key, since the cuts of two keys are of two moments.
        std::vector<ClosedCutChecker> checkers(kKeys, ClosedCutChecker(ledger));
        for (std::size_t key = 0; key < kKeys; ++key) checkers[key].before_get(key);
        REQUIRE_OK(store->backup(backup.file()));
        REQUIRE_OK(Store::restore(backup.file(), backup.restored(), backup.options(512 * kMiB)));
        {
            auto restored = Store::attach(backup.restored());
            REQUIRE_OK(restored);
            for (std::size_t key = 0; key < kKeys; ++key)
                CHECK(checkers[key].after_get(key, restored->get(key_name(key))->text()) == "");
        }
        REQUIRE_OK(Store::destroy(backup.restored()));
    }
    ledger.finish();
    CHECK(wait_for(writers) == "");
}

TEST_CASE("A backup beside processes that erase values and make them anew has each value as it once was",
          "[process]") {
    const bool spills = GENERATE(false, true);
    SpillingPlace place;
    const shoal::Options options = spills ? place.options(64 * kMiB) : with_limit(256 * kMiB);
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    Contents stays;
    for (int key = 0; key < 2'000; ++key) {
        const std::string name = "stays " + std::to_string(key);
        stays[name] = {pattern(50, static_cast<std::uint64_t>(key))};
        REQUIRE_OK(store->append(name, stays[name].front()));
    }
    SharedCounters turns(kWriters + 1);
    std::vector<Child> writers;
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
        writers.push_back(Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            const std::string key = "turns " + std::to_string(writer);
            for (std::uint64_t turn = 1; turns[kWriters].load() == 0; ++turn) {
                EXPECT_OK(own->erase(key));
                for (std::uint64_t number = 0; number < 60; ++number)  // more than a chunk holds
                    EXPECT_OK(own->append(key, record_of_turn(turn, number)));
                turns[writer].store(turn);
            }
            return {};
        }));
    }
    BackupPlace backup;
    for (std::uint64_t turn = 1; turn <= 4; ++turn) {
        while (turns[turn % kWriters].load() < 2 * turn) std::this_thread::yield();
        REQUIRE_OK(store->backup(backup.file()));
        REQUIRE_OK(Store::restore(backup.file(), backup.restored(), backup.options(256 * kMiB)));
        {
            auto restored = Store::attach(backup.restored());
            REQUIRE_OK(restored);
            Contents found = contents_of(*restored);
            for (std::size_t writer = 0; writer < kWriters; ++writer) {
                const auto value = found.find("turns " + std::to_string(writer));
                if (value == found.end()) continue;  // it was erased
                CHECK(check_turn(value->second) == "");
                found.erase(value);
            }
            CHECK(difference(found, stays) == "");
        }
        REQUIRE_OK(Store::destroy(backup.restored()));
    }
    turns[kWriters].store(1);
    CHECK(wait_for(writers) == "");
}

TEST_CASE("A long value that is erased and made anew between two chunks is in a backup as one of the two, or not") {
    const bool spills = GENERATE(false, true);
    const bool large_record = GENERATE(false, true);
    SpillingPlace place;
    const shoal::Options options = spills ? place.options(96 * kMiB) : with_limit(96 * kMiB);
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    const auto make = [&](std::uint64_t turn) {
        for (std::uint64_t number = 0; number < 100; ++number)
            REQUIRE_OK(store->append("long", record_of_turn(turn, number)));
        if (large_record) REQUIRE_OK(store->append("large", pattern(20 * kMiB, turn)));
    };
    make(1);
    BackupPlace backup;
    const std::size_t at = GENERATE(0U, 1U);  // the chunk behind which it happens
    std::size_t chunks = 0;
    shoal::BackupOptions with_change;
    with_change.progress = [&](const shoal::BackupProgress&) {
        if (chunks++ != at) return true;
        const auto erased = store->drop();
        // So that the same memory is used again, at the same places.
        for (int look = 0; look < 4; ++look) (void)store->stats();
        make(2);
        return erased.has_value();
    };
    REQUIRE_OK(store->backup(backup.file(), with_change));
    REQUIRE(chunks > at);
    REQUIRE_OK(Store::restore(backup.file(), backup.restored(), backup.options(96 * kMiB)));
    auto restored = Store::attach(backup.restored());
    REQUIRE_OK(restored);
    const Contents found = contents_of(*restored);
    if (const auto value = found.find("long"); value != found.end()) {
        CHECK(check_turn(value->second) == "");
        CHECK(value->second.size() == 100);
    }
    if (const auto value = found.find("large"); value != found.end()) {
        CHECK((value->second.front() == pattern(20 * kMiB, 1) || value->second.front() == pattern(20 * kMiB, 2)));
        CHECK(value->second.size() == 1);
    }
}

TEST_CASE("What is appended to a long value while its backup is under way is in none of its parts") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(128 * kMiB));
    REQUIRE_OK(store);
    const std::string record = pattern(70'000, 1);
    const std::size_t records = GENERATE(400U, 404U, 407U);  // the last segment has room for some more
    for (std::size_t number = 0; number < records; ++number) REQUIRE_OK(store->append("long", record));
    BackupPlace backup;
    std::size_t chunks = 0;
    shoal::BackupOptions with_appends;
    with_appends.progress = [&](const shoal::BackupProgress&) {
        chunks += 1;
        for (int more = 0; more < 20; ++more)
            if (!store->append("long", record)) return false;
        return true;
    };
    REQUIRE_OK(store->backup(backup.file(), with_appends));
    CHECK(chunks >= 3);
    REQUIRE_OK(Store::restore(backup.file(), backup.restored(), backup.options(128 * kMiB)));
    auto restored = Store::attach(backup.restored());
    REQUIRE_OK(restored);
    CHECK(restored->records("long")->size() == records);
    CHECK(restored->size("long")->bytes == records * record.size());
}

TEST_CASE("A long value whose segments are spilled between two chunks is whole in the backup") {
    SpillingPlace place;
    shoal::Options options = place.options(96 * kMiB, GENERATE("none", "lz4"));
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    for (std::uint64_t number = 0; number < 100; ++number)
        REQUIRE_OK(store->append("long", record_of_turn(1, number)));
    REQUIRE_OK(store->append("large", pattern(20 * kMiB, 1)));
    const Contents wanted = contents_of(*store);
    BackupPlace backup;
    shoal::BackupOptions with_spills;
    with_spills.progress = [&](const shoal::BackupProgress&) { return store->spill(6 * kMiB).has_value(); };
    REQUIRE_OK(store->backup(backup.file(), with_spills));
    CHECK(store->stats()->spilled_bytes != 0);
    CHECK(backup.restore_and_compare(wanted, backup.options(96 * kMiB)) == "");
}

TEST_CASE("A backup that waits for its file keeps no memory from reuse") {
    TemporaryStore place;
    shoal::Options options = with_limit(48 * kMiB);
    options.room_wait_ms = 2'000;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("stays", pattern(20 * kMiB, 1)));
    REQUIRE_OK(store->append("goes", pattern(15 * kMiB, 1)));
    BackupPlace backup;
    std::size_t chunks = 0;
    shoal::BackupOptions slow;
    slow.progress = [&](const shoal::BackupProgress&) {
        chunks += 1;
        for (std::uint64_t turn = 0; turn < 3; ++turn) {
            if (!store->erase("goes") || !store->append("goes", pattern(15 * kMiB, turn))) return false;
        }
        return true;
    };
    REQUIRE_OK(store->backup(backup.file(), slow));
    CHECK(chunks >= 1);
}
