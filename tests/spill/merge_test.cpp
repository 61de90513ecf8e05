// Segments of a key that was spilled often are merged: few descriptors stay in memory, and every way to read gives
// what it gave, beside appends, syncs and erases.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "durable_place.hpp"
#include "spilling_store.hpp"

using namespace shoal_test;
using shoal::ByteView;
using shoal::Options;
using shoal::Store;

namespace {

std::string key_of(int number) { return "key " + std::to_string(number); }

// Of each key record after record, told by key and number; some large, so that they are not merged.
std::string record_of(int key, int number) {
    const std::size_t bytes = number % 97 == 50 ? 70'000 : 20 + static_cast<std::size_t>(number % 300);
    return pattern(bytes, static_cast<std::uint64_t>(key * 100'000 + number));
}

std::string append_some(Store& store, int keys, int first, int end) {
    for (int number = first; number < end; ++number) {
        for (int key = 0; key < keys; ++key) EXPECT_OK(store.append(key_of(key), record_of(key, number)));
    }
    return {};
}

// Of a key with so many records: a dozen between two of those that are not merged, and these.
std::uint64_t most_segments(int keys, int records) {
    return static_cast<std::uint64_t>(keys) * static_cast<std::uint64_t>(records / 97 + 1) * 13;
}

// Each value is the records up to `count`, whole and in order; or to a later one of those under way.
std::string compare(const Store& store, int keys, int count) {
    for (int key = 0; key < keys; ++key) {
        const auto records = store.records(key_of(key));
        EXPECT_OK(records);
        EXPECT(records->size() >= static_cast<std::size_t>(count));
        int number = 0;
        std::string value;
        for (const ByteView record : *records) {
            EXPECT(record.text() == record_of(key, number++));
            value += record.text();
        }
        const auto got = store.get(key_of(key));
        EXPECT_OK(got);
        EXPECT(got->text().starts_with(value));
        std::string streamed;
        EXPECT_OK(store.records(key_of(key), 4000, [&](const shoal::Records& part) {
            for (const ByteView record : part) streamed += record.text();
            return true;
        }));
        EXPECT(streamed.starts_with(value));
        const auto size = store.size(key_of(key));
        EXPECT_OK(size);
        EXPECT(size->records >= records->size());
    }
    return {};
}

std::string is_sound(const SpillingPlace& place) {
    shoal::VerifyOptions options;
    options.files = true;
    const auto report = Store::verify(place.path(), options);
    EXPECT_OK(report);
    for (const auto& damage : report->damage) return damage.invariant + ": " + damage.what;
    return {};
}

}  // namespace

TEST_CASE("Segments of keys that were spilled often are few, and their values are what they were") {
    const int keys = 20;
    const int rounds = static_cast<int>(scaled(400, 150));
    const auto codec = GENERATE("none", "lz4");
    const SpillingPlace place;
    auto opened = Store::open(place.path(), place.options(64 * kMiB, codec));
    REQUIRE_OK(opened);
    Store& store = *opened;
    for (int round = 0; round < rounds; ++round) {
        REQUIRE(append_some(store, keys, round, round + 1) == "");
        REQUIRE_OK(store.spill());
    }
    const auto stats = store.stats();
    REQUIRE_OK(stats);
    CHECK(stats->segments < most_segments(keys, rounds));
    CHECK(compare(store, keys, rounds) == "");
    CHECK(is_sound(place) == "");
    for (int key = 0; key < keys; key += 2) REQUIRE(store.erase(key_of(key)).value());
    for (int key = 1; key < keys; key += 2) {
        REQUIRE_OK(store.get(key_of(key)));
        REQUIRE(store.erase(key_of(key)).value());
    }
    CHECK(store.stats()->stored_bytes == 0);
    CHECK(store.stats()->spill_files == 0);
}

TEST_CASE("Readers, writers and syncs go on beside merges, and see what was acknowledged") {
    const int keys = 8;
    const int rounds = static_cast<int>(scaled(600, 200));
    const DurablePlace place;
    const Options options = place.options(64 * kMiB);
    {
        auto opened = Store::open(place.path(), options);
        REQUIRE_OK(opened);
        Store& store = *opened;
        REQUIRE(append_some(store, keys, 0, 1) == "");
        std::atomic<int> acknowledged{1};
        std::atomic<bool> done{false};
        std::vector<std::string> wrong(4);
        std::vector<std::thread> threads;
        threads.emplace_back([&] {
            while (wrong[0].empty() && !done) wrong[0] = compare(store, keys, acknowledged.load());
        });
        threads.emplace_back([&] {
            wrong[1] = [&]() -> std::string {
                while (!done) EXPECT_OK(store.sync());
                return {};
            }();
        });
        threads.emplace_back([&] {
            Options reading = options;
            reading.read_only = true;
            const auto reader = Store::open(place.path(), reading);
            if (!reader) {
                wrong[3] = reader.error().message;
                return;
            }
            while (wrong[3].empty() && !done) wrong[3] = compare(*reader, keys, acknowledged.load());
        });
        threads.emplace_back([&] {
            wrong[2] = [&]() -> std::string {
                for (int turn = 0; !done; ++turn) {
                    EXPECT_OK(store.append("comes and goes", pattern(100, static_cast<std::uint64_t>(turn))));
                    if (turn % 20 == 19) EXPECT_OK(store.erase("comes and goes"));
                }
                return {};
            }();
        });
        std::string of_writer;
        for (int round = 1; round < rounds && of_writer.empty(); ++round) {
            of_writer = append_some(store, keys, round, round + 1);
            acknowledged = round + 1;
            if (const auto spilled = store.spill(); !spilled) of_writer = spilled.error().message;
        }
        done = true;
        for (std::thread& thread : threads) thread.join();
        CHECK(of_writer == "");
        for (const std::string& one : wrong) CHECK(one == "");
        CHECK(compare(store, keys, rounds) == "");
        REQUIRE_OK(store.sync());
        // Beside readers some wait; what is left when they are gone is merged by spills of nothing.
        for (int turn = 0; turn < 20; ++turn) REQUIRE_OK(store.spill());
        CHECK(store.stats()->segments < most_segments(keys, rounds));
        REQUIRE_OK(store.sync());
    }
    place.lose_memory();
    auto opened = Store::open(place.path(), options);
    REQUIRE_OK(opened);
    CHECK(compare(*opened, keys, rounds) == "");
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->damage_count == 0);
    // What was merged before is merged on.
    for (int round = rounds; round < rounds + 60; ++round) {
        REQUIRE(append_some(*opened, keys, round, round + 1) == "");
        REQUIRE_OK(opened->spill());
        if (round % 20 == 0) REQUIRE_OK(opened->sync());
    }
    CHECK(compare(*opened, keys, rounds + 60) == "");
    CHECK(opened->stats()->segments < most_segments(keys, rounds + 60));
}

TEST_CASE("What was synced comes back after a loss of memory, though its segments were merged since") {
    const int rounds = 60;
    // So long that merged extents have whole blocks, which are given back to the file system when they are not
    // named.
    const auto record = [](int key, int number) {
        return pattern(1500, static_cast<std::uint64_t>(key * 100'000 + number));
    };
    const DurablePlace place;
    const Options options = place.options(64 * kMiB);
    {
        auto store = Store::open(place.path(), options);
        REQUIRE_OK(store);
        const auto spill_each = [&](int first, int end) {
            for (int number = first; number < end; ++number) {
                for (int key = 0; key < 4; ++key) REQUIRE_OK(store->append(key_of(key), record(key, number)));
                REQUIRE_OK(store->spill());
            }
        };
        spill_each(0, rounds);
        REQUIRE_OK(store->sync());
        const std::uint64_t before = store->stats()->segments;
        spill_each(rounds, 2 * rounds);
        CHECK(store->stats()->segments < before + rounds);
    }
    place.lose_memory();
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    for (int key = 0; key < 4; ++key) {
        std::string expected;
        for (int number = 0; number < rounds; ++number) expected += record(key, number);
        const auto got = store->get(key_of(key));
        REQUIRE_OK(got);
        const bool same = got->text() == expected;
        CHECK(same);
    }
}

TEST_CASE("A backup has values whose segments were merged, and are merged while it is under way") {
    const std::string large_key = "longer than a chunk of a backup";
    const auto record = [](int number) {
        const std::size_t bytes = number % 40 < 10 ? 300'000 : 50;
        return pattern(bytes, static_cast<std::uint64_t>(number));
    };
    const DurablePlace place;
    const DurablePlace copy;
    const std::string file = place.arenas() + "/backup";
    const int before = 320;  // records; 24 MB
    int appended = 0;
    {
        auto store = Store::open(place.path(), place.options(64 * kMiB));
        REQUIRE_OK(store);
        const auto append_and_spill = [&](int records) {
            for (int end = appended + records; appended < end; ++appended) {
                REQUIRE_OK(store->append(large_key, record(appended)));
                if (appended < before) REQUIRE_OK(store->append("short", record(appended % 10 + 10)));
                REQUIRE_OK(store->spill());
            }
        };
        append_and_spill(before);
        CHECK(store->stats()->segments < before);
        int turns = 0;
        shoal::BackupOptions options;
        options.progress = [&](const shoal::BackupProgress&) {
            if (++turns < 6) append_and_spill(25);
            return true;
        };
        REQUIRE_OK(store->backup(file, options));
        CHECK(turns > 1);
    }
    REQUIRE_OK(Store::restore(file, copy.path(), copy.options(64 * kMiB)));
    auto restored = Store::open(copy.path(), copy.options(64 * kMiB));
    REQUIRE_OK(restored);
    const auto records = restored->records(large_key);
    REQUIRE_OK(records);
    CHECK(records->size() >= static_cast<std::size_t>(before));
    int number = 0;
    bool same = true;
    for (const ByteView one : *records) same = same && one.text() == record(number++);
    CHECK(same);
    CHECK(restored->size("short")->records == static_cast<std::uint64_t>(before));
}

TEST_CASE("Small keys that were spilled often take little more than their payload of the disk") {
    const int keys = 3000;
    const int points = static_cast<int>(scaled(240, 120));
    const SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(store);
    for (int point = 0; point < points; ++point) {
        for (int key = 0; key < keys; ++key) REQUIRE_OK(store->append(key_of(key), pattern(16, 7)));
        if (point % 5 == 4) REQUIRE_OK(store->spill());
    }
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    const std::uint64_t payload = static_cast<std::uint64_t>(keys) * static_cast<std::uint64_t>(points) * 16;
    CAPTURE(payload, stats->disk_bytes, stats->stored_bytes, stats->segments);
    CHECK(stats->stored_bytes * 10 < payload * 13);
    CHECK(stats->disk_bytes * 10 < payload * 15);
}
