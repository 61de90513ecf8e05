// Crash points in a store that is full to the last block: what gives memory back needs none, also after a death.
#include <signal.h>

#include <array>
#include <set>
#include <string>

#include "catch.hpp"
#include "deeds.hpp"
#include "windows.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::CrashPoint;
using shoal::Store;

namespace {

constexpr std::uint64_t kSmallestLimit = 8 * kMiB;

// Each point once: the first window that leads to it by a deed that `is_wanted`, or else the first of all.
template <class Wanted>
std::vector<Window> one_window_each(Wanted&& is_wanted) {
    std::vector<Window> chosen;
    std::set<CrashPoint> seen;
    for (const bool only_wanted : {true, false}) {
        for (const Window& window : windows_of_operations()) {
            if (only_wanted && !is_wanted(window)) continue;
            if (seen.insert(window.point).second) chosen.push_back(window);
        }
    }
    return chosen;
}

// A full store that spills has nothing left to spill: a key goes, and what comes in its room is spilled.
const Deed kSpillAtLimit{"spill at the limit", [](Scene&) {},
                         [](Scene&, Store& own, std::uint64_t) -> std::string {
                             const auto keys = own.keys();
                             EXPECT_OK(keys);
                             EXPECT(!keys->empty());
                             EXPECT_OK(own.erase(keys->front()));
                             for (int number = 0; number < 8; ++number)
                                 (void)own.append(deeds::new_aside("late"), std::string(100, 'l'));
                             EXPECT_OK(own.spill(kSpillAll));
                             return {};
                         },
                         true};

bool gives_memory_back(const Window& window) {
    const std::string& name = window.deed.name;
    return name.starts_with("erase") || name.starts_with("drop") || name.starts_with("spill") ||
           name.starts_with("recovery");
}

// No block of any size is left: the largest first, so that what is left of a run of pages goes to smaller ones.
// Where records would be spilled, it is keys that fill the store: they stay in memory.
std::string fill_up(Store& store, bool spills) {
    static std::uint64_t names = 0;
    for (const std::size_t bytes :
         std::array<std::size_t, 11>{500'000, 100'000, 30'000, 14'000, 6'000, 3'000, 1'400, 700, 300, 100, 30}) {
        if (spills && bytes > shoal::kMaxKeyBytes / 2) continue;
        for (;;) {
            std::string key = std::string(kAside) + std::to_string(++names), record = "f";
            (spills ? key : record).append(bytes, 'f');
            const auto appended = store.append(key, record);
            if (failed_with(appended, Code::kMemoryLimit)) break;
            EXPECT_OK(appended);
        }
    }
    return {};
}

// As erase_all; nothing is left of what was there.
std::string empty(Store& store) {
    const std::string wrong = erase_all(store);
    if (!wrong.empty()) return wrong;
    for (int turn = 0; turn < 4; ++turn) EXPECT_OK(store.stats());  // each moves the epoch on
    const auto stats = store.stats();
    EXPECT_OK(stats);
    EXPECT(stats->keys == 0);
    EXPECT(stats->segments == 0);
    return {};
}

// Of the bytes in use, without those that the process table grew by where the deed came to that: it never shrinks.
std::uint64_t without_table_growth(const Deed& deed, std::uint64_t bytes) {
    constexpr std::uint64_t kChunkBytes = shoal::kSlotsAChunk * sizeof(shoal::Slot);
    return &deed == &deeds::kCrowd && bytes >= kChunkBytes ? bytes - kChunkBytes : bytes;
}

// All memory is back but for what the deaths leaked, a block each, and what the process table has grown by; and
// after a repair, all.
std::string all_is_back(Scene& scene, std::size_t deaths, const Deed& deed) {
    {
        auto late = Store::attach(scene.path(), without_spill_thread());  // which recovers the dead
        EXPECT_OK(late);
        const std::string wrong = empty(*late);
        if (!wrong.empty()) return wrong;
    }
    const auto report = scene.verify();
    EXPECT_OK(report);
    EXPECT(report->at_rest);
    EXPECT(report->sound());
    EXPECT(report->pages_with_leaks <= deaths);
    const std::uint64_t leaked = without_table_growth(deed, scene.leaked_outside_of_index());
    if (leaked > report->leaked_bytes)
        return "all is erased, and " + std::to_string(leaked) + " bytes are used that nothing names; leaked are " +
               std::to_string(report->leaked_bytes);
    EXPECT_OK(scene.verify({.repair = true}));
    EXPECT(without_table_growth(deed, scene.leaked_outside_of_index()) == 0);
    EXPECT_OK(scene.store().drop());
    EXPECT(without_table_growth(deed, scene.leaked_bytes()) == 0);
    return {};
}

shoal::Options without_waiting() {
    shoal::Options options = without_spill_thread();
    options.room_wait_ms = 0;
    return options;
}

}  // namespace

TEST_CASE("In a full store a process is killed at any crash point, and others erase all and have all memory back",
          "[process]") {
    std::size_t died = 0;
    for (const Window& window : one_window_each(gives_memory_back)) {
        const Deed& deed = &window.deed == &deeds::kSpill ? kSpillAtLimit : window.deed;
        INFO(shoal::crash::name(window.point) << " " << window.passing << ", " << window.deed.name);
        Scene scene(window.deed.spills, kSmallestLimit);
        std::string wrong;
        scene.before_deed = [&] {
            auto filler = Store::attach(scene.path(), without_waiting());
            wrong = filler ? fill_up(*filler, window.deed.spills) : describe(filler);
        };
        scene.options_of_child = without_waiting();
        Child child = start_deed(scene, deed, window.point, window.passing, shoal::crash::kill_here);
        const std::string ended = child.wait();  // without memory not every deed comes to its point
        CHECK(wrong == "");
        died += child.killed_by() == SIGKILL ? 1 : 0;
        INFO(ended);
        CHECK(all_is_back(scene, 2, window.deed) == "");  // one of its own, and one of what it was to recover
    }
    INFO(died << " deeds came to their crash point");
    CHECK(died >= 60);
}

TEST_CASE(
    "While a process is stopped at any crash point others fill the store and erase all, and its death leaves no "
    "more",
    "[process]") {
    for (const Window& window : one_window_each([](const Window& each) { return !gives_memory_back(each); })) {
        INFO(shoal::crash::name(window.point) << " " << window.passing << ", " << window.deed.name);
        Scene scene(window.deed.spills, kSmallestLimit);
        scene.options_of_child = without_waiting();
        Child child = start_deed(scene, window.deed, window.point, window.passing, shoal::crash::stop_here);
        REQUIRE(has_stopped(child));
        {
            auto other = Store::attach(scene.path(), without_waiting());
            REQUIRE_OK(other);
            CHECK(fill_up(*other, window.deed.spills) == "");
            CHECK(empty(*other) == "");
        }
        child.kill();
        (void)child.wait();
        CHECK(all_is_back(scene, 2, window.deed) == "");
    }
}
