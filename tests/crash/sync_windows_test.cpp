// Every crash point of a sync and of the restoring of a store whose arena is gone: others go on while a process
// stops there, and sync; it dies there, and what an earlier sync made durable comes back, or what this one did, and
// never a mixture within a key; and the next sync does it all.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../other_boot.hpp"
#include "../spill/durable_place.hpp"
#include "../spill/movable_folders.hpp"
#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "arena/crash_point.hpp"
#include "catch.hpp"
#include "scene.hpp"
#include "spill/sync_turns.hpp"
#include "windows.hpp"

using namespace shoal_test;
using shoal::CrashPoint;
using shoal::Store;

namespace {

std::mutex inodes_mutex;
std::set<ino_t> synced_inodes;  // by fdatasync, in this process; guarded by the mutex

}  // namespace

// In the place of the C library's.
extern "C" int fdatasync(int descriptor) {
    struct stat info {};
    const std::lock_guard lock(inodes_mutex);
    if (::fstat(descriptor, &info) == 0) synced_inodes.insert(info.st_ino);
    return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}

namespace {

struct SyncWindow {
    CrashPoint point;
    bool durable;  // this sync's, when the machine fails there
    std::uint32_t passing = 1;
    bool dropped = false;  // before it: it goes round all keys, and writes a base; else a delta
};

const std::vector<SyncWindow>& syncing() {
    static const std::vector<SyncWindow> all{
        {CrashPoint::kSyncBegun, false},          {CrashPoint::kCheckpointBegun, false},
        {CrashPoint::kChangesOn, false, 1, true}, {CrashPoint::kWatchBegun, false},
        {CrashPoint::kWatchBegun, false, 3},      {CrashPoint::kSyncCounted, false},
        {CrashPoint::kSyncWriting, false},        {CrashPoint::kSyncWriting, false, 2},
        {CrashPoint::kSyncFilesDurable, false},   {CrashPoint::kCheckpointWritten, false},
        {CrashPoint::kSyncNaming, false},         {CrashPoint::kCheckpointNamed, true},
        {CrashPoint::kCheckpointDurable, true},   {CrashPoint::kSyncGivingRoom, true},
        {CrashPoint::kSyncGivingRoom, true, 2},   {CrashPoint::kSyncRoomGivenBack, true},
        {CrashPoint::kCheckpointReplaced, true},  {CrashPoint::kCheckpointsRemoved, true},
    };
    return all;
}
const std::vector<SyncWindow>& restoring() {
    static const std::vector<SyncWindow> all{
        {CrashPoint::kRestoreLocked, true},    {CrashPoint::kChainRestored, true},
        {CrashPoint::kChainRestored, true, 3}, {CrashPoint::kArenaRestored, true},
        {CrashPoint::kRestoredNamed, true},    {CrashPoint::kRestoredJoined, true},
        {CrashPoint::kRestoreSaid, true},
    };
    return all;
}

// Where the arena is on a disk, and of another boot.
constexpr CrashPoint kOverOutdated[] = {CrashPoint::kArenaRestored, CrashPoint::kOutdatedRemoved,
                                        CrashPoint::kRestoredNamed};

// A store that was synced with some values, and has others since: more, fewer, spilled and resident.
class Synced {
public:
    explicit Synced(bool dropped = false) : store(open()) {
        shoal::sync_lapse = std::chrono::milliseconds(100);  // what it is does not change what becomes of a sync
        for (const char* key : {"grows", "grows and spills", "is erased", "stays", "large"}) {
            const std::size_t bytes = key == std::string("large") ? 3 * kMiB : 200'000;
            REQUIRE_OK(store->append(key, pattern(bytes, 1)));
        }
        REQUIRE_OK(store->spill(200'000));
        REQUIRE_OK(store->sync());
        before = values_of(*store);
        if (dropped) {
            REQUIRE_OK(store->drop());
            REQUIRE_OK(store->append("is erased", "made anew"));
        }
        REQUIRE_OK(store->append("grows and spills", pattern(300'000, 2)));
        REQUIRE_OK(store->spill(300'000));
        REQUIRE_OK(store->append("grows", pattern(300'000, 2)));
        REQUIRE_OK(store->erase("is erased"));
        REQUIRE_OK(store->append("new", pattern(2 * kMiB, 2)));
        for (const char* key : {"open 1", "open 2", "open 3"}) REQUIRE_OK(store->append(key, "room for more"));
        now = values_of(*store);
    }

    [[nodiscard]] shoal::Options options() const {
        shoal::Options options = place.options(48 * kMiB);
        options.spill_thread = false;  // a child of the test's is to have one thread
        return options;
    }
    [[nodiscard]] tl::expected<Store, shoal::Error> open() const { return Store::open(place.path(), options()); }

    Child sync_in_child(const SyncWindow& window, void (*action)()) {
        return Child::start([&]() -> std::string {
            shoal::crash::at(window.point, window.passing, action);
            EXPECT_OK(store->sync());
            return {};
        });
    }
    void lose_memory() {
        store = tl::unexpected(shoal::Error{});
        place.lose_memory();
    }
    // The machine fails: these values are there again, and nothing else.
    void check_that_come_back(const Values& values) {
        lose_memory();
        store = open();
        REQUIRE_OK(store);
        CHECK(values_of(*store) == values);
        check_sound();
        check_room();
    }
    // Nothing is kept of what is gone, on disk and in the counts of files.
    void check_room() {
        REQUIRE_OK(store->drop());
        REQUIRE_OK(store->sync());
        CHECK(Store::verify(place.path())->damage.empty());
        CHECK(store->stats()->stored_bytes == 0);
        CHECK(place.spill_files().empty());
        CHECK(place.checkpoints() == 1);
    }
    // Nothing in the arena or in files is wrong, by one who reads all of it.
    void check_sound() const {
        shoal::VerifyOptions all;
        all.files = true;
        const auto report = Store::verify(place.path(), all);
        REQUIRE_OK(report);
        for (const shoal::Damage& damage : report->damage) FAIL_CHECK(damage.what);
        CHECK(report->damage_count == 0);
    }

    DurablePlace place;
    tl::expected<Store, shoal::Error> store;
    Values before;
    Values now;
};

void require_end_or_stop(Child& child, bool dies) {
    if (dies) {
        (void)child.wait();
        REQUIRE(child.killed_by() == SIGKILL);
    } else {
        REQUIRE(has_stopped(child));
    }
}

}  // namespace

TEST_CASE("A sync that dies anywhere leaves the one before, or is whole, and the next one goes on", "[process]") {
    for (const SyncWindow& window : syncing()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.dropped ? ", after a drop" : "")) {
            Synced synced(window.dropped);
            Child child = synced.sync_in_child(window, shoal::crash::kill_here);
            (void)child.wait();
            REQUIRE(child.killed_by() == SIGKILL);
            SECTION("the machine fails") {
                synced.check_that_come_back(window.durable ? synced.now : synced.before);
            }
            SECTION("another syncs, and the machine fails") {
                CHECK(values_of(*synced.store) == synced.now);
                REQUIRE_OK(synced.store->sync());
                synced.check_that_come_back(synced.now);
            }
            SECTION("another erases what it had marked, and syncs") { synced.check_room(); }
        }
    }
}

TEST_CASE("While a sync is stopped anywhere others append, spill, erase and read; it ends, and the next has theirs",
          "[process]") {
    for (const SyncWindow& window : syncing()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.dropped ? ", after a drop" : "")) {
            Synced synced(window.dropped);
            Child child = synced.sync_in_child(window, shoal::crash::stop_here);
            REQUIRE(has_stopped(child));
            CHECK(values_of(*synced.store) == synced.now);
            REQUIRE_OK(synced.store->append("grows", "more"));
            REQUIRE_OK(synced.store->erase("grows and spills"));
            REQUIRE_OK(synced.store->append("beside it", pattern(500'000, 3)));
            REQUIRE_OK(synced.store->spill(500'000));
            synced.now = values_of(*synced.store);
            child.kill(SIGCONT);
            REQUIRE(child.wait() == "");
            REQUIRE_OK(synced.store->sync());
            CHECK(values_of(*synced.store) == synced.now);
            synced.check_that_come_back(synced.now);
        }
    }
}

TEST_CASE("While a sync is stopped anywhere others sync; it goes on, and what was synced last is what is there",
          "[process]") {
    for (const SyncWindow& window : syncing()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.dropped ? ", after a drop" : "")) {
            Synced synced(window.dropped);
            Child child = synced.sync_in_child(window, shoal::crash::stop_here);
            REQUIRE(has_stopped(child));
            REQUIRE_OK(synced.store->append("grows", "more"));
            REQUIRE_OK(synced.store->erase("grows and spills"));
            REQUIRE_OK(synced.store->append("beside it", pattern(500'000, 3)));
            REQUIRE_OK(synced.store->spill(500'000));
            REQUIRE_OK(synced.store->sync());
            SECTION("the machine fails while it is stopped") {
                synced.now = values_of(*synced.store);
                child.kill(SIGKILL);
                (void)child.wait();
            }
            SECTION("all of its files go, and others take their names") {
                REQUIRE_OK(synced.store->drop());
                REQUIRE_OK(synced.store->sync());
                // As much as there ever was: what the stopped one would give back by a number is in use again.
                for (const char* key : {"grows", "stays", "another", "large"}) {
                    REQUIRE_OK(synced.store->append(key, pattern(3 * kMiB, 4)));
                }
                REQUIRE_OK(synced.store->spill(48 * kMiB));
                REQUIRE_OK(synced.store->append("another", pattern(500'000, 5)));
                REQUIRE_OK(synced.store->sync());
                synced.now = values_of(*synced.store);
                REQUIRE_OK(synced.store->append("not synced", "x"));
                child.kill(SIGCONT);
                REQUIRE(child.wait() == "");
            }
            SECTION("nothing more is done") {
                synced.now = values_of(*synced.store);
                child.kill(SIGCONT);
                REQUIRE(child.wait() == "");
            }
            synced.check_sound();
            synced.check_that_come_back(synced.now);
        }
    }
}

TEST_CASE("A durable store is closed while syncs of others are stopped, one after the other", "[process]") {
    Synced synced;
    std::vector<Child> stopped;
    for (const CrashPoint point : {CrashPoint::kSyncWriting, CrashPoint::kSyncNaming, CrashPoint::kSyncBegun}) {
        stopped.push_back(synced.sync_in_child({point, false}, shoal::crash::stop_here));
        REQUIRE(has_stopped(stopped.back()));
    }
    {
        shoal::Options options = synced.options();
        options.durable = true;
        auto own = Store::attach(synced.place.path(), options);
        REQUIRE_OK(own);
        REQUIRE_OK(own->append("closed", "durably"));
        synced.now = values_of(*own);
    }
    for (Child& child : stopped) child.kill();
    for (Child& child : stopped) (void)child.wait();
    synced.check_that_come_back(synced.now);
}

TEST_CASE("A child that was forked while a sync was under way, and lives, keeps no later sync from ending",
          "[process]") {
    for (const SyncWindow& window : syncing()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing) {
            Synced synced(window.dropped);
            std::optional<Child> forked;
            shoal::crash::at(window.point, window.passing, [&] {
                forked.emplace(Child::start([]() -> std::string {
                    for (;;) ::pause();
                }));
            });
            REQUIRE_OK(synced.store->sync());
            REQUIRE(forked.has_value());
            REQUIRE_OK(synced.store->append("later", "x"));
            REQUIRE_OK(synced.store->sync());
        }
    }
}

TEST_CASE("Threads of one process that sync at once all succeed, and have what was there when they began",
          "[process]") {
    Synced synced;
    for (int turn = 0; turn < 5; ++turn) {
        std::vector<std::string> failures(4);
        std::vector<std::thread> threads;
        for (std::size_t number = 0; number < failures.size(); ++number) {
            threads.emplace_back([&, number] {
                const auto own = [&]() -> std::string {
                    EXPECT_OK(synced.store->append(std::to_string(turn) + " " + std::to_string(number), "x"));
                    const auto done = synced.store->sync();
                    EXPECT_OK(done);
                    EXPECT(done->keys >= synced.now.size() + static_cast<std::size_t>(turn) * failures.size() + 1);
                    return {};
                };
                failures[number] = own();
            });
        }
        for (std::thread& thread : threads) thread.join();
        for (const std::string& failure : failures) CHECK(failure.empty());
    }
    synced.now = values_of(*synced.store);
    synced.check_that_come_back(synced.now);
}

TEST_CASE("What a sync that died had marked, and not made durable, is made durable by the next one", "[process]") {
    DurablePlace place;
    shoal::Options options = place.options(48 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("spilled", pattern(200'000, 1)));
    REQUIRE_OK(store->spill(kMiB));
    REQUIRE_OK(store->append("resident", pattern(20'000, 2)));
    Child child = Child::start([&]() -> std::string {
        shoal::crash::at(CrashPoint::kSyncWriting, 1, shoal::crash::kill_here);
        EXPECT_OK(store->sync());
        return {};
    });
    (void)child.wait();
    REQUIRE(child.killed_by() == SIGKILL);
    REQUIRE_OK(store->erase("resident"));
    REQUIRE(place.spill_files().size() == 1);
    struct stat info {};
    REQUIRE(::stat(place.spill_files()[0].c_str(), &info) == 0);
    synced_inodes.clear();
    REQUIRE_OK(store->sync());
    CHECK(synced_inodes.count(info.st_ino) == 1);
    // The checkpoint names it now, and that it is durable is known.
    synced_inodes.clear();
    REQUIRE_OK(store->sync());
    CHECK(synced_inodes.count(info.st_ino) == 0);
}

TEST_CASE("verify reads a store's files while a sync is stopped, and finds nothing wrong", "[process]") {
    for (const SyncWindow& window : syncing()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.dropped ? ", after a drop" : "")) {
            Synced synced(window.dropped);
            Child child = synced.sync_in_child(window, shoal::crash::stop_here);
            REQUIRE(has_stopped(child));
            synced.check_sound();
            child.kill(SIGCONT);
            REQUIRE(child.wait() == "");
            synced.check_sound();
        }
    }
}

TEST_CASE("Who restores a store and dies or stops anywhere keeps nobody from it", "[process]") {
    for (const SyncWindow& window : restoring()) {
        for (const bool dies : {true, false}) {
            DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing << (dies ? " dies" : "")) {
                Synced synced;
                REQUIRE_OK(synced.store->sync());
                synced.lose_memory();
                Child child = Child::start([&]() -> std::string {
                    shoal::crash::at(window.point, window.passing,
                                     dies ? shoal::crash::kill_here : shoal::crash::stop_here);
                    auto store = synced.open();
                    EXPECT_OK(store);
                    EXPECT(values_of(*store) == synced.now);
                    return {};
                });
                require_end_or_stop(child, dies);
                synced.store = synced.open();
                REQUIRE_OK(synced.store);
                CHECK(values_of(*synced.store) == synced.now);
                if (!dies) {
                    child.kill(SIGCONT);
                    CHECK(child.wait() == "");
                }
                synced.check_room();
            }
        }
    }
}

TEST_CASE("A store that is destroyed while it is synced or restored is gone, and leaves nothing", "[process]") {
    for (const std::vector<SyncWindow>* windows : {&syncing(), &restoring()}) {
        for (const SyncWindow& window : *windows) {
            DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing) {
                Synced synced(window.dropped);
                const bool restores = windows == &restoring();
                if (restores) {
                    REQUIRE_OK(synced.store->sync());
                    synced.lose_memory();
                }
                Child child = Child::start([&]() -> std::string {
                    shoal::crash::at(window.point, window.passing, shoal::crash::stop_here);
                    if (!restores) {
                        EXPECT_CODE(synced.store->sync(), shoal::Code::kDestroyed);
                    } else if (auto store = Store::attach(synced.place.path(), synced.options()); store) {
                        EXPECT_CODE(store->append("x", "x"), shoal::Code::kDestroyed);
                    } else {
                        EXPECT_CODE(store, shoal::Code::kNotFound);
                    }
                    return {};
                });
                REQUIRE(has_stopped(child));
                REQUIRE_OK(Store::destroy(synced.place.path(), by_force()));
                child.kill(SIGCONT);
                CHECK(child.wait() == "");
                synced.store = tl::unexpected(shoal::Error{});
                CHECK_FALSE(synced.place.has_arena());
                CHECK(std::filesystem::is_empty(synced.place.folder()));
                REQUIRE_CODE(Store::attach(synced.place.path()), shoal::Code::kNotFound);
            }
        }
    }
}

TEST_CASE("Who restores a store over an arena of another boot and dies or stops anywhere keeps nobody from it",
          "[process]") {
    for (const CrashPoint point : kOverOutdated) {
        for (const bool dies : {true, false}) {
            DYNAMIC_SECTION(shoal::crash::name(point) << (dies ? " dies" : "")) {
                const TemporaryDirectory arenas;
                if (is_on_tmpfs(arenas.path())) SHOAL_SKIP("the folder for temporary files is on a tmpfs");
                const shoal_test::DurablePlace place;
                shoal::Options options = place.options(16 * kMiB);
                options.arena_dir = arenas.path();
                options.spill_thread = false;
                {
                    auto store = Store::open(place.path(), options);
                    REQUIRE_OK(store);
                    REQUIRE_OK(store->append("key", "synced,"));
                    REQUIRE_OK(store->sync());
                    REQUIRE_OK(store->append("key", "not synced"));
                }
                REQUIRE(pretend_reboot(arenas / *arenas.entries().begin()));
                Child child = Child::start([&]() -> std::string {
                    shoal::crash::at(point, 1, dies ? shoal::crash::kill_here : shoal::crash::stop_here);
                    auto store = Store::attach(place.path(), options);
                    EXPECT_OK(store);
                    EXPECT(store->get("key")->text() == "synced,");
                    return {};
                });
                require_end_or_stop(child, dies);
                const auto store = Store::attach(place.path(), options);
                REQUIRE_OK(store);
                CHECK(store->get("key")->text() == "synced,");
                if (!dies) {
                    child.kill(SIGCONT);
                    CHECK(child.wait() == "");
                }
                CHECK(arenas.entries().size() == 1);
            }
        }
    }
}

std::set<CrashPoint> shoal_test::points_in_syncs() {
    std::set<CrashPoint> points;
    for (const SyncWindow& window : syncing()) points.insert(window.point);
    return points;
}

std::set<CrashPoint> shoal_test::points_in_restoring() {
    std::set<CrashPoint> points(std::begin(kOverOutdated), std::end(kOverOutdated));
    for (const SyncWindow& window : restoring()) points.insert(window.point);
    return points;
}

TEST_CASE(
    "A copy that is made a store of its own is that from any step on, whether its process stops there or dies",
    "[process]") {
    for (const SyncWindow& window : restoring()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing) {
            const MovableFolders folders;
            auto original = std::optional(folders.make());
            folders.copy("store", "copy");
            const bool dies = GENERATE(true, false);
            Child child = Child::start([&]() -> std::string {
                shoal::crash::at(window.point, window.passing,
                                 dies ? shoal::crash::kill_here : shoal::crash::stop_here);
                (void)Store::recover(folders.path("copy"));
                return {};
            });
            if (dies) (void)child.wait();
            if (!dies) REQUIRE(has_stopped(child));
            const auto recovered = Store::recover(folders.path("copy"));
            REQUIRE_OK(recovered);
            CHECK(recovered->found.damage.empty());
            {
                auto copy = Store::attach(folders.path("copy"));
                REQUIRE_OK(copy);
                CHECK(MovableFolders::has_all(*copy));
                REQUIRE_OK(copy->append("small", "of the copy"));
            }
            if (!dies) child.kill(SIGCONT);
            if (!dies) CHECK(child.wait() == "");
            CHECK(original->get("small")->text() == "red,");
            CHECK(Store::attach(folders.path("copy"))->get("small")->text() == "red,of the copy");
            CHECK(folders.arenas.entries().size() == 2);
            original.reset();
            REQUIRE_OK(Store::destroy(folders.path("copy")));
            CHECK(MovableFolders::has_all(*Store::attach(folders.path())));
            REQUIRE_OK(Store::destroy(folders.path()));
            CHECK(folders.are_empty());
        }
    }
}

// The one window in which a record is there, or is about to be, and the store says that nothing has changed.
TEST_CASE("A thread that dies or is stopped where it says a change after a sync costs the next sync no record",
          "[process]") {
    for (const CrashPoint point :
         {CrashPoint::kChangeCounted, CrashPoint::kChangeSaid, CrashPoint::kWatchEnded, CrashPoint::kClaimNamed,
          CrashPoint::kClaimAdded, CrashPoint::kClaimCopied, CrashPoint::kClaimCommitted}) {
        for (const bool dies : {true, false}) {
            DYNAMIC_SECTION(shoal::crash::name(point) << (dies ? ", dies" : ", is stopped")) {
                Synced synced;
                REQUIRE_OK(synced.store->append("watched", "a"));  // its segment has room for more
                REQUIRE_OK(synced.store->sync());
                REQUIRE(synced.store->sync()->written_bytes == 0);
                Child child = Child::start([&]() -> std::string {
                    shoal::crash::at(point, 1, dies ? shoal::crash::kill_here : shoal::crash::stop_here);
                    EXPECT_OK(synced.store->append("watched", "of the child"));
                    return {};
                });
                require_end_or_stop(child, dies);
                // By one who saw no change to say, as the child may have said it.
                REQUIRE_OK(synced.store->append("watched", "of another"));
                REQUIRE_OK(synced.store->sync());
                SECTION("another appends once more") { REQUIRE_OK(synced.store->append("watched", ", and more")); }
                bool goes_on = false;
                SECTION("the child goes on") { goes_on = !dies; }
                if (goes_on) child.kill(SIGCONT);
                if (goes_on) REQUIRE(child.wait() == "");
                REQUIRE_OK(synced.store->sync());
                synced.now = values_of(*synced.store);
                if (!dies && !goes_on) child.kill(SIGKILL);
                if (!dies && !goes_on) (void)child.wait();
                synced.check_that_come_back(synced.now);
            }
        }
    }
}
