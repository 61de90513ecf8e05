// Crash points in a store that is full to the last block: what gives memory back needs none, also after a death;
// and the error of an append for which memory is missing names the process that is stopped with it.
#include <signal.h>

#include <cctype>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

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
// Where records would be spilled, it is keys that fill the store: they stay in memory. Where `refused` judges the
// errors, there are few sizes, and some small blocks left.
class Filler {
public:
    using Judge = std::function<std::string(const shoal::Error&)>;

    explicit Filler(bool spills) : spills_(spills) {}

    std::string fill_up(Store& store, const Judge& refused = {}) {
        // A refusal while memory waits for a stopped process takes some tens of milliseconds.
        const std::vector<std::size_t> sizes =
            refused ? std::vector<std::size_t>{100'000, 3'000, 100}
                    : std::vector<std::size_t>{500'000, 100'000, 30'000, 14'000, 6'000, 3'000,
                                               1'400,   700,     300,    100,    30};
        for (const std::size_t bytes : sizes) {
            if (spills_ && bytes > shoal::kMaxKeyBytes / 2) continue;
            for (;;) {
                std::string key = deeds::new_aside("fill"), record = "f";
                (spills_ ? key : record).append(bytes, 'f');
                const auto appended = store.append(key, record);
                if (failed_with(appended, Code::kMemoryLimit)) {
                    const std::string wrong = refused ? refused(appended.error()) : "";
                    if (!wrong.empty()) return wrong;
                    break;
                }
                EXPECT_OK(appended);
                keys_.push_back(std::move(key));
            }
        }
        return {};
    }

    // What is there of it yet: the store may have been dropped since.
    std::string erase(Store& store) {
        for (const std::string& key : keys_) EXPECT_OK(store.erase(key));
        keys_.clear();
        return {};
    }

private:
    bool spills_;
    std::vector<std::string> keys_;
};

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
    if (report->blocks_leaked != 0) EXPECT_OK(scene.verify({.repair = true}));
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

// Each point of an operation and of a sync, where a process may hold memory, and each window of a recovery: there
// it is a dead one's.
std::vector<Window> windows_to_stop_in() {
    const auto recovers = [](const Window& window) { return window.deed.name.starts_with("recovery"); };
    std::vector<Window> all;
    for (const Window& window : one_window_each([&](const Window& each) { return !recovers(each); })) {
        if (!recovers(window)) all.push_back(window);
    }
    for (const Window& window : windows_of_operations()) {
        if (recovers(window)) all.push_back(window);
    }
    for (const CrashPoint point : points_in_syncs()) all.push_back({point, deeds::kSync});
    return all;
}

bool names(const shoal::Error& error, const Child& child) {
    const std::string process = "process " + std::to_string(child.pid());
    const std::size_t at = error.message.find(process);
    return at != std::string::npos && std::isdigit(error.message.c_str()[at + process.size()]) == 0;
}

// A full store's error, and stat, name the process that is stopped, or none.
std::string names_no_other(const shoal::Error& error, const Child& stopped, const Store& store) {
    if (error.message.find("process ") != std::string::npos && !names(error, stopped)) return error.message;
    const auto stats = store.stats();
    EXPECT_OK(stats);
    for (const shoal::Attached& each : stats->held_back_by) {
        if (each.process_id != stopped.pid())
            return "stat names process " + std::to_string(each.process_id) + ", not " +
                   std::to_string(stopped.pid());
    }
    return {};
}

// Appends and erases more than the memory limit. "" where all went well, also where an append found no memory and
// its error names the process that is stopped: `named` then.
std::string turn_over(Store& store, const Child* stopped, bool& named) {
    const std::string key = deeds::new_aside("turned over"), record(100'000, 'x');
    for (std::uint64_t bytes = 0; bytes < 2 * kSmallestLimit; bytes += record.size()) {
        const auto appended = store.append(key, record);
        named =
            stopped != nullptr && failed_with(appended, Code::kMemoryLimit) && names(appended.error(), *stopped);
        if (named) return names_no_other(appended.error(), *stopped, store);
        EXPECT_OK(appended);
        EXPECT_OK(store.erase(key));
    }
    return {};
}

// While a process is stopped in the window, others use all memory, give it back and use it again; then it goes on.
std::string fill_and_go_on(Scene& scene, const Window& window, bool& named) {
    Child child = start_deed(scene, window.deed, window.point, window.passing, shoal::crash::stop_here);
    if (!has_stopped(child)) return "the child did not stop there: " + child.wait();
    auto other = Store::attach(scene.path(), without_waiting());
    EXPECT_OK(other);
    Filler filler(window.deed.spills);
    std::string wrong =
        filler.fill_up(*other, [&](const shoal::Error& error) { return names_no_other(error, child, *other); });
    if (wrong.empty()) wrong = filler.erase(*other);
    if (wrong.empty()) wrong = turn_over(*other, &child, named);
    if (!wrong.empty()) return "while it is stopped: " + wrong;
    child.kill(SIGCONT);
    wrong = child.wait();
    if (!wrong.empty()) return "it goes on: " + wrong;
    bool none = false;
    wrong = turn_over(*other, nullptr, none) + turn_over(scene.store(), nullptr, none);
    if (wrong.empty()) wrong = scene.check(scene.store());
    if (!wrong.empty()) return "afterwards: " + wrong;
    EXPECT_OK(scene.records.append(scene.store(), scene.records.add_writer(Scene::to_target(70))));
    return scene.records.check(scene.store());
}

// Nobody died but one that was recovered: no block is missing.
std::string nothing_is_missing(Scene& scene, const Deed& deed) {
    const auto report = scene.verify();
    EXPECT_OK(report);
    EXPECT(report->at_rest);
    std::string damage;
    for (const auto& each : report->damage) damage += each.invariant + ": " + each.what + "; ";
    if (!damage.empty()) return damage;
    EXPECT(report->erased_keys == 0);
    EXPECT(report->blocks_leaked == 0);
    const std::string wrong = empty(scene.store());
    if (!wrong.empty()) return wrong;
    EXPECT(without_table_growth(deed, scene.leaked_outside_of_index()) == 0);
    EXPECT_OK(scene.store().drop());
    EXPECT(without_table_growth(deed, scene.leaked_bytes()) == 0);
    return {};
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
            wrong = filler ? Filler(window.deed.spills).fill_up(*filler) : describe(filler);
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
            CHECK(Filler(window.deed.spills).fill_up(*other) == "");
            CHECK(empty(*other) == "");
        }
        child.kill();
        (void)child.wait();
        CHECK(all_is_back(scene, 2, window.deed) == "");
    }
}

TEST_CASE(
    "Where memory waits for a process that is stopped at any crash point, the error of a full store names that "
    "process; once it goes on, its deed ends well, all memory is there for all, and every record",
    "[process]") {
    std::size_t named_in = 0;
    for (const Window& window : windows_to_stop_in()) {
        INFO(shoal::crash::name(window.point) << " " << window.passing << ", " << window.deed.name);
        Scene scene(window.deed.spills, kSmallestLimit);
        bool named = false;
        std::string wrong = fill_and_go_on(scene, window, named);
        if (wrong.empty()) wrong = nothing_is_missing(scene, window.deed);
        CHECK(wrong == "");
        named_in += named ? 1 : 0;
    }
    INFO("in " << named_in << " windows memory waits for the process");
    CHECK(named_in >= 150);
}
