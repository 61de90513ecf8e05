// Small keys share bundles in spill files: what they take there has a bound, they are read as they were, and their
// room comes back.
#include <string>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "durable_place.hpp"
#include "spilling_store.hpp"

using namespace shoal_test;
using shoal::ByteView;
using shoal::Code;
using shoal::Store;

namespace {

const int kKeys = static_cast<int>(scaled(20'000));
constexpr int kPoints = 4;  // of each key
constexpr std::size_t kPointBytes = 16;

std::string key_of(int number) { return "series." + std::to_string(1'000'000 + number); }
std::string point_of(int number, int point) {
    return pattern(kPointBytes, static_cast<std::uint64_t>(number * kPoints + point));
}
std::string value_of(int number) {
    std::string value;
    for (int point = 0; point < kPoints; ++point) value += point_of(number, point);
    return value;
}
// Of some a record that is an extent by itself, so that extents follow a bundle that is not full.
bool has_large_record(int number) { return number % 500 == 0; }
std::string large_record_of(int number) { return pattern(5000, static_cast<std::uint64_t>(number)); }

void append_points(Store& store) {
    for (int point = 0; point < kPoints; ++point) {
        for (int number = 0; number < kKeys; ++number) {
            REQUIRE_OK(store.append(key_of(number), point_of(number, point)));
        }
    }
}

// What is wrong with the keys that `is_there`, read in three ways.
std::string compare(const Store& store, auto&& is_there) {
    for (int number = 0; number < kKeys; ++number) {
        const std::string value = value_of(number);
        const auto got = store.get(key_of(number));
        if (!is_there(number)) {
            EXPECT_CODE(got, Code::kNotFound);
            continue;
        }
        EXPECT_OK(got);
        EXPECT(got->text() == value);
        if (number % 16 != 0) continue;
        const auto records = store.records(key_of(number));
        EXPECT_OK(records);
        EXPECT(records->size() == kPoints);
        int point = 0;
        for (const ByteView record : *records) EXPECT(record.text() == point_of(number, point++));
        const auto size = store.size(key_of(number));
        EXPECT_OK(size);
        EXPECT(size->bytes == value.size());
    }
    return {};
}

bool all(int) { return true; }
bool odd(int number) { return number % 2 != 0; }

}  // namespace

TEST_CASE("Small keys take at most 1.3 times their payload in spill files, and are read as they were") {
    const SpillingPlace place;
    auto opened = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(opened);
    Store& store = *opened;
    append_points(store);
    REQUIRE_OK(store.spill());
    const auto stats = store.stats();
    REQUIRE_OK(stats);
    const std::uint64_t payload = static_cast<std::uint64_t>(kKeys) * kPoints * kPointBytes;
    CHECK(stats->spilled_bytes == payload);
    CHECK(stats->stored_bytes * 10 <= payload * 13);
    CHECK(stats->disk_bytes * 10 <= payload * 13);
    CHECK(compare(store, all) == "");
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->damage_count == 0);
}

TEST_CASE("Room of small keys that are erased comes back with the last key of their file") {
    const SpillingPlace place;
    auto opened = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(opened);
    Store& store = *opened;
    for (int number = 0; number < kKeys; ++number) {
        REQUIRE_OK(store.append(key_of(number), value_of(number)));
        if (has_large_record(number)) REQUIRE_OK(store.append("large " + key_of(number), large_record_of(number)));
    }
    REQUIRE_OK(store.spill());
    const std::uint64_t stored = store.stats()->stored_bytes;
    for (int number = 0; number < kKeys; number += 2) REQUIRE(store.erase(key_of(number)).value());
    for (int number = 0; number < kKeys; number += 500) {
        const auto large = store.get("large " + key_of(number));
        REQUIRE_OK(large);
        REQUIRE(large->text() == large_record_of(number));
        REQUIRE(store.erase("large " + key_of(number)).value());
    }
    const auto half_way = store.stats();
    REQUIRE_OK(half_way);
    CHECK(half_way->stored_bytes < stored * 6 / 10);
    CHECK_FALSE(place.spill_files().empty());
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->damage_count == 0);
    for (int number = 1; number < kKeys; number += 2) {
        if (number % 64 == 1) {
            const auto got = store.get(key_of(number));
            REQUIRE_OK(got);
            REQUIRE(got->text() == value_of(number));
        }
        REQUIRE(store.erase(key_of(number)).value());
    }
    const auto stats = store.stats();
    REQUIRE_OK(stats);
    CHECK(stats->stored_bytes == 0);
    CHECK(stats->spill_files == 0);
}

TEST_CASE("Small keys that a sync has copied, or that were spilled before it, are there when the memory is lost") {
    const DurablePlace place;
    const shoal::Options options = place.options(64 * kMiB);
    for (const bool spilled : {false, true}) {
        INFO(spilled);
        {
            auto opened = Store::open(place.path(), options);
            REQUIRE_OK(opened);
            Store& store = *opened;
            REQUIRE_OK(store.drop());
            append_points(store);
            if (spilled) REQUIRE_OK(store.spill());
            REQUIRE_OK(store.sync());
            for (int number = 0; number < kKeys; number += 2) REQUIRE(store.erase(key_of(number)).value());
            REQUIRE_OK(store.sync());
            CHECK(compare(store, odd) == "");
        }
        place.lose_memory();
        auto opened = Store::open(place.path(), options);
        REQUIRE_OK(opened);
        CHECK(compare(*opened, odd) == "");
        const auto report = Store::verify(place.path());
        REQUIRE_OK(report);
        CHECK(report->damage_count == 0);
        for (int number = 1; number < kKeys; number += 2) REQUIRE(opened->erase(key_of(number)).value());
        REQUIRE_OK(opened->sync());
        CHECK(opened->stats()->stored_bytes == 0);
        REQUIRE_OK(opened->drop());  // so that the next sync lists all keys, however few have changed
        REQUIRE_OK(opened->sync());
        CHECK(place.spill_files().empty());
    }
}
