// Values of which a part is spilled and a part is not, and what comes after a key was spilled: more records, erase,
// iset, another codec, drop.
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

std::string append_many(Store& store, const std::string& key, std::size_t count, std::size_t bytes,
                        std::vector<std::string>& records) {
    for (std::size_t at = 0; at < count; ++at) {
        records.push_back(pattern(bytes == 0 ? 0 : (records.size() * 7919) % bytes, records.size()));
        EXPECT_OK(store.append(key, records.back()));
    }
    return {};
}

std::string same_records(const Store& store, const std::string& key, const std::vector<std::string>& records) {
    const auto found = store.records(key);
    EXPECT_OK(found);
    EXPECT(found->size() == records.size());
    for (std::size_t at = 0; at < records.size(); ++at) EXPECT((*found)[at].text() == records[at]);
    std::vector<std::string> in_parts;
    EXPECT_OK(store.records(key, 1'000, [&](const shoal::Records& part) {
        for (const ByteView record : part) in_parts.emplace_back(record.text());
        return true;
    }));
    EXPECT(in_parts == records);
    std::string value;
    for (const std::string& record : records) value += record;
    const auto got = store.get(key);
    EXPECT_OK(got);
    EXPECT(got->text() == value);
    return {};
}

}  // namespace

TEST_CASE("Records keep their boundaries through spills, one behind the other, with a resident tail") {
    const auto bytes = static_cast<std::size_t>(GENERATE(0, 1, 9, 100, 3'000, 70'000, 400'000));
    const std::string codec = GENERATE("none", "zstd:3");
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB, codec));
    REQUIRE_OK(store);
    std::vector<std::string> records;
    const std::size_t count = bytes > 10'000 ? 12 : 200;
    for (int round = 0; round < 5; ++round) {
        REQUIRE(append_many(*store, "key", count, bytes, records) == "");
        REQUIRE(same_records(*store, "key", records) == "");
        REQUIRE_OK(store->spill());
        REQUIRE(same_records(*store, "key", records) == "");
    }
    REQUIRE(append_many(*store, "key", 3, bytes, records) == "");
    REQUIRE(same_records(*store, "key", records) == "");
}

TEST_CASE("One record of another length at the end of many of the same finds room for the lengths of all") {
    if (kThreadSanitizer) SHOAL_SKIP("one thread");
    SpillingPlace place;
    shoal::Options options = place.options(16 * kMiB);  // whose segments have 64 KiB
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    // The second extent of a key, which ends its batch's buffer, has 31 segments of 4096 records of 8 B.
    for (std::size_t odd = 246'000; odd < 252'000; odd += 1'000) {
        const std::string key = std::to_string(odd), same = pattern(8, odd), other = pattern(9, odd);
        std::string value;
        for (std::size_t record = 1; record <= 252'000; ++record) {
            const std::string& bytes = record == odd ? other : same;
            REQUIRE_OK(store->append(key, bytes));
            value += bytes;
        }
        REQUIRE_OK(store->spill());
        CHECK((store->get(key)->text() == value));
    }
}

