// What begins and ends a store's life, as a child does it: creation, attach, destruction, and the removal of what
// has ended. There may be no store yet when it begins, so all is about a path, and about what lies there in the
// end.
#pragma once

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "../refused_calls.hpp"
#include "../store/child.hpp"
#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"
#include "arena/crash_point.hpp"

namespace shoal_test {

// A path for a store, and folders for its arenas and for what it spills, which no other store has.
class Ground {
public:
    [[nodiscard]] std::string path() const { return stores_ / "store"; }
    [[nodiscard]] shoal::Options options(bool temporary = false) const {
        shoal::Options options = with_limit(8 * kMiB);
        options.arena_dir = arenas_.path();
        options.temporary = temporary;
        options.spill_dir = spills_.path();
        options.spill_thread = false;  // a child of the test's is to have one thread
        return options;
    }
    [[nodiscard]] std::size_t arenas() const { return arenas_.entries().size(); }
    [[nodiscard]] std::size_t spills() const { return spills_.entries().size(); }
    [[nodiscard]] std::set<std::string> files() const { return stores_.entries(); }
    // "" or what failed; nothing in the arenas' folder that would be removed cannot be.
    std::string collect(bool dry_run = false) const {
        shoal::CollectOptions options;
        options.dirs = {arenas_.path()};
        options.only_dirs = true;
        options.dry_run = dry_run;
        options.min_age_s = 0;
        const auto collected = shoal::Store::collect(options);
        EXPECT_OK(collected);
        for (const auto& each : *collected)
            if (each.arena_path.starts_with(arenas_.path())) EXPECT(each.system_errno == 0);
        return {};
    }

    // A child that comes to the crash point in `work`, and dies there.
    template <class Work>
    void die_at(shoal::CrashPoint point, Work&& work) const {
        Child child = Child::start([&]() -> std::string {
            shoal::crash::at(point, 1, shoal::crash::kill_here);
            work();
            return "never came to the crash point";
        });
        const std::string ended = child.wait();
        INFO(ended);
        REQUIRE(child.killed_by() == SIGKILL);
    }

