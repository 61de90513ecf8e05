// What verify says of a store that spills: sound, and how much is in files; or which invariant is broken.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>

#include <fmt/format.h>
#include <shoal/store.hpp>

#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"
#include "catch.hpp"
#include "spill_damages.hpp"

using namespace shoal;
using namespace shoal_test;

namespace {

std::string found_in(const VerifyReport& report) {
    std::string found;
    for (const Damage& damage : report.damage) found += damage.invariant + ": " + damage.what + "\n";
    return found;
}

std::atomic<int> holes_asked_for{0};

}  // namespace

// In the place of the C library's.
extern "C" off_t lseek(int descriptor, off_t offset, int from) noexcept {
    if (from == SEEK_HOLE) holes_asked_for += 1;
    return static_cast<off_t>(::syscall(SYS_lseek, descriptor, offset, from));
}

// The kernel goes through the rest of a range of data to find its end. A restored arena has its keys from the top
// down in the order of the index: where the end is asked for at each page, that takes longer than to read all
// files.
TEST_CASE("verify asks the kernel once for each range of a restored arena's data, not for each page") {
    TemporaryStore place;
    const Options options = spilling_into(place.directory().path(), 64 * kMiB);
    std::string arena;
    {
        auto store = Store::open(place.path(), options);
        REQUIRE_OK(store);
        for (int number = 0; number < 40'000; ++number) {
            REQUIRE_OK(store->append("key " + std::to_string(number), "0123456789"));
        }
        REQUIRE_OK(store->sync());
        arena = store->stats()->arena_path;
    }
    REQUIRE(::unlink(arena.c_str()) == 0);
    REQUIRE_OK(Store::attach(place.path(), options));
    holes_asked_for = 0;
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->at_rest);
    CHECK(report->keys == 40'000);
    const std::uint64_t used = report->pages - report->pages_free;
    CHECK(used > 60);
    CHECK(holes_asked_for != 0);
    CHECK(static_cast<std::uint64_t>(holes_asked_for) < used / 4);
}