TEST_CASE("A view says how much of it was loaded: nothing of what is resident, all that was spilled") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(store);
    const std::string spilled = pattern(300'000, 1), resident = pattern(5'000, 2);
    for (std::size_t at = 0; at < spilled.size(); at += 1'000) {
        REQUIRE_OK(store->append("key", spilled.substr(at, 1'000)));
    }
    CHECK(store->view("key")->loaded_bytes() == 0);
    CHECK(*store->spill() >= spilled.size());
    CHECK(store->view("key")->loaded_bytes() == spilled.size());
    REQUIRE_OK(store->append("key", resident));
    CHECK(store->view("key")->loaded_bytes() == spilled.size());
    CHECK(store->view("key")->bytes() == spilled.size() + resident.size());
    CHECK(store->records("key")->loaded_bytes() == spilled.size());
    REQUIRE_OK(store->append("other", resident));
    CHECK(store->view("other")->loaded_bytes() == 0);
}

TEST_CASE(
    "A value that is read in parts is a closed cut, ends when told to, and no part is much larger than asked") {
    constexpr std::size_t kPart = 500'000;
    const bool spilled = GENERATE(true, false);
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(store);
    std::vector<std::string> records;
    REQUIRE(append_many(*store, "key", 4'000, 2'000, records) == "");
    if (spilled) REQUIRE_OK(store->spill());
    std::size_t seen = 0, parts = 0;
    REQUIRE_OK(store->records("key", kPart, [&](const shoal::Records& part) {
        parts += 1;
        CHECK(part.bytes() < kPart + kMiB);
        for (const ByteView record : part) CHECK(record.text() == records.at(seen++));
        return store->append("key", "later").has_value();
    }));
    CHECK(seen == records.size());
    CHECK(parts > 2);
    std::size_t taken = 0;
    REQUIRE_OK(store->records("key", kPart, [&](const shoal::Records&) { return ++taken < 2; }));
    CHECK(taken == 2);
}

TEST_CASE("A view that was made before a spill keeps its bytes, and so do those made after it when the key goes") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(16 * kMiB));
    REQUIRE_OK(store);
    const std::string value = pattern(2'000'000, 5);
    for (std::size_t at = 0; at < value.size(); at += 2'000)
        REQUIRE_OK(store->append("key", value.substr(at, 2'000)));
    const auto before = store->records("key");
    REQUIRE_OK(before);
    REQUIRE_OK(store->spill());
    const auto after = store->records("key");
    REQUIRE_OK(after);
    REQUIRE(*store->erase("key"));
    for (int round = 0; round < 20; ++round) {
        REQUIRE_OK(store->append("filler " + std::to_string(round), std::string(300'000, 'f')));
        REQUIRE_OK(store->spill());
    }
    for (const auto* records : {&*before, &*after}) {
        std::string bytes;
        for (const ByteView record : *records) bytes += record.text();
        CHECK((bytes == value));
    }
    CHECK(before->loaded_bytes() == 0);
    CHECK(after->loaded_bytes() == value.size());
}

TEST_CASE("A key that was spilled and erased is gone, and made again has only what came since") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB, "lz4"));
    REQUIRE_OK(store);
    for (int round = 0; round < 20; ++round) {
        std::vector<std::string> records;
        REQUIRE(append_many(*store, "key", 50, 5'000, records) == "");
        REQUIRE_OK(store->spill());
        CHECK(*store->iset("key", "not set") == false);
        REQUIRE(same_records(*store, "key", records) == "");
        REQUIRE(*store->erase("key"));
        CHECK_FALSE(*store->erase("key"));
        REQUIRE_CODE(store->get("key"), Code::kNotFound);
        REQUIRE_CODE(store->records("key"), Code::kNotFound);
        REQUIRE_CODE(store->records("key", 1, [](const shoal::Records&) { return false; }), Code::kNotFound);
        CHECK_FALSE(*store->contains("key"));
        CHECK(store->keys()->empty());
    }
    CHECK(*store->iset("key", "set"));
    REQUIRE_OK(store->spill());
    CHECK_FALSE(*store->iset("key", "again"));
    CHECK(store->get("key")->text() == "set");
}

TEST_CASE("A value that iset has set and that was spilled is what every later iset meets") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(8 * kMiB));
    REQUIRE_OK(store);
    const auto bytes = static_cast<std::size_t>(GENERATE(0, 20, 4'000, 900'000, 3'000'000));
    for (int key = 0; key < 12; ++key) {
        const std::string name = std::to_string(key);
        REQUIRE(*store->iset(name, pattern(bytes, static_cast<std::uint64_t>(key))));
    }
    REQUIRE_OK(store->spill());
    for (int key = 0; key < 12; ++key) {
        const std::string name = std::to_string(key);
        CHECK_FALSE(*store->iset(name, "late"));
        CHECK((store->get(name)->text() == pattern(bytes, static_cast<std::uint64_t>(key))));
    }
}

TEST_CASE(
    "What is spilled after set_codec is compressed so, what was before stays readable, and erase forgets it") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB, "none"));
    REQUIRE_OK(store);
    const std::string text(1'000, 'a');
    const auto stored_by_spill = [&] {
        const std::uint64_t before = store->stats()->stored_bytes;
        for (int at = 0; at < 500; ++at) REQUIRE_OK(store->append("key", text));
        REQUIRE_OK(store->spill());
        return store->stats()->stored_bytes - before;
    };
    REQUIRE_CODE(store->set_codec("key", *shoal::parse_codec("zstd")), Code::kNotFound);
    CHECK(stored_by_spill() > 500'000);
    for (const char* codec : {"zstd:19", "lz4", "blosc:1"}) {
        REQUIRE_OK(store->set_codec("key", *shoal::parse_codec(codec)));
        INFO(codec);
        CHECK(stored_by_spill() < 100'000);
    }
    REQUIRE_OK(store->set_codec("key", *shoal::parse_codec("none")));
    CHECK(stored_by_spill() > 500'000);
    CHECK(store->get("key")->size() == 2'500'000);
    CHECK((store->get("key")->text() == std::string(2'500'000, 'a')));
    REQUIRE_OK(store->set_codec("key", *shoal::parse_codec("lz4")));
    REQUIRE(*store->erase("key"));
    CHECK(stored_by_spill() > 500'000);
}

TEST_CASE("A store without a spill folder does not spill, and says so") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    REQUIRE_CODE(store->spill(), Code::kInvalidArgument);
    REQUIRE_CODE(store->set_codec("key", shoal::Codec{}), Code::kInvalidArgument);
    CHECK(store->stats()->spill_dir.empty());
}

TEST_CASE("What spill says that it frees is free afterwards, and with nothing left it frees nothing") {
    SpillingPlace place;
    shoal::Options options = place.options(64 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    for (int at = 0; at < 4'000; ++at) {
        REQUIRE_OK(store->append(std::to_string(at % 20), pattern(5'000, static_cast<std::uint64_t>(at))));
    }
    const std::uint64_t used = store->stats()->used_bytes;
    const auto some = store->spill(4 * kMiB);
    REQUIRE_OK(some);
    CHECK(*some >= 4 * kMiB);
    CHECK(*some < 12 * kMiB);
    const std::uint64_t then = store->stats()->used_bytes;
    CHECK(then + *some <= used + kMiB);
    const auto all = store->spill();
    REQUIRE_OK(all);
    CHECK(store->stats()->used_bytes + *all <= then + kMiB);
    CHECK(*store->spill() == 0);
}

TEST_CASE("Erase and drop give disk space back, and files that hold nothing vanish") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(store);
    constexpr int kKeys = 10;
    for (int round = 0; round < 3; ++round) {
        for (int key = 0; key < kKeys; ++key) {
            for (int at = 0; at < 200; ++at) {
                REQUIRE_OK(store->append(std::to_string(key), pattern(10'000, static_cast<std::uint64_t>(at))));
            }
        }
        REQUIRE_OK(store->spill());
        const std::uint64_t full = place.disk_bytes();
        CHECK(full >= kKeys * 2'000'000);
        CHECK(store->stats()->disk_bytes >= kKeys * 2'000'000);
        for (int key = 0; key < kKeys / 2; ++key) REQUIRE(*store->erase(std::to_string(key)));
        (void)store->stats();  // which frees what is retired
        CHECK(place.disk_bytes() < full / 2 + full / 10);
        for (int key = kKeys / 2; key < kKeys; ++key) CHECK(store->get(std::to_string(key))->size() == 2'000'000);
        if (round % 2 == 0) {
            REQUIRE_OK(store->drop());
        } else {
            for (int key = kKeys / 2; key < kKeys; ++key) REQUIRE(*store->erase(std::to_string(key)));
        }
        const auto stats = store->stats();
        REQUIRE_OK(stats);
        CHECK(stats->stored_bytes == 0);
        CHECK(stats->spill_files == 0);
        CHECK(place.spill_files().empty());
    }
}

TEST_CASE("Keys too small for a block of the disk give theirs back when the last of them goes") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(store);
    const auto keys = static_cast<int>(scaled(5'000, 500));
    for (int key = 0; key < keys; ++key) REQUIRE_OK(store->append(std::to_string(key), pattern(200, 1)));
    REQUIRE_OK(store->spill());
    CHECK(place.disk_bytes() > static_cast<std::uint64_t>(keys) * 200);
    for (int key = 0; key < keys; ++key) REQUIRE(*store->erase(std::to_string(key)));
    CHECK(store->stats()->spill_files == 0);
    CHECK(place.spill_files().empty());
}
