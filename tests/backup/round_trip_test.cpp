// A store that is made of a backup holds what the store held that was backed up.
#include <filesystem>
#include <string>
#include <vector>

#include "../spill/spilling_store.hpp"
#include "../store/pattern.hpp"
#include "catch.hpp"
#include "contents.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;

namespace {

// Values of all kinds: none longer than `most` bytes in all.
void fill(Store& store, std::uint64_t most) {
    REQUIRE_OK(store.append("", "of the key without bytes"));
    REQUIRE_OK(store.append("empty", ""));
    for (int record = 0; record < 3; ++record) REQUIRE_OK(store.append("three empty ones", ""));
    REQUIRE_OK(store.append(std::string(shoal::kMaxKeyBytes, '\xff'), "of the longest key"));
    REQUIRE_OK(store.append(std::string("\0\n\xc3", 3), std::string("\0 no text \xff", 11)));
    REQUIRE_OK(store.append("mixed", "a"));
    REQUIRE_OK(store.append("mixed", ""));
    REQUIRE_OK(store.append("mixed", pattern(300'000, 1)));
    REQUIRE_OK(store.append("mixed", "z"));
    REQUIRE_OK(store.append("one large record", pattern(most, 2)));
    REQUIRE_OK(store.append("a large record between small ones", "before"));
    REQUIRE_OK(store.append("a large record between small ones", pattern(most, 3)));
    REQUIRE_OK(store.append("a large record between small ones", "behind"));
    std::vector<std::string> records;
    std::vector<shoal::Pair> batch;
    for (std::uint64_t bytes = 0, number = 0; bytes < most; bytes += records.back().size(), ++number)
        records.push_back(pattern(number % 7'000, number));
    for (const std::string& record : records) batch.emplace_back("many records", record);
    REQUIRE_OK(store.append(batch));
    batch.clear();
    records.clear();
    for (int key = 0; key < 3'000; ++key) records.push_back("key " + std::to_string(key));
    for (const std::string& key : records) batch.emplace_back(key, key);
    REQUIRE_OK(store.append(batch));
    batch.clear();
    for (int record = 0; record < 100'000; ++record) batch.emplace_back("a hundred thousand empty ones", "");
    REQUIRE_OK(store.append(batch));
}

}  // namespace

TEST_CASE("A restored store has each record of each key, in its order and with its bounds") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(192 * kMiB));
    REQUIRE_OK(store);
    fill(*store, 20 * kMiB);
    const Contents wanted = contents_of(*store);
    BackupPlace backup;
    shoal::BackupOptions options;
    const auto codec = GENERATE("none", "lz4", "zstd");
    options.codec = shoal::parse_codec(codec).value();
    const auto done = store->backup(backup.file(), options);
    REQUIRE_OK(done);
    CHECK(done->keys == wanted.size());
    CHECK(done->file_bytes == std::filesystem::file_size(backup.file()));
    CHECK_FALSE(std::filesystem::exists(backup.part()));
    const auto stats = store->stats();
    CHECK(done->records == stats->records);
    CHECK(done->payload_bytes == stats->payload_bytes);
    CHECK(backup.restore_and_compare(wanted, backup.options(192 * kMiB)) == "");
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->sound());
}

TEST_CASE("A backup of a store that spills has what is in memory and what is in files, whatever its codec") {
    SpillingPlace place;
    const std::string codec = GENERATE("none", "lz4", "blosc:4");
    shoal::Options options = place.options(64 * kMiB, codec);
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    fill(*store, 9 * kMiB);
    REQUIRE_OK(store->set_codec("mixed", shoal::parse_codec("zstd:3").value()));
    REQUIRE_OK(store->spill());
    for (int record = 0; record < 40; ++record) REQUIRE_OK(store->append("many records", pattern(100'000, 7)));
    REQUIRE_OK(store->append("mixed", "resident"));
    REQUIRE_OK(store->append("only in memory", "x"));
    const Contents wanted = contents_of(*store);
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    SECTION("into a store with a folder of its own") {
        shoal::Options restored = backup.options(64 * kMiB);
        restored.spill_dir = backup.spills();
        CHECK(backup.restore_and_compare(wanted, restored) == "");
    }
    SECTION("into a store that has all in memory") {
        shoal::Options restored = backup.options(192 * kMiB);
        CHECK(backup.restore_and_compare(wanted, restored) == "");
    }
    SECTION("into one that is found again when its memory is gone") {
        const auto done = Store::restore(backup.file(), backup.restored(), backup.options(32 * kMiB));
        REQUIRE_OK(done);
        CHECK(done->synced);
        CHECK(backup.arenas() == 1);
        backup.lose_memory();
        auto again = Store::attach(backup.restored());
        REQUIRE_OK(again);
        CHECK(again->stats()->codec == shoal::name(shoal::parse_codec(codec).value()));
        CHECK(again->stats()->memory_limit_bytes == 32 * kMiB);
        CHECK(difference(contents_of(*again), wanted) == "");
    }
}

TEST_CASE("A store in memory, and one without a key, can be backed up, and a sink may take the bytes") {
    auto store = Store::in_memory(with_limit(8 * kMiB));
    REQUIRE_OK(store);
    if (GENERATE(true, false)) REQUIRE_OK(store->append("key", "value"));
    const Contents wanted = contents_of(*store);
    std::string bytes;
    const auto done = store->backup([&](shoal::ByteView some) -> shoal::Result<void> {
        bytes += some.text();
        return {};
    });
    REQUIRE_OK(done);
    CHECK(done->file_bytes == bytes.size());
    BackupPlace backup;
    std::size_t taken = 0;
    const shoal::BackupSource source = [&](std::span<std::byte> room) -> shoal::Result<std::size_t> {
        const std::size_t some = std::min<std::size_t>({room.size(), bytes.size() - taken, 7});
        std::memcpy(room.data(), bytes.data() + taken, some);
        taken += some;
        return some;
    };
    const auto restored = Store::restore(source, backup.restored(), backup.options(8 * kMiB));
    REQUIRE_OK(restored);
    CHECK(restored->keys == wanted.size());
    CHECK(restored->begun_unix_s > 1'600'000'000);
    CHECK_FALSE(restored->synced);
    auto again = Store::attach(backup.restored());
    REQUIRE_OK(again);
    CHECK(difference(contents_of(*again), wanted) == "");
}

TEST_CASE("A restored store has the sizes of the one that was backed up, and at most a new store's memory limit") {
    TemporaryStore place;
    shoal::Options options = with_limit(16 * kMiB);
    options.first_segment_bytes = 256;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    REQUIRE_OK(Store::restore(backup.file(), backup.restored(), backup.options(0)));
    auto again = Store::attach(backup.restored());
    REQUIRE_OK(again);
    CHECK(again->stats()->memory_limit_bytes == 16 * kMiB);
    CHECK(again->stats()->store_id != store->stats()->store_id);
}