    std::optional<shoal::Store> held;  // by the test itself, before a destroyer comes
    std::set<std::string> foreign;     // files of others in the store's directory

private:
    TemporaryDirectory arenas_{"/dev/shm"};
    TemporaryDirectory spills_;
    TemporaryDirectory stores_;
};

inline std::string append_to(shoal::Store& store, const std::string& key) {
    EXPECT_OK(store.append(key, "acknowledged"));
    EXPECT_OK(store.spill());
    EXPECT(store.get(key)->text() == "acknowledged");
    return {};
}

struct Life {
    std::string name;
    bool keeps;     // what was there before, under the key "before", is there afterwards
    bool comes_in;  // the child has the store in the end, and appends "late"
    std::function<void(Ground&)> prepare;
    std::function<std::string(Ground&)> act;  // in the child: what failed
};

namespace lives {

using shoal::Code;
using shoal::CrashPoint;
using shoal::Store;

inline void make_store(Ground& ground) {
    auto store = Store::open(ground.path(), ground.options());
    REQUIRE_OK(store);
    REQUIRE(append_to(*store, "before") == "");
}
inline void make_ended_store(Ground& ground) {  // its owner, the only one, was killed
    ground.die_at(CrashPoint::kDirectoryRemoved, [&] {
        auto store = Store::open(ground.path(), ground.options(true));
        if (store && append_to(*store, "ended").empty()) shoal::crash_point(CrashPoint::kDirectoryRemoved);
    });
    REQUIRE(ground.spills() == 1);
}
inline void leave_unnamed_arena(Ground& ground) {
    ground.die_at(CrashPoint::kArenaNamed, [&] { (void)Store::open(ground.path(), ground.options()); });
}
inline void leave_half_destroyed(Ground& ground) {
    make_store(ground);
    ground.held = *Store::attach(ground.path());
    ground.die_at(CrashPoint::kMetadataAside, [&] { (void)Store::destroy(ground.path(), by_force()); });
}

inline std::string open_and_append(Ground& ground) {
    auto store = Store::open(ground.path(), ground.options());
    EXPECT_OK(store);
    return append_to(*store, "late");
}
inline std::string attach_if_any(Ground& ground) {
    auto store = Store::attach(ground.path());
    if (!store) EXPECT_CODE(store, Code::kNotFound);
    return store ? append_to(*store, "late") : "";
}
inline std::string destroy_if_any(Ground& ground) {
    const auto destroyed = Store::destroy(ground.path(), by_force());
    if (!destroyed) EXPECT_CODE(destroyed, Code::kNotFound);
    return {};
}
inline std::string collect(Ground& ground) { return ground.collect(); }
inline std::string collect_nothing(Ground& ground) { return ground.collect(true); }

inline const Life kCreate{"create", false, true, [](Ground&) {}, open_and_append};
inline const Life kCreateHidden{"create where each file has a name", false, true, [](Ground&) {},
                                [](Ground& ground) -> std::string {
                                    EXPECT(refuse_nameless_files());
                                    return open_and_append(ground);
                                }};
inline const Life kAttach{"attach", true, true, make_store, attach_if_any};
inline const Life kDestroy{"destroy", false, false,
                           [](Ground& ground) {
                               make_store(ground);
                               ground.held = *Store::attach(ground.path());
                           },
                           destroy_if_any};
// The directory was moved to another file system, as far as its store.meta can tell.
inline void make_moved_store(Ground& ground) {
    make_store(ground);
    namespace fs = std::filesystem;
    const std::string moved = ground.path() + ".moved";
    fs::copy(ground.path(), moved, fs::copy_options::recursive);
    fs::permissions(moved + "/store.meta", fs::perms::owner_read | fs::perms::owner_write);
    fs::remove_all(ground.path());
    fs::rename(moved, ground.path());
}
inline const Life kTakeOver{"attach to a store that was moved", true, true, make_moved_store, attach_if_any};
inline const Life kDestroyMoved{"destroy of a store that was moved", false, false, make_moved_store,
                                destroy_if_any};
inline const Life kFinishByOpen{"open after a destroyer was killed", false, true, leave_half_destroyed,
                                open_and_append};
inline const Life kFinishByDestroy{"destroy after a destroyer was killed", false, false, leave_half_destroyed,
                                   destroy_if_any};
inline const Life kFinishByCollect{"collect after a destroyer was killed", false, false,
                                   [](Ground& ground) {
                                       leave_half_destroyed(ground);
                                       ground.held.reset();
                                   },
                                   collect};
inline const Life kClose{"close of a temporary store", false, false, [](Ground&) {},
                         [](Ground& ground) -> std::string {
                             auto store = Store::open(ground.path(), ground.options(true));
                             EXPECT_OK(store);
                             return append_to(*store, "closed");
                         }};
inline const Life kAttachEnded{"attach to a temporary store without an owner", false, false, make_ended_store,
                               attach_if_any};
inline const Life kCollectEnded{"collect of a temporary store without an owner", false, false, make_ended_store,
                                collect};
inline const Life kCollectUnnamed{"collect after a creator was killed", false, false, leave_unnamed_arena, collect};
inline const Life kDryRun{"dry run of a collect after a creator was killed", false, false, leave_unnamed_arena,
                          collect_nothing};
inline const Life kCreateAfterCreator{"create after a creator was killed", false, true, leave_unnamed_arena,
                                      open_and_append};

// A temporary store that has ended is removed; meanwhile another comes to live in its directory, which stays since
// a file of somebody else is in it.
inline const Life kRemoveReplaced{"attach to a store without an owner, which another takes the place of", true,
                                  false,
                                  [](Ground& ground) {
                                      make_ended_store(ground);
                                      std::ofstream(ground.path() + "/notes") << "of somebody else";
                                      ground.foreign = {"store", "store/notes"};
                                  },
                                  [](Ground& ground) -> std::string {
                                      std::string wrong;
                                      shoal::crash::at(CrashPoint::kEndedMetadataSeen, 1, [&] {
                                          if (!Store::destroy(ground.path()))
                                              wrong = "the ended store cannot be destroyed";
                                          auto another = Store::open(ground.path(), ground.options());
                                          if (another) wrong += append_to(*another, "before");
                                          if (!another) wrong += describe(another);
                                      });
                                      const auto attached = Store::attach(ground.path());
                                      if (!attached) EXPECT_CODE(attached, Code::kNotFound);
                                      return wrong;
                                  }};

}  // namespace lives
}  // namespace shoal_test