TEST_CASE("Generations begin anew behind 2^40, and no store or value suffers by it") {
    TemporaryStore place;
    const Options options = spilling_into(place.directory().path(), 16 * kMiB);
    constexpr std::uint64_t kLast = (1ULL << kGenerationBits) - 1;
    const auto key = [](std::uint64_t number) { return "key " + std::to_string(number); };
    const auto value = [](std::uint64_t number) { return std::string(10'000, static_cast<char>('a' + number)); };
    const auto check = [&](Store& store) {
        for (std::uint64_t number = 0; number < 8; ++number) {
            const auto got = store.get(key(number));
            REQUIRE_OK(got);
            CHECK(got->text() == value(number));
        }
    };
    REQUIRE(Store::open(place.path(), options).has_value());
    {
        ArenaEditor arena(place.path());
        arena.set(arena.header().generations, kLast - 3);
        arena.keep();
    }
    {
        auto store = Store::attach(place.path(), options);
        REQUIRE_OK(store);
        for (std::uint64_t number = 0; number < 8; ++number) REQUIRE_OK(store->append(key(number), value(number)));
        REQUIRE_OK(store->set_codec(key(5), parse_codec("zstd:3").value()));
        REQUIRE_OK(store->spill());
        CHECK(store->stats()->spilled_bytes == 80'000);
        check(*store);
        REQUIRE(store->erase(key(7)).value());
        REQUIRE_OK(store->append(key(7), value(7)));
        REQUIRE_OK(store->spill());
        check(*store);
        REQUIRE_OK(store->sync());
    }
    {
        ArenaEditor arena(place.path());
        for (std::uint64_t number = 0; number < 8; ++number) {
            const std::uint64_t identity = ArenaEditor::get(arena.chain(key(number)).identity);
            CHECK(generation_of(identity) != 0);
            if (number != 5) CHECK(codec_of(identity) == 0);
        }
        CHECK(generation_of(ArenaEditor::get(arena.chain(key(2)).identity)) == kLast);
        CHECK(generation_of(ArenaEditor::get(arena.chain(key(3)).identity)) == 1);
    }
    VerifyOptions with_files;
    with_files.files = true;
    const auto report = Store::verify(place.path(), with_files);
    REQUIRE_OK(report);
    CHECK(found_in(*report) == "");

    // Restored from its checkpoint.
    ::unlink(report->arena_path.c_str());
    auto restored = Store::attach(place.path(), options);
    REQUIRE_OK(restored);
    check(*restored);
}

TEST_CASE("verify of a store that has spilled finds it sound, and counts what is in files") {
    TemporaryStore place;
    const Options options = spilling_into(place.directory().path(), 16 * kMiB);
    Stats stats;
    {
        auto store = Store::open(place.path(), options);
        REQUIRE(store.has_value());
        fill_and_spill(*store);
        stats = *store->stats();
    }
    REQUIRE(stats.spilled_segments != 0);
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(found_in(*report) == "");
    CHECK(report->at_rest);
    CHECK(report->not_checked.empty());
    CHECK(report->blocks_leaked == 0);
    CHECK(report->spilled_segments == stats.spilled_segments);
    CHECK(report->spilled_bytes == stats.spilled_bytes);
    CHECK(report->segments == stats.segments);
    CHECK(report->records == stats.records);
    CHECK(report->payload_bytes == stats.payload_bytes);

    auto beside = Store::attach(place.path(), options);
    REQUIRE_OK(beside);
    REQUIRE_OK(beside->get("long"));
    const auto live = Store::verify(place.path());
    REQUIRE_OK(live);
    CHECK(found_in(*live) == "");
    CHECK_FALSE(live->at_rest);
    CHECK(live->spilled_segments == stats.spilled_segments);
    CHECK(live->spilled_bytes == stats.spilled_bytes);

    // What is erased counts until it is freed, and no longer as anybody's.
    REQUIRE(beside->erase("large").value());
    beside = tl::unexpected(Error{});
    const auto erased = Store::verify(place.path());
    REQUIRE_OK(erased);
    CHECK(found_in(*erased) == "");
    CHECK(erased->spilled_bytes == stats.spilled_bytes - 300'000);
}

TEST_CASE("verify names the invariant that a damaged word of what is spilled breaks, and every operation ends") {
    for (const Damaging& damaging : kSpillDamages) {
        INFO(damaging.invariant << ": " << damaging.what);
        TemporaryStore place;
        {
            auto store = Store::open(place.path(), spilling_into(place.directory().path(), 16 * kMiB));
            REQUIRE(store.has_value());
            fill_and_spill(*store);
        }
        {
            ArenaEditor arena(place.path());
            damaging.damage(arena);
            arena.keep();
        }
        const auto report = Store::verify(place.path());
        REQUIRE(report.has_value());
        CHECK_FALSE(report->sound());
        INFO(found_in(*report));
        CHECK(std::any_of(report->damage.begin(), report->damage.end(),
                          [&](const Damage& damage) { return damage.invariant == damaging.invariant; }));
        Options patient;
        patient.spill_thread = false;
        patient.room_wait_ms = 100;
        auto store = Store::attach(place.path(), patient);
        if (!store) continue;
        for (const char* key : {"long", "short", "large", "resident"}) {
            (void)store->get(key);
            (void)store->size(key);
            (void)store->records(key);
            (void)store->append(key, "a record");
        }
        (void)store->spill(8 * kMiB);
        for (const char* key : {"long", "large", "resident"}) (void)store->erase(key);
        (void)store->drop();
        (void)store->stats();
    }
}

TEST_CASE("Of many extents that lie side by side verify names each damaged one, and no other") {
    const auto codec = GENERATE("none", "zstd:3");
    constexpr int kKeys = 3000;
    constexpr int kRecordBytes = 1200;  // too long for a bundle
    const auto key = [](int number) { return "key " + std::to_string(number); };
    TemporaryStore place;
    std::vector<std::pair<std::string, StoredAt>> damaged;
    {
        Options options = spilling_into(place.directory().path(), 16 * kMiB);
        options.codec = parse_codec(codec).value();
        auto store = Store::open(place.path(), options);
        REQUIRE_OK(store);
        for (int number = 0; number < kKeys; ++number) {
            REQUIRE_OK(store->append(key(number), std::string(kRecordBytes, static_cast<char>('a' + number % 20))));
        }
        REQUIRE_OK(store->spill(16 * kMiB));
        const Stats stats = *store->stats();
        REQUIRE(stats.spilled_segments == kKeys);
        ArenaEditor arena(place.path());
        for (const int number : {7, 1500, 2999}) {
            const StoredAt at = stored_at(ArenaEditor::get(arena.segment(key(number), 0).block));
            damaged.emplace_back(fmt::format("{}/shoal-{}-{:04}.spill", options.spill_dir,
                                             stats.arena_path.substr(stats.arena_path.size() - 32), at.file),
                                 at);
        }
    }
    VerifyOptions with_files;
    with_files.files = true;
    auto report = Store::verify(place.path(), with_files);
    REQUIRE_OK(report);
    CHECK(found_in(*report) == "");
    CHECK(report->extents_read == kKeys);
    CHECK(report->stored_payload_read == kKeys * kRecordBytes);
    for (const auto& [path, at] : damaged) {
        const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        REQUIRE(file >= 0);
        char byte = 0;
        const auto offset = static_cast<off_t>(at.offset + sizeof(ExtentHeader) + 20);
        REQUIRE(::pread(file, &byte, 1, offset) == 1);
        byte = static_cast<char>(byte ^ 1);
        REQUIRE(::pwrite(file, &byte, 1, offset) == 1);
        ::close(file);
    }
    report = Store::verify(place.path(), with_files);
    REQUIRE_OK(report);
    INFO(found_in(*report));
    CHECK(report->damage_count == damaged.size());
    for (const auto& [path, at] : damaged) {
        CHECK(std::any_of(report->damage.begin(), report->damage.end(), [&, at = at](const Damage& damage) {
            return damage.invariant == "extent" && damage.offset == at.offset;
        }));
    }
}

TEST_CASE("Of a damaged bundle verify names each key that it holds, and no other") {
    constexpr int kKeys = 3000;
    const auto key = [](int number) { return "key " + std::to_string(number); };
    TemporaryStore place;
    const Options options = spilling_into(place.directory().path(), 16 * kMiB);
    std::string path;
    StoredAt damaged;
    std::uint64_t in_it = 0;
    {
        auto store = Store::open(place.path(), options);
        REQUIRE_OK(store);
        for (int number = 0; number < kKeys; ++number) REQUIRE_OK(store->append(key(number), "0123456789"));
        REQUIRE_OK(store->spill(16 * kMiB));
        const Stats stats = *store->stats();
        ArenaEditor arena(place.path());
        std::map<std::uint64_t, std::uint64_t> keys_at;
        for (int number = 0; number < kKeys; ++number)
            ++keys_at[ArenaEditor::get(arena.segment(key(number), 0).block)];
        // Any may be short: the last of a batch is.
        const auto fullest =
            std::max_element(keys_at.begin(), keys_at.end(),
                             [](const auto& one, const auto& other) { return one.second < other.second; });
        damaged = stored_at(fullest->first);
        in_it = fullest->second;
        path = fmt::format("{}/shoal-{}-{:04}.spill", options.spill_dir,
                           stats.arena_path.substr(stats.arena_path.size() - 32), damaged.file);
    }
    REQUIRE(damaged.in_bundle);
    REQUIRE(in_it > 100);
    VerifyOptions with_files;
    with_files.files = true;
    const auto whole = Store::verify(place.path(), with_files);
    REQUIRE_OK(whole);
    CHECK(whole->sound());
    CHECK(whole->stored_payload_read == kKeys * 10);
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(file >= 0);
    const auto offset = static_cast<off_t>(damaged.offset + sizeof(BundleHeader) + 20);
    REQUIRE(::pwrite(file, "\xff", 1, offset) == 1);
    ::close(file);
    const auto report = Store::verify(place.path(), with_files);
    REQUIRE_OK(report);
    CHECK(report->damage_count == in_it);
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    std::uint64_t unreadable = 0;
    for (int number = 0; number < kKeys; ++number) {
        const auto got = store->get(key(number));
        if (!got) unreadable += got.error().code == Code::kDamaged ? 1 : 0;
        if (got) REQUIRE(got->text() == "0123456789");
    }
    CHECK(unreadable == in_it);
}
