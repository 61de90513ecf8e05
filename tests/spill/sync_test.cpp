// What a sync makes durable outlives the arena: all of it, and what was erased stays erased.
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "durable_place.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Options;
using shoal::Store;

namespace {

Store opened(const DurablePlace& place, const Options& options) {
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    return std::move(*store);
}

// Keys of every shape: empty, small, of many segments, of one large record, spilled, partly spilled, resident.
void fill(Store& store) {
    REQUIRE_OK(store.append("", "the empty key"));
    REQUIRE_OK(store.append("empty value", ""));
    for (int turn = 0; turn < 3; ++turn) {
        for (int number = 0; number < 200; ++number) {
            const auto seed = static_cast<std::uint64_t>(turn * 1000 + number);
            REQUIRE_OK(store.append("small " + std::to_string(number), pattern(40 + seed % 50, seed)));
        }
        for (std::uint64_t record = 0; record < 300; ++record) {
            REQUIRE_OK(store.append("long", pattern(997, record)));
        }
        if (turn == 0) REQUIRE_OK(store.append("large", pattern(3 * kMiB + 123, 5)));
        REQUIRE_OK(store.append(std::string(60'000, 'k'), pattern(5000, 7)));
        if (turn == 0) REQUIRE_OK(store.spill());
    }
    REQUIRE_OK(store.append("large", pattern(2 * kMiB, 6)));
    REQUIRE_OK(store.append("late", "only in memory"));
}

void damage(const std::string& path, std::uint64_t at) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put('\xfe');
}

}  // namespace

TEST_CASE("what was synced is there when the arena is gone, whatever became of it afterwards") {
    const std::string codec = GENERATE("none", "lz4", "zstd", "blosc:8");
    CAPTURE(codec);
    const DurablePlace place;
    Values synced;
    {
        Store store = opened(place, place.options(32 * kMiB, codec));
        fill(store);
        synced = values_of(store);
        const auto report = store.sync();
        REQUIRE_OK(report);
        CHECK(report->keys == synced.size());
        CHECK(report->copied_bytes > 2 * kMiB);
        CHECK(report->payload_bytes > report->copied_bytes);
        // All of this is after it.
        REQUIRE_OK(store.append("late", "r and later"));
        REQUIRE_OK(store.append("new", "too late"));
        REQUIRE_OK(store.erase("long"));
        REQUIRE_OK(store.append("small 7", std::string(200'000, 'x')));
        REQUIRE_OK(store.spill());
        REQUIRE_OK(store.erase("small 9"));
        REQUIRE_OK(store.append("small 9", "made anew"));
    }
    place.lose_memory();
    Store store = opened(place, place.options(32 * kMiB));
    CHECK(values_of(store) == synced);
    if (!kThreadSanitizer)
        CHECK(Store::verify(place.path())->damage.empty());  // a second mapping: see kTwoMappings
    // And it goes on like any other.
    REQUIRE_OK(store.append("late", "!"));
    CHECK(store.get("late")->text() == "only in memory!");
    REQUIRE_OK(store.append("long", pattern(500'000, 1)));
    REQUIRE_OK(store.spill());
    CHECK(store.get("long")->text() == synced["long"] + pattern(500'000, 1));
}

TEST_CASE("a store comes back again and again, each time as it was synced last") {
    const DurablePlace place;
    Values synced;
    for (int life = 0; life < 4; ++life) {
        CAPTURE(life);
        Store store = opened(place, place.options(16 * kMiB));
        CHECK(values_of(store) == synced);
        for (int number = 0; number < 50; ++number) {
            const std::string key = "key " + std::to_string(number * (life + 1) % 70);
            REQUIRE_OK(store.append(key, pattern(2000, static_cast<std::uint64_t>(life * 100 + number))));
            if (number % 7 == 0) REQUIRE_OK(store.erase("key " + std::to_string(number)));
        }
        if (life % 2 == 0) REQUIRE_OK(store.spill());
        synced = values_of(store);
        REQUIRE_OK(store.sync());
        REQUIRE_OK(store.append("not synced", "x"));
        { const Store gone = std::move(store); }
        place.lose_memory();
    }
}

TEST_CASE("segments of any number of pages come back") {
    const bool spilled = GENERATE(false, true);
    const DurablePlace place;
    Values synced;
    {
        Store store = opened(place, place.options(64 * kMiB));
        for (std::uint64_t at = 0; at < 40; ++at) {
            REQUIRE_OK(store.append("one after the other", pattern(40'000 + at % 3 * 60'000, at)));
            for (std::uint64_t part = 0; part < 40; ++part) REQUIRE_OK(store.append("small", pattern(1000, part)));
        }
        if (spilled) REQUIRE_OK(store.spill());
        REQUIRE_OK(store.sync());
        synced = values_of(store);
    }
    place.lose_memory();
    CHECK((values_of(opened(place, place.options(64 * kMiB))) == synced));
    CHECK(Store::verify(place.path())->damage.empty());
}

TEST_CASE("what was erased or dropped before a sync stays away") {
    const DurablePlace place;
    {
        Store store = opened(place, place.options(16 * kMiB));
        for (const char* key : {"stays", "erased", "erased while spilled"}) {
            REQUIRE_OK(store.append(key, pattern(100'000, 3)));
        }
        REQUIRE_OK(store.sync());
        REQUIRE_OK(store.erase("erased"));
        REQUIRE_OK(store.spill());
        REQUIRE_OK(store.erase("erased while spilled"));
        REQUIRE_OK(store.sync());
    }
    place.lose_memory();
    {
        Store store = opened(place, place.options(16 * kMiB));
        CHECK(values_of(store) == Values{{"stays", pattern(100'000, 3)}});
        REQUIRE_OK(store.drop());
        REQUIRE_OK(store.sync());
    }
    place.lose_memory();
    Store store = opened(place, place.options(16 * kMiB));
    CHECK(store.keys()->empty());
    CHECK(place.disk_bytes() == 0);
}

TEST_CASE("a sync writes what changed since the last one, and leaves what is resident in memory") {
    const DurablePlace place;
    Store store = opened(place, place.options(32 * kMiB));
    for (int number = 0; number < 20; ++number) {
        REQUIRE_OK(store.append("key " + std::to_string(number), pattern(200'000, 1)));
    }
    CHECK(store.sync()->copied_bytes == 20 * 200'000);
    CHECK(store.sync()->copied_bytes == 0);
    REQUIRE_OK(store.append("key 3", "more"));
    const auto report = store.sync();
    REQUIRE_OK(report);
    CHECK(report->copied_bytes >= 4);
    CHECK(report->copied_bytes <= 200'000 + 4);
    CHECK(store.view("key 3")->loaded_bytes() == 0);
    CHECK(store.stats()->spilled_bytes == 0);
}

TEST_CASE("a sync that finds nothing changed writes nothing, and says what is durable") {
    const DurablePlace place;
    Store store = opened(place, place.options(32 * kMiB));
    fill(store);
    const auto first = store.sync();
    REQUIRE_OK(first);
    const std::string checkpoint = place.checkpoint();
    for (int turn = 0; turn < 3; ++turn) {
        const auto again = store.sync();
        REQUIRE_OK(again);
        CHECK(again->keys == first->keys);
        CHECK(again->records == first->records);
        CHECK(again->payload_bytes == first->payload_bytes);
        CHECK(again->copied_bytes == 0);
        CHECK(again->written_bytes == 0);
        CHECK(place.checkpoint() == checkpoint);
    }
    // Reading changes nothing.
    REQUIRE_OK(store.get("long"));
    REQUIRE_OK(store.size("large"));
    CHECK_FALSE(store.iset("late", "is there").value());
    CHECK_FALSE(store.erase("is not there").value());
    CHECK(store.sync()->written_bytes == 0);
    // A checkpoint that was removed by hand is written anew.
    std::filesystem::remove(checkpoint);
    CHECK(store.sync()->written_bytes != 0);
    const Values synced = values_of(store);
    { const Store gone = std::move(store); }
    place.lose_memory();
    CHECK(values_of(opened(place, place.options(32 * kMiB))) == synced);
}

TEST_CASE("whatever changes a store that was synced, by this process or another, the next sync has it") {
    struct Change {
        const char* what;
        void (*make)(Store& store);
    };
    const Change change =
        GENERATE(Change{"append", [](Store& store) { REQUIRE_OK(store.append("late", "!")); }},
                 Change{"append of nothing", [](Store& store) { REQUIRE_OK(store.append("late", "")); }},
                 Change{"append to a spilled key", [](Store& store) { REQUIRE_OK(store.append("large", "!")); }},
                 Change{"append beyond the end of a segment",
                        [](Store& store) { REQUIRE_OK(store.append("small 7", pattern(5000, 3))); }},
                 Change{"append of a large record",
                        [](Store& store) { REQUIRE_OK(store.append("late", pattern(kMiB, 3))); }},
                 Change{"append of a very large record",
                        [](Store& store) { REQUIRE_OK(store.append("late", pattern(3 * kMiB, 3))); }},
                 Change{"batch",
                        [](Store& store) {
                            const std::vector<shoal::Pair> batch{{"late", "a"}, {"late", "b"}, {"small 3", "c"}};
                            REQUIRE_OK(store.append(batch));
                        }},
                 Change{"new key", [](Store& store) { REQUIRE_OK(store.append("new", "!")); }},
                 Change{"iset", [](Store& store) { REQUIRE(store.iset("new", "!").value()); }},
                 Change{"erase", [](Store& store) { REQUIRE(store.erase("small 9").value()); }},
                 Change{"erase of a spilled key", [](Store& store) { REQUIRE(store.erase("large").value()); }},
                 Change{"a key made anew",
                        [](Store& store) {
                            REQUIRE(store.erase("late").value());
                            REQUIRE_OK(store.append("late", "only in memory"));
                        }},
                 Change{"drop", [](Store& store) { REQUIRE_OK(store.drop()); }});
    const bool by_another = GENERATE(false, true);
    CAPTURE(change.what, by_another);
    const DurablePlace place;
    Values synced;
    {
        Store store = opened(place, place.options(48 * kMiB));
        fill(store);
        REQUIRE_OK(store.sync());
        for (int turn = 0; turn < 2; ++turn) {  // once more, when it has been synced again
            REQUIRE(store.sync()->written_bytes == 0);
            if (turn == 1) REQUIRE_OK(store.iset("late", "made by a drop"));
            if (by_another && !kThreadSanitizer) {
                Store other = opened(place, place.options(48 * kMiB));
                change.make(other);
            } else {
                change.make(store);
            }
            CHECK(store.sync()->written_bytes != 0);
            if (turn == 0 && !std::string(change.what).starts_with("append") && std::string(change.what) != "batch")
                break;  // once is all that these can do
        }
        synced = values_of(store);
    }
    place.lose_memory();
    CHECK(values_of(opened(place, place.options(48 * kMiB))) == synced);
}

TEST_CASE("while threads append, syncs that follow each other miss nothing, whether they find changes or none") {
    const DurablePlace place;
    Values synced;
    {
        Store store = opened(place, place.options(48 * kMiB));
        std::atomic<bool> ended{false};
        std::atomic<int> failures{0};
        std::vector<std::thread> threads;
        for (int number = 0; number < 2; ++number) {
            threads.emplace_back([&, number] {
                for (int record = 0; record < 3000; ++record) {
                    const std::string key = "key " + std::to_string(record % 5 + number);
                    if (!store.append(key, pattern(20, static_cast<std::uint64_t>(record)))) failures += 1;
                }
            });
        }
        std::thread syncer([&] {
            while (!ended) {
                if (!store.sync()) failures += 1;
            }
        });
        for (std::thread& thread : threads) thread.join();
        const auto last = store.sync();
        ended = true;
        syncer.join();
        REQUIRE_OK(last);
        CHECK(failures == 0);
        CHECK(last->records == 6000);
        synced = values_of(store);
    }
    place.lose_memory();
    CHECK(values_of(opened(place, place.options(48 * kMiB))) == synced);
}

TEST_CASE(
    "a sync of few changed keys writes those alone, and the store comes back from all that syncs have written") {
    const DurablePlace place;
    constexpr unsigned kKeys = 4000;
    Values synced;
    {
        Store store = opened(place, place.options(32 * kMiB));
        for (unsigned number = 0; number < kKeys; ++number)
            REQUIRE_OK(store.append("key " + std::to_string(number), pattern(40, number)));
        const auto first = store.sync();
        REQUIRE_OK(first);
        std::size_t keys = kKeys;
        for (unsigned turn = 0; turn < 20; ++turn) {  // more than there may be deltas
            for (unsigned number = turn; number < 100; number += 20)
                REQUIRE_OK(store.append("key " + std::to_string(number), "more"));
            REQUIRE(store.erase("key " + std::to_string(200 + turn)).value());
            REQUIRE_OK(store.append("new " + std::to_string(turn), "is new"));
            const auto again = store.sync();
            REQUIRE_OK(again);
            CHECK(again->keys == keys);
            CHECK(again->records == kKeys + 5 * (turn + 1));
            const bool is_base = turn == 16;
            CHECK((again->written_bytes < first->written_bytes / 20) == !is_base);
            CHECK(place.checkpoints() == (is_base ? 1U : turn < 16 ? turn + 2 : turn - 15));
        }
        synced = values_of(store);
        CHECK(Store::verify(place.path(), {})->damage.empty());
    }
    place.lose_memory();
    Store store = opened(place, place.options(32 * kMiB));
    CHECK(values_of(store) == synced);
    // What was restored has not changed, and what changes then goes on from the same files.
    CHECK(store.sync()->written_bytes == 0);
    REQUIRE_OK(store.append("key 0", "after it came back"));
    REQUIRE(store.erase("new 3").value());
    CHECK(store.sync()->written_bytes < 100'000);
    synced = values_of(store);
    { const Store gone = std::move(store); }
    place.lose_memory();
    CHECK(values_of(opened(place, place.options(32 * kMiB))) == synced);
    CHECK(Store::verify(place.path(), {})->damage.empty());
}

TEST_CASE("the files of small keys that were all erased go with the next sync") {
    const DurablePlace place;
    Store store = opened(place, place.options(32 * kMiB));
    for (int number = 0; number < 3000; ++number)
        REQUIRE_OK(store.append("key " + std::to_string(number), pattern(40, 1)));
    REQUIRE_OK(store.spill());
    REQUIRE_OK(store.sync());
    for (int number = 0; number < 3000; ++number) REQUIRE(store.erase("key " + std::to_string(number)).value());
    REQUIRE_OK(store.sync());
    CHECK(place.checkpoints() == 1);
    for (int turn = 0; turn < 10 && !place.spill_files().empty(); ++turn) {  // the last chains are freed
        REQUIRE_OK(store.append("another", "x"));
        REQUIRE(store.erase("another").value());
        REQUIRE_OK(store.sync());
    }
    CHECK(place.spill_files().empty());
}

TEST_CASE("a delta whose base cannot be read is an error, and a sync then writes a base") {
    const DurablePlace place;
    Store store = opened(place, place.options(16 * kMiB));
    fill(store);
    const auto append_to_long_keys = [&store] {  // which take more than one block of a checkpoint
        for (char letter = 'a'; letter <= 'z'; ++letter) REQUIRE_OK(store.append(std::string(60'000, letter), "x"));
    };
    append_to_long_keys();
    REQUIRE_OK(store.sync());
    const std::string base = place.checkpoint();
    REQUIRE_OK(store.append("late", "more"));
    REQUIRE_OK(store.sync());
    const std::string delta = place.checkpoint();
    REQUIRE(delta != base);
    SECTION("it is damaged at its beginning") { damage(base, 300); }
    SECTION("it is damaged behind its beginning") { damage(base, std::filesystem::file_size(base) - 500); }
    SECTION("it is gone") { std::filesystem::remove(base); }
    CHECK_FALSE(Store::verify(place.path(), {})->damage.empty());
    append_to_long_keys();
    const Values synced = values_of(store);
    REQUIRE_OK(store.sync());
    CHECK(place.checkpoints() == 1);
    CHECK_FALSE(std::filesystem::exists(delta));
    { const Store gone = std::move(store); }
    place.lose_memory();
    CHECK(values_of(opened(place, place.options(16 * kMiB))) == synced);
}

TEST_CASE("whatever is done between syncs and losses of memory, what was synced last is what comes back") {
    const auto seed = GENERATE(1U, 2U, 3U, 4U);
    CAPTURE(seed);
    const DurablePlace place;
    std::uint32_t state = seed * 7919;
    const auto below = [&](std::uint32_t bound) {
        state = state * 1664525 + 1013904223;
        return (state >> 8) % bound;
    };
    std::optional<Store> store(opened(place, place.options(24 * kMiB)));
    Values synced;
    for (int round = 0; round < 60; ++round) {
        CAPTURE(round);
        for (std::uint32_t left = below(60); left > 0; --left) {
            const std::string key = "key " + std::to_string(below(300));
            const std::string record = pattern(below(8) == 0 ? 20'000 + below(40'000) : below(200), state);
            switch (below(12)) {
                case 0:
                case 1:
                    REQUIRE_OK(store->erase(key));
                    break;
                case 2:
                    REQUIRE_OK(store->iset(key, record));
                    break;
                case 3:
                    if (below(10) == 0) REQUIRE_OK(store->spill(below(500'000)));
                    break;
                case 4:
                    if (below(60) == 0) REQUIRE_OK(store->drop());
                    break;
                default:
                    REQUIRE_OK(store->append(key, record));
            }
        }
        if (below(3) != 0) {
            const Values now = values_of(*store);
            const auto done = store->sync();
            REQUIRE_OK(done);
            CHECK(done->keys == now.size());
            std::uint64_t bytes = 0;
            for (const auto& [key, value] : now) bytes += value.size();
            CHECK(done->payload_bytes == bytes);
            synced = now;
        }
        if (below(5) == 0) {
            if (round % 2 == 0) CHECK(Store::verify(place.path(), {})->damage.empty());
            store.reset();
            place.lose_memory();
            if (synced.empty() && place.checkpoint().empty()) {
                store.emplace(opened(place, place.options(24 * kMiB)));
                continue;
            }
            store.emplace(opened(place, place.options(24 * kMiB)));
            REQUIRE(values_of(*store) == synced);
        }
    }
    REQUIRE_OK(store->drop());
    REQUIRE_OK(store->sync());
    CHECK(store->stats()->stored_bytes == 0);
    CHECK(place.spill_files().empty());
    CHECK(place.checkpoints() == 1);
}

TEST_CASE("the room of what a sync had copied comes back with the sync after its end") {
    const DurablePlace place;
    Store store = opened(place, place.options(64 * kMiB));
    REQUIRE_OK(store.append("key", pattern(8 * kMiB, 1)));
    REQUIRE_OK(store.append("other", pattern(kMiB, 1)));
    REQUIRE_OK(store.sync());
    const std::uint64_t before = place.disk_bytes();
    CHECK(before >= 9 * kMiB);
    REQUIRE_OK(store.erase("key"));
    CHECK(place.disk_bytes() == before);  // until then a loss of memory brings the key back
    REQUIRE_OK(store.sync());
    CHECK(place.disk_bytes() <= 2 * kMiB);
    // What was spilled since it was copied is there twice, until the next sync.
    REQUIRE_OK(store.spill());
    REQUIRE_OK(store.sync());
    CHECK(place.disk_bytes() <= 2 * kMiB);
    CHECK(store.get("other")->text() == pattern(kMiB, 1));
}

TEST_CASE("a store that was never synced says so when its arena is gone, and one that does not spill refuses") {
    const DurablePlace place;
    { const Store store = opened(place, place.options(16 * kMiB)); }
    place.lose_memory();
    const auto again = Store::open(place.path(), place.options(16 * kMiB));
    REQUIRE_CODE(again, Code::kArenaGone);
    CHECK(again.error().message.find("never synced") != std::string::npos);
    REQUIRE_OK(Store::destroy(place.path()));

    const TemporaryStore plain;
    auto store = Store::open(plain.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_CODE(store->sync(), Code::kInvalidArgument);
}

TEST_CASE(
    "a durable store is synced by its close, and keeps its files in its own directory unless told otherwise") {
    const TemporaryDirectory arenas("/dev/shm");
    const TemporaryDirectory stores;
    Options options = with_limit(16 * kMiB);
    options.arena_dir = arenas.path();
    options.durable = true;
    const auto lose_memory = [&] {
        for (const std::string& name : arenas.entries()) std::filesystem::remove(arenas / name);
    };
    for (int life = 0; life < 3; ++life) {
        auto store = life == 1 ? Store::attach(stores / "store", options) : Store::open(stores / "store", options);
        REQUIRE_OK(store);
        if (life != 0) CHECK(store->get("key")->text() == std::string(static_cast<std::size_t>(life), 'x'));
        REQUIRE_OK(store->append("key", "x"));
        { const Store gone = std::move(*store); }
        lose_memory();
    }
    REQUIRE_OK(Store::destroy(stores / "store"));
    CHECK(stores.entries().empty());
    options.temporary = true;
    REQUIRE_CODE(Store::open(stores / "store", options), Code::kInvalidArgument);
    CHECK(stores.entries().empty());
}

TEST_CASE("destroy removes the checkpoint too, also when the arena is gone") {
    const bool lost = GENERATE(false, true);
    CAPTURE(lost);
    const DurablePlace place;
    {
        Store store = opened(place, place.options(16 * kMiB));
        REQUIRE_OK(store.append("key", "value"));
        REQUIRE_OK(store.sync());
    }
    CHECK_FALSE(place.checkpoint().empty());
    if (lost) place.lose_memory();
    REQUIRE_OK(Store::destroy(place.path()));
    CHECK(std::filesystem::is_empty(place.folder()));
    CHECK_FALSE(place.has_arena());
    Store store = opened(place, place.options(16 * kMiB));
    CHECK(store.keys()->empty());
}

TEST_CASE("of several checkpoints the one with the highest number counts, and the next sync removes the others") {
    const DurablePlace place;
    Values synced;
    std::string older;
    std::string newer;
    {
        Store store = opened(place, place.options(16 * kMiB));
        for (int number = 0; number < 12; ++number) {  // ten and more: the order of numbers is not that of texts
            REQUIRE_OK(store.append("key " + std::to_string(number), pattern(3000, 1)));
            REQUIRE_OK(store.sync());
            if (number == 8) std::filesystem::copy_file(place.checkpoint(), place.path() + "/kept");
            if (number == 8) older = place.checkpoint();
        }
        newer = place.checkpoint();
        synced = values_of(store);
    }
    std::filesystem::rename(place.path() + "/kept", older);
    std::filesystem::copy_file(older, newer + "9.new");  // a sync that was killed
    place.lose_memory();
    {
        Store store = opened(place, place.options(16 * kMiB));
        CHECK(values_of(store) == synced);
        // Deltas, and then a base, which needs none of those before.
        for (int number = 0; number < 40; ++number) {
            REQUIRE_OK(store.append("key " + std::to_string(number), "more"));
            if (number >= 38) REQUIRE_OK(store.sync());
        }
        synced = values_of(store);
        CHECK_FALSE(std::filesystem::exists(older));
        CHECK_FALSE(std::filesystem::exists(newer));
        CHECK(place.checkpoints() == 1);
    }
    place.lose_memory();
    CHECK(values_of(opened(place, place.options(16 * kMiB))) == synced);
}

TEST_CASE("a store whose checkpoint has no number, as earlier builds wrote it, comes back and is synced on") {
    const DurablePlace place;
    Values synced;
    {
        Store store = opened(place, place.options(16 * kMiB));
        fill(store);
        synced = values_of(store);
        REQUIRE_OK(store.sync());
    }
    const std::string name = place.checkpoint();
    const std::string before = name.substr(0, name.rfind('-'));
    std::filesystem::rename(name, before);
    place.lose_memory();
    {
        Store store = opened(place, place.options(16 * kMiB));
        CHECK(values_of(store) == synced);
        CHECK(store.stats()->synced_unix_s != 0);
        CHECK(store.sync()->copied_bytes == 0);
        CHECK_FALSE(std::filesystem::exists(before));
        REQUIRE_OK(store.erase("large"));
        synced = values_of(store);
        REQUIRE_OK(store.sync());
    }
    place.lose_memory();
    Store store = opened(place, place.options(16 * kMiB));
    CHECK(values_of(store) == synced);
    REQUIRE_OK(store.drop());
    REQUIRE_OK(store.sync());
    CHECK(place.spill_files().empty());
}

TEST_CASE("an arena too small for the keys of a checkpoint is refused, and a larger one takes them") {
    const DurablePlace place;
    {
        Store store = opened(place, place.options(64 * kMiB));
        for (int number = 0; number < 100'000; ++number) REQUIRE_OK(store.append(std::to_string(number), "x"));
        REQUIRE_OK(store.sync());
    }
    place.lose_memory();
    const auto small = Store::open(place.path(), place.options(8 * kMiB));
    REQUIRE_CODE(small, Code::kMemoryLimit);
    CHECK(small.error().message.find("100000 keys") != std::string::npos);
    CHECK_FALSE(place.has_arena());
    const auto store = Store::attach(place.path());  // as it was
    REQUIRE_OK(store);
    CHECK(store->stats()->memory_limit_bytes == 64 * kMiB);
    CHECK(store->keys()->size() == 100'000);
}

TEST_CASE("a restoring and a check tell how far they are, and end when they are told to") {
    constexpr int kKeys = 40'000;
    const DurablePlace place;
    {
        Store store = opened(place, place.options(64 * kMiB));
        for (unsigned number = 0; number < kKeys; ++number)
            REQUIRE_OK(store.append(std::to_string(number), std::string(200, 'x')));
        REQUIRE_OK(store.sync());
    }
    place.lose_memory();
    const auto stop = [](const shoal::CheckProgress&) { return false; };
    const auto stopped = Store::recover(place.path(), {}, {stop});
    REQUIRE_CODE(stopped, Code::kSystem);
    CHECK(stopped.error().system_errno == ECANCELED);
    CHECK_FALSE(place.has_arena());

    std::vector<shoal::CheckProgress> told;
    const auto recovered = Store::recover(place.path(), {}, {[&](const shoal::CheckProgress& progress) {
                                              told.push_back(progress);
                                              return true;
                                          }});
    REQUIRE_OK(recovered);
    CHECK(recovered->restored);
    CHECK(recovered->found.keys == kKeys);
    REQUIRE(told.size() > 8);  // of some 3 MiB of checkpoint, and of 8 MB that are read twice
    for (std::size_t at = 0; at < told.size(); ++at) {
        CHECK((told[at].fraction >= 0 && told[at].fraction <= 1));
        if (at == 0 || told[at].step != told[at - 1].step) continue;
        CHECK(told[at].fraction >= told[at - 1].fraction);
        CHECK(told[at].bytes >= told[at - 1].bytes);
    }
    CHECK(told.front().step == shoal::CheckProgress::Step::kRestoring);
    CHECK(told.back().step == shoal::CheckProgress::Step::kChecking);
    CHECK(told.back().bytes == 2 * kKeys * 200);

    shoal::VerifyOptions options;
    options.progress = stop;
    const auto verified = Store::verify(place.path(), options);
    REQUIRE_CODE(verified, Code::kSystem);
    CHECK(verified.error().system_errno == ECANCELED);
    REQUIRE_OK(Store::verify(place.path()));
    REQUIRE_OK(opened(place, {}).sync());  // the check has given back the turn to sync
}

TEST_CASE(
    "appends, erases and spills go on while it is synced again and again, and each sync has what was before") {
    const DurablePlace place;
    constexpr int kWriters = 3;
    constexpr int kKeys = 40;
    std::vector<std::vector<int>> acknowledged(kWriters, std::vector<int>(kKeys));
    std::vector<std::vector<int>> at_sync;
    {
        Store store = opened(place, place.options(16 * kMiB));
        std::atomic<bool> stop{false};
        std::vector<std::atomic<int>> turns(kWriters);
        std::vector<std::string> failures(kWriters);
        std::vector<std::thread> threads;
        for (int writer = 0; writer < kWriters; ++writer) {
            threads.emplace_back([&, writer] {
                const auto own = static_cast<std::size_t>(writer);
                for (int turn = 0; !stop; ++turn) {
                    const std::string key = std::to_string(writer) + "/" + std::to_string(turn % kKeys);
                    std::string record = std::to_string(turn / kKeys) + ",";
                    record.resize(2000, '.');
                    const auto appended = store.append(key, record);
                    if (!appended) {
                        failures[own] = appended.error().message;
                        return;
                    }
                    turns[own] = turn + 1;
                    if (turn % 1000 == 999) (void)store.erase("erased " + std::to_string(writer));
                    (void)store.append("erased " + std::to_string(writer), "x");
                }
            });
        }
        for (int round = 0; round < 6; ++round) {
            at_sync.emplace_back(turns.begin(), turns.end());
            const auto synced = store.sync();
            REQUIRE_OK(synced);
        }
        stop = true;
        for (std::thread& thread : threads) thread.join();
        for (const std::string& failure : failures) CHECK(failure.empty());
    }
    place.lose_memory();
    const Store store = opened(place, place.options(16 * kMiB));
    for (int writer = 0; writer < kWriters; ++writer) {
        for (int key = 0; key < kKeys; ++key) {
            const int turns = at_sync.back()[static_cast<std::size_t>(writer)];
            const int least = turns / kKeys + (turns % kKeys > key ? 1 : 0);
            const auto records = store.records(std::to_string(writer) + "/" + std::to_string(key));
            if (!records && least == 0) continue;
            REQUIRE_OK(records);
            int next = 0;
            bool in_order = true;
            for (const auto record : *records) {
                in_order = in_order && record.text().starts_with(std::to_string(next++) + ",");
            }
            CHECK(in_order);
            CHECK(next >= least);
        }
    }
}
