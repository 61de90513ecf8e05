// The deeds that lead through the crash points, by the operation that each is about.
#pragma once

#include "scene.hpp"
#include "store/directory.hpp"
#include "store/hash.hpp"

namespace shoal_test::deeds {

using shoal::CrashPoint;
using shoal::Store;

inline std::string append_next(Scene& scene, Store& own, std::uint64_t count = 1) {
    EXPECT_OK(scene.records.append(own, scene.actor, count));
    return {};
}

inline Deed appends(const std::string& name, std::function<Plan(Scene&)> plan, std::uint64_t group = 1) {
    return {name, [plan](Scene& scene) { scene.actor = scene.records.add_writer(plan(scene)); },
            [group](Scene& scene, Store& own, std::uint64_t) { return append_next(scene, own, group); }};
}

inline const Deed kAppend = appends("append", [](Scene&) { return Scene::to_target(100, 3); });
inline const Deed kAppendGroup = appends(
    "append of a group", [](Scene&) { return Scene::to_target(24); }, 6);
inline const Deed kAppendLarge =
    appends("append of a large record", [](Scene&) { return Scene::to_target(100'000); });
inline const Deed kNewKeys = appends("new keys", [](Scene& scene) { return scene.to_new_keys("new", 30); });
// Blocks of 512 B, 128 a page in two words of bits; and of 32 KiB, two a page.
inline const Deed kMediumKeys =
    appends("new keys of 300 B", [](Scene& scene) { return scene.to_new_keys("medium", 300); });
inline const Deed kWideKeys =
    appends("new keys of 20 kB", [](Scene& scene) { return scene.to_new_keys("wide", 20'000); });
inline const Deed kLargeKeys =
    appends("new keys of 100 kB", [](Scene& scene) { return scene.to_new_keys("large", 100'000); });

inline const Deed kIset{"iset", kNewKeys.prepare, [](Scene& scene, Store& own, std::uint64_t) -> std::string {
                            const auto set = scene.records.iset(own, scene.actor);
                            EXPECT_OK(set);
                            EXPECT(*set);
                            return {};
                        }};

inline const Deed kErase{"erase", [](Scene& scene) { scene.add_victims(12); },
                         [](Scene& scene, Store& own, std::uint64_t) -> std::string {
                             const std::string wrong = scene.erase_next(own);
                             if (wrong.empty()) EXPECT_OK(own.stats());  // gives back what waits, as many erases do
                             return wrong;
                         }};

inline const Deed kDrop{"drop",
                        [](Scene& scene) {
                            scene.drops = true;
                            const auto writer = scene.records.add_writer(scene.to_new_keys("dropped", 300));
                            for (int number = 0; number < 9; ++number)
                                (void)scene.records.append(scene.store(), writer);
                        },
                        [](Scene&, Store& own, std::uint64_t) -> std::string {
                            EXPECT_OK(own.drop());
                            return {};
                        }};

// Keys whose hashes begin with the same 12 bits: their leaf hangs from a node below the root.
inline void fill_one_entry(Scene& scene) {
    constexpr std::size_t kEnough = 500;
    if (scene.deep_keys.empty()) {
        const std::uint64_t seed = shoal::attach_existing(scene.path())->mapping.header().hash_seed;
        for (std::uint64_t number = 0; scene.deep_keys.size() < kEnough; ++number) {
            std::string key = "deep " + std::to_string(number);
            if (shoal::hash_key(key, seed) >> 52 == 77) scene.deep_keys.push_back(std::move(key));
        }
    }
}
inline Plan to_one_entry(Scene& scene) {
    fill_one_entry(scene);
    return {[&scene](std::uint64_t number) { return scene.deep_keys[number % scene.deep_keys.size()]; },
            [](std::uint64_t) { return 10; }};
}
inline const Deed kGrowDeep = appends("growth by a node", to_one_entry);
inline const Deed kDropDeep{"drop of an index with nodes",
                            [](Scene& scene) {
                                scene.drops = true;
                                const auto writer = scene.records.add_writer(to_one_entry(scene));
                                for (std::size_t number = 0; number < scene.deep_keys.size(); ++number)
                                    (void)scene.records.append(scene.store(), writer);
                            },
                            kDrop.turn};

inline Plan to_fleeting_keys(Scene& scene, std::size_t bytes) {
    Plan plan = scene.to_new_keys("fleeting", bytes);
    plan.fleeting = true;
    return plan;
}

// Keys that come and go: tombstones fill a leaf, which is then copied into one; memory is taken and given back.
inline Deed comes_and_goes(const std::string& name, std::size_t bytes) {
    return {
        name, [bytes](Scene& scene) { scene.actor = scene.records.add_writer(to_fleeting_keys(scene, bytes)); },
        [](Scene& scene, Store& own, std::uint64_t) { return scene.records.append_and_erase(own, scene.actor); }};
}
inline const Deed kRebuild = comes_and_goes("growth by tombstones", 10);
inline const Deed kLargeComeAndGo = comes_and_goes("large records come and go", 100'000);
inline const Deed kHugeComeAndGo = comes_and_goes("records of 5 MB come and go", 5'000'000);
// Each key makes its chain a run of pages.
inline Plan to_long_keys(Scene& scene, const std::string& prefix) {
    const Plan plan = scene.to_new_keys(prefix, 10);
    return {[plan](std::uint64_t number) { return plan.key(number) + std::string(40'000, 'k'); }, plan.bytes};
}
inline const Deed kLongKeys{"new keys of 40 kB, which go",
                            [](Scene& scene) {
                                Plan plan = to_long_keys(scene, "fleeting long");
                                plan.fleeting = true;
                                scene.actor = scene.records.add_writer(std::move(plan));
                            },
                            kRebuild.turn};
inline const Deed kDropLongKeys{"drop of keys of 40 kB",
                                [](Scene& scene) {
                                    scene.drops = true;
                                    const auto writer =
                                        scene.records.add_writer(to_long_keys(scene, "dropped long"));
                                    for (int number = 0; number < 9; ++number)
                                        (void)scene.records.append(scene.store(), writer);
                                },
                                kDrop.turn};

// Pages that one slot carved, emptied by another: with `last_keys` of the keys, or all. At `meanwhile`, if that is
// a crash point, the first one takes a block.
inline constexpr std::uint64_t kKeysToOwnPage = 400;  // 128 a page: the first ones are in pages that others use too
inline constexpr std::uint64_t kKeysOfLastPage =
    100;  // all of the page that the first one allocates from, and more
inline Deed empties_page(const std::string& name, std::uint64_t last_keys,
                         CrashPoint meanwhile = CrashPoint::kCount) {
    return {name, [](Scene& scene) { scene.actor = scene.records.add_writer(to_fleeting_keys(scene, 300)); },
            [=](Scene& scene, Store& own, std::uint64_t) -> std::string {
                EXPECT_OK(own.contains(kTarget));  // its slot is recovered before that of the other
                auto other = Store::attach(scene.path());
                EXPECT_OK(other);
                Records& records = scene.records;
                for (std::uint64_t number = 0; number < kKeysToOwnPage; ++number)
                    EXPECT_OK(records.append(*other, scene.actor));
                const std::uint64_t end = records.acknowledged(scene.actor);
                if (meanwhile != CrashPoint::kCount)
                    shoal::crash::at(meanwhile, 1, [&] { (void)records.append(*other, scene.actor); });
                for (std::uint64_t number = end - last_keys; number < end; ++number)
                    EXPECT_OK(own.erase(records.plan(scene.actor).key(number)));
                EXPECT_OK(own.stats());  // moves the epoch on, and gives back what was erased
                return {};
            }};
}
inline const Deed kEmptyPage = empties_page("a page is emptied", kKeysToOwnPage);
inline const Deed kEmptySource = empties_page("a page is emptied that another allocates from", kKeysOfLastPage);
inline const Deed kEmptyUsedPage = empties_page("a page is to be emptied, and another takes a block of it",
                                                kKeysOfLastPage, CrashPoint::kPageJournalled);
inline const Deed kEmptySoughtPage = empties_page("a page is emptied, and another puts a block of it back",
                                                  kKeysOfLastPage, CrashPoint::kPageLooking);

inline const Deed kComeAndGo{"a thread comes and goes", kNewKeys.prepare,
                             [](Scene& scene, Store&, std::uint64_t) -> std::string {
                                 auto other = Store::attach(scene.path());
                                 EXPECT_OK(other);
                                 return append_next(scene, *other);
                             }};
// So many at once that the process table grows.
inline const Deed kCrowd{"hundreds come at once", [](Scene&) {},
                         [](Scene& scene, Store&, std::uint64_t) -> std::string {
                             std::vector<Store> crowd;
                             for (std::uint32_t number = 0; number < shoal::kSlotsAChunk; ++number) {
                                 auto other = Store::attach(scene.path());
                                 EXPECT_OK(other);
                                 crowd.push_back(std::move(*other));
                                 EXPECT_OK(crowd.back().contains(kTarget));
                             }
                             return {};
                         }};
inline const Deed kView{"view", [](Scene&) {},
                        [](Scene&, Store& own, std::uint64_t) -> std::string {
                            EXPECT_OK(own.view(kTarget));
                            return {};
                        }};

inline const Deed kWalk{"walk over the keys", [](Scene&) {},
                        [](Scene&, Store& own, std::uint64_t) -> std::string {
                            EXPECT_OK(own.for_each_key([](shoal::ByteView) { return true; }));
                            return {};
                        }};

// All that is written goes to files, also what is still being written to.
inline Deed spills(const std::string& name, std::size_t bytes, std::uint64_t records) {
    return {name, [bytes](Scene& scene) { scene.actor = scene.records.add_writer(Scene::to_target(bytes)); },
            [records](Scene& scene, Store& own, std::uint64_t) -> std::string {
                for (std::uint64_t number = 0; number < records; ++number) {
                    EXPECT_OK(scene.records.append(own, scene.actor));
                }
                EXPECT_OK(own.spill(kSpillAll));
                return {};
            },
            true};
}
inline const Deed kSpill = spills("spill", 100, 40);
inline const Deed kSpillLarge = spills("spill of a record in parts", 3'000'000, 1);
// Small extents of one key, again and again, so that they are merged.
inline const Deed kMerge = spills("merge", 60, 4);
// A view keeps its blocks when all is done.
inline const Deed kSpillUnderView{"spill under a view", kSpill.prepare,
                                  [](Scene& scene, Store& own, std::uint64_t turn) -> std::string {
                                      const auto held = own.view(kTarget);
                                      EXPECT_OK(held);
                                      return kSpill.turn(scene, own, turn);
                                  },
                                  true};
inline const Deed kEraseSpilled{"erase of what is spilled",
                                [](Scene& scene) {
                                    scene.add_victims(12);
                                    const std::string wrong = scene.spill();
                                    if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
                                },
                                kErase.turn, true};

// Of records in files and of some in memory, which are copied; each time in the place of the copy before.
inline const Deed kSync{"sync", kSpill.prepare,
                        [](Scene& scene, Store& own, std::uint64_t turn) -> std::string {
                            const std::string wrong = kSpill.turn(scene, own, turn);
                            if (!wrong.empty()) return wrong;
                            EXPECT_OK(scene.records.append(own, scene.actor));
                            EXPECT_OK(own.sync());
                            return {};
                        },
                        true};

// Of a key that was synced as it is, which the one who appends finds watched.
inline const Deed kAppendSynced{"append to what was synced", kSpill.prepare,
                                [](Scene& scene, Store& own, std::uint64_t) -> std::string {
                                    EXPECT_OK(scene.records.append(own, scene.actor));
                                    EXPECT_OK(own.sync());
                                    EXPECT_OK(scene.records.append(own, scene.actor));
                                    return {};
                                },
                                true};

// All that is in files goes, and the files with it.
inline const Deed kDropSpilled{"drop of what is spilled",
                               [](Scene& scene) {
                                   scene.drops = true;
                                   kSpill.prepare(scene);
                               },
                               [](Scene& scene, Store& own, std::uint64_t turn) -> std::string {
                                   const std::string wrong = kSpill.turn(scene, own, turn);
                                   if (wrong.empty()) EXPECT_OK(own.drop());
                                   return wrong;
                               },
                               true};

// Two do the same at once, and the other comes first: `other` is done by the child's second Store at that point.
inline Deed with_another(const std::string& name, const Deed& deed, CrashPoint point,
                         std::function<std::string(Scene&, Store& other)> other) {
    const auto prepare = [=](Scene& scene) {
        deed.prepare(scene);
        scene.helper = scene.records.add_writer(Scene::to_target(40));
    };
    return {name, prepare, [=](Scene& scene, Store& own, std::uint64_t turn) -> std::string {
                static std::optional<Store> second;  // of the child: it dies with it
                if (turn == 0) second.emplace(*Store::attach(scene.path()));
                std::string wrong;
                shoal::crash::at(point, 1, [&] { wrong = other(scene, *second); });
                const std::string first_wrong = deed.turn(scene, own, turn);
                return wrong + first_wrong;
            }};
}
inline std::string new_aside(const std::string& what) {
    static std::uint64_t number = 0;  // a child's own
    return std::string(kAside) + what + " " + std::to_string(::getpid()) + " " + std::to_string(++number);
}
inline const Deed kDropTogether = with_another("drop, another is quicker", kDrop, CrashPoint::kDropNamed,
                                               [](Scene&, Store& other) -> std::string {
                                                   EXPECT_OK(other.drop());
                                                   return {};
                                               });
inline const Deed kLinkTogether = with_another("append, another links first", kAppend, CrashPoint::kSegmentMade,
                                               [](Scene& scene, Store& other) -> std::string {
                                                   EXPECT_OK(scene.records.append(other, scene.helper));
                                                   return {};
                                               });
// Two set one key; the other does when the first has come to that point.
inline Deed sets_together(const std::string& name, CrashPoint point) {
    return {name, [](Scene&) {},
            [point](Scene& scene, Store& own, std::uint64_t) -> std::string {
                static std::optional<Store> second;  // of the child: it dies with it
                if (!second) second.emplace(*Store::attach(scene.path()));
                const std::string key = new_aside("set");
                shoal::crash::at(point, 1, [key] { (void)second->iset(key, "1"); });
                EXPECT_OK(own.iset(key, "2"));
                return {};
            }};
}
inline const Deed kSetTogether = sets_together("new key, another is quicker", CrashPoint::kChainMade);
inline const Deed kGrowTogether = sets_together("growth, another is quicker", CrashPoint::kLeafAllocated);

// The child attaches, and so recovers one that has died before at `first`.
inline Deed recovers(const Deed& deed, CrashPoint first, std::uint32_t passing = 1) {
    return {"recovery of one that died at " + std::string(shoal::crash::name(first)) + ", " + deed.name,
            [=](Scene& scene) {
                Child child = start_deed(scene, deed, first, passing, shoal::crash::kill_here);
                const std::string ended = child.wait();
                const bool may_not_come_there =
                    static_cast<bool>(scene.before_deed);  // which may have taken all memory
                if (child.killed_by() != SIGKILL && !may_not_come_there)
                    std::fprintf(stderr, "%s\n", ended.c_str());
            },
            [](Scene&, Store&, std::uint64_t) -> std::string { return "it came through the recovery"; },
            deed.spills};
}
inline const Deed kRecoverClaim = recovers(kAppend, CrashPoint::kClaimSaid);
inline const Deed kRecoverHole = recovers(kAppend, CrashPoint::kClaimAdded);
inline const Deed kRecoverRun = recovers(kHugeComeAndGo, CrashPoint::kRunPartlyTaken, 40);
inline const Deed kRecoverWholeRun = recovers(kHugeComeAndGo, CrashPoint::kSegmentBlockTaken);
inline const Deed kRecoverNamedRun = recovers(kAppendLarge, CrashPoint::kSegmentBlockNamed);
inline const Deed kRecoverStillNamed = recovers(kHugeComeAndGo, CrashPoint::kRunStillNamed);
inline const Deed kRecoverGivenUp = recovers(kHugeComeAndGo, CrashPoint::kSegmentBlockForgotten);
inline const Deed kRecoverCutPage = recovers(kMediumKeys, CrashPoint::kPageCarving);
inline const Deed kRecoverLookedAtPage = recovers(kEmptyPage, CrashPoint::kPageLooking);
inline const Deed kRecoverUnownedPage = recovers(kEmptyPage, CrashPoint::kPageUnowned);
inline const Deed kRecoverUnownedSource = recovers(kEmptySource, CrashPoint::kPageUnowned);
inline const Deed kRecoverSegment = recovers(kAppend, CrashPoint::kSegmentMade);
inline const Deed kRecoverLargeSegment = recovers(kAppendLarge, CrashPoint::kSegmentMade);
inline const Deed kRecoverChain = recovers(kNewKeys, CrashPoint::kChainMade);
inline const Deed kRecoverLeaves = recovers(kNewKeys, CrashPoint::kLeafAllocated);
inline const Deed kRecoverPublishedLeaves = recovers(kNewKeys, CrashPoint::kLeafPublished);
inline const Deed kRecoverLeafNamed = recovers(kNewKeys, CrashPoint::kLeafNamed);
inline const Deed kRecoverLeafSettled = recovers(kNewKeys, CrashPoint::kLeafSettled);
inline const Deed kRecoverLeafRetired = recovers(kNewKeys, CrashPoint::kLeafRetired);
inline const Deed kRecoverTree = recovers(kDrop, CrashPoint::kTreeMade);
inline const Deed kRecoverErase = recovers(kErase, CrashPoint::kEraseMarked);
inline const Deed kRecoverErased = recovers(kErase, CrashPoint::kEraseRetired);
inline const Deed kRecoverDrop = recovers(kDrop, CrashPoint::kDropSucceeded);
inline const Deed kRecoverDropped = recovers(kDrop, CrashPoint::kDropRetired);
inline const Deed kRecoverClaimed = recovers(kErase, CrashPoint::kObjectClaimed);
inline const Deed kRecoverOwned = recovers(kErase, CrashPoint::kHeadMoved);
inline const Deed kRecoverReclaimer = recovers(kErase, CrashPoint::kObjectEmptied);
inline const Deed kRecoverInHand = recovers(kSpill, CrashPoint::kSpillGathered);
inline const Deed kRecoverCounted = recovers(kSpill, CrashPoint::kSpillCounted, 5);
inline const Deed kRecoverPublished = recovers(kSpill, CrashPoint::kSpillPublished, 5);
inline const Deed kRecoverHandedOn = recovers(kSpillUnderView, CrashPoint::kSpillHandedOn);
inline const Deed kRecoverSpilled = recovers(kSpill, CrashPoint::kSpillRetired);
inline const Deed kRecoverMergeJournalled = recovers(kMerge, CrashPoint::kMergeJournalled);
inline const Deed kRecoverMergeLinked = recovers(kMerge, CrashPoint::kMergeLinked);
inline const Deed kRecoverMergeRetired = recovers(kMerge, CrashPoint::kMergeRetired);

}  // namespace shoal_test::deeds
