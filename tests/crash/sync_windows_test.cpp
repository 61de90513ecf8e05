// Every crash point of a sync and of the restoring of a store whose arena is gone: others go on while a process
// stops there; it dies there, and what an earlier sync made durable comes back, or what this one did, and never a
// mixture within a key; and the next sync does it all.
#include <filesystem>
#include <string>

#include "../spill/durable_place.hpp"
#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "arena/crash_point.hpp"
#include "catch.hpp"
#include "scene.hpp"
#include "windows.hpp"

using namespace shoal_test;
using shoal::CrashPoint;
using shoal::Store;

namespace {

struct SyncWindow {
    CrashPoint point;
    bool durable;  // this sync's, when the machine fails there
    std::uint32_t passing = 1;
};

const std::vector<SyncWindow>& syncing() {
    static const std::vector<SyncWindow> all{
        {CrashPoint::kCheckpointBegun, false},  {CrashPoint::kSyncCounted, false},
        {CrashPoint::kSyncWriting, false},      {CrashPoint::kSyncWriting, false, 2},
        {CrashPoint::kSyncFilesDurable, false}, {CrashPoint::kCheckpointWritten, false},
        {CrashPoint::kCheckpointNamed, true},   {CrashPoint::kSyncRoomGivenBack, true},
    };
    return all;
}
const std::vector<SyncWindow>& restoring() {
    static const std::vector<SyncWindow> all{
        {CrashPoint::kChainRestored, true},
        {CrashPoint::kChainRestored, true, 3},
        {CrashPoint::kArenaRestored, true},
        {CrashPoint::kRestoredNamed, true},
    };
    return all;
}

// A store that was synced with some values, and has others since: more, fewer, spilled and resident.
class Synced {
public:
    Synced() : store(open()) {
        for (const char* key : {"grows", "grows and spills", "is erased", "stays", "large"}) {
            const std::size_t bytes = key == std::string("large") ? 3 * kMiB : 200'000;
            REQUIRE_OK(store->append(key, pattern(bytes, 1)));
        }
        REQUIRE_OK(store->spill(200'000));
        REQUIRE_OK(store->sync());
        before = values_of(*store);
        REQUIRE_OK(store->append("grows and spills", pattern(300'000, 2)));
        REQUIRE_OK(store->spill(300'000));
        REQUIRE_OK(store->append("grows", pattern(300'000, 2)));
        REQUIRE_OK(store->erase("is erased"));
        REQUIRE_OK(store->append("new", pattern(2 * kMiB, 2)));
        now = values_of(*store);
    }

    [[nodiscard]] shoal::Options options() const {
        shoal::Options options = place.options(16 * kMiB);
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
    // Nothing is kept of what is gone, on disk and in the counts of files.
    void check_room() {
        REQUIRE_OK(store->drop());
        REQUIRE_OK(store->sync());
        CHECK(Store::verify(place.path())->damage.empty());
        CHECK(store->stats()->stored_bytes == 0);
        CHECK(place.spill_files().empty());
    }

    DurablePlace place;
    tl::expected<Store, shoal::Error> store;
    Values before;
    Values now;
};

}  // namespace

TEST_CASE("A sync that dies anywhere leaves the one before, or is whole, and the next one goes on", "[process]") {
    for (const SyncWindow& window : syncing()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing) {
            Synced synced;
            Child child = synced.sync_in_child(window, shoal::crash::kill_here);
            (void)child.wait();
            REQUIRE(child.killed_by() == SIGKILL);
            SECTION("the machine fails") {
                synced.lose_memory();
                synced.store = synced.open();
                REQUIRE_OK(synced.store);
                CHECK(values_of(*synced.store) == (window.durable ? synced.now : synced.before));
                synced.check_room();
            }
            SECTION("another syncs, and the machine fails") {
                CHECK(values_of(*synced.store) == synced.now);
                REQUIRE_OK(synced.store->sync());
                synced.lose_memory();
                synced.store = synced.open();
                REQUIRE_OK(synced.store);
                CHECK(values_of(*synced.store) == synced.now);
                synced.check_room();
            }
            SECTION("another erases what it had marked, and syncs") { synced.check_room(); }
        }
    }
}

TEST_CASE("While a sync is stopped anywhere others append, spill, erase and read; it ends, and the next has theirs",
          "[process]") {
    for (const SyncWindow& window : syncing()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing) {
            Synced synced;
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
            synced.lose_memory();
            synced.store = synced.open();
            REQUIRE_OK(synced.store);
            CHECK(values_of(*synced.store) == synced.now);
            synced.check_room();
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
                if (dies) {
                    (void)child.wait();
                    REQUIRE(child.killed_by() == SIGKILL);
                } else {
                    REQUIRE(has_stopped(child));
                }
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
                Synced synced;
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
                REQUIRE_OK(Store::destroy(synced.place.path()));
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

std::set<CrashPoint> shoal_test::points_in_syncs() {
    std::set<CrashPoint> points;
    for (const SyncWindow& window : syncing()) points.insert(window.point);
    for (const SyncWindow& window : restoring()) points.insert(window.point);
    return points;
}
