// Every crash point: a process stops there, and others go on; it dies there, and nothing is lost; many die there,
// and no memory is.
#include <signal.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "../store/scale.hpp"
#include "catch.hpp"
#include "deeds.hpp"
#include "windows.hpp"

using namespace shoal_test;
using namespace shoal_test::deeds;
using shoal::Store;

namespace {

constexpr std::uint64_t kLargestBlock = 32 << 10;  // that is no run of pages

const std::vector<Window>& windows() {
    static const std::vector<Window> all{
        // claims
        {CrashPoint::kClaimNamed, kAppend},
        {CrashPoint::kClaimAdded, kAppend},
        {CrashPoint::kClaimSaid, kAppend},
        {CrashPoint::kClaimAdded, kAppendGroup},
        {CrashPoint::kClaimSaid, kAppendGroup},
        {CrashPoint::kClaimCopying, kAppend, 2},
        {CrashPoint::kClaimCopying, kAppendGroup, 3},
        {CrashPoint::kClaimCopied, kAppend},
        {CrashPoint::kClaimCopied, kAppendGroup},
        {CrashPoint::kClaimCommitted, kAppend},
        {CrashPoint::kClaimCommitted, kAppendGroup},
        {CrashPoint::kSealBegun, kAppend},
        {CrashPoint::kSealPadded, kAppend},
        {CrashPoint::kSealBegun, kAppendGroup},
        {CrashPoint::kSealPadded, kAppendGroup},
        {CrashPoint::kSealBegun, kAppendLarge},
        {CrashPoint::kSealPadded, kAppendLarge},
        {CrashPoint::kSealBegun, kErase},
        {CrashPoint::kSealPadded, kErase},
        {CrashPoint::kSealWritten, kAppend},
        {CrashPoint::kChangeCounted, kAppendSynced},
        {CrashPoint::kChangeSaid, kAppendSynced},
        {CrashPoint::kWatchEnded, kAppendSynced},
        // segments
        {CrashPoint::kSegmentTaken, kAppend, 1, 64},
        {CrashPoint::kSegmentTaken, kAppendLarge, 1, 64},
        {CrashPoint::kSegmentRemembered, kAppend},
        {CrashPoint::kSegmentBlockTaken, kAppend, 1, kLargestBlock},
        {CrashPoint::kSegmentBlockTaken, kAppendLarge},
        {CrashPoint::kSegmentBlockTaken, kHugeComeAndGo, 1, 0, 4},
        {CrashPoint::kSegmentBlockNamed, kAppend},
        {CrashPoint::kSegmentBlockNamed, kAppendLarge},
        {CrashPoint::kSegmentMade, kAppend},
        {CrashPoint::kSegmentMade, kAppendLarge},
        {CrashPoint::kClaimCopied, kAppendLarge},
        {CrashPoint::kSegmentLinked, kAppend},
        {CrashPoint::kSegmentLinked, kAppendLarge},
        {CrashPoint::kSegmentNotNeeded, kLinkTogether},
        {CrashPoint::kTailLags, kAppend},
        {CrashPoint::kTailLags, kAppendLarge},
        {CrashPoint::kTailMoved, kAppend},
        {CrashPoint::kTailMoved, kAppendLarge},
        {CrashPoint::kSegmentBlockForgotten, kLinkTogether, 1, kLargestBlock},
        {CrashPoint::kSegmentBlockForgotten, kLargeComeAndGo},
        {CrashPoint::kSegmentBlockForgotten, kHugeComeAndGo, 1, 0, 4},
        {CrashPoint::kSegmentBlockForgotten, kErase, 1, 4096},
        {CrashPoint::kSegmentEmptied, kLinkTogether},
        {CrashPoint::kSegmentForgotten, kLinkTogether, 1, 64},
        // chains
        {CrashPoint::kChainTaken, kNewKeys, 1, 64},
        {CrashPoint::kChainRemembered, kNewKeys},
        {CrashPoint::kChainRooted, kNewKeys},
        {CrashPoint::kChainMade, kNewKeys},
        {CrashPoint::kChainMade, kIset},
        {CrashPoint::kChainInserted, kNewKeys},
        {CrashPoint::kChainInserted, kIset},
        {CrashPoint::kChainNotNeeded, kSetTogether},
        {CrashPoint::kChainRootMoved, kSetTogether, 1, 64},
        {CrashPoint::kChainRootMoved, kErase, 1, 64},
        {CrashPoint::kChainEmptied, kSetTogether},
        {CrashPoint::kChainForgotten, kSetTogether, 1, 64},
        // pages
        {CrashPoint::kRunNamed, kHugeComeAndGo, 1, 0, 4},
        {CrashPoint::kRunNamed, kLargeKeys},
        {CrashPoint::kRunPartlyTaken, kHugeComeAndGo, 1, 0, 4},
        {CrashPoint::kRunPartlyTaken, kHugeComeAndGo, 40, 0, 4},
        {CrashPoint::kRunPartlyTaken, kLargeKeys},
        {CrashPoint::kRunPartlyTaken, kWideKeys},
        {CrashPoint::kPagesTaken, kHugeComeAndGo, 1, 0, 4},
        {CrashPoint::kPagesTaken, kLargeKeys},
        {CrashPoint::kPagesTaken, kWideKeys},
        {CrashPoint::kBlockBitsReal, kLargeKeys, 1, 0, 5},
        {CrashPoint::kPagesZeroed, kLargeKeys},
        {CrashPoint::kPagesReal, kLargeKeys},
        {CrashPoint::kRunStillNamed, kLargeComeAndGo},
        {CrashPoint::kRunStillNamed, kHugeComeAndGo, 1, 0, 4},
        {CrashPoint::kRunStillNamed, kSpillLarge, 1, 0, 4},
        {CrashPoint::kRunGivenUp, kSpillLarge, 1, 0, 4},
        {CrashPoint::kRunStillNamed, kLongKeys},
        {CrashPoint::kChainTaken, kLongKeys},
        {CrashPoint::kObjectForgotten, kLongKeys},
        {CrashPoint::kTreeChainForgotten, kDropLongKeys, 3, 64},
        {CrashPoint::kTreeChainForgotten, kDropLongKeys, 6, 64},
        {CrashPoint::kRunGivenUp, kDropLongKeys},
        {CrashPoint::kRunGivenUp, kHugeComeAndGo, 1, 0, 4},
        {CrashPoint::kRunGivenUp, kLargeComeAndGo},
        {CrashPoint::kPageGivenUp, kHugeComeAndGo, 40, 0, 4},
        {CrashPoint::kPageGivenUp, kLargeComeAndGo},
        {CrashPoint::kPageUnused, kHugeComeAndGo, 40, 0, 4},
        {CrashPoint::kRunPartlyFreed, kHugeComeAndGo, 40, 0, 4},
        {CrashPoint::kRunPartlyFreed, kLargeComeAndGo, 1},
        // blocks
        {CrashPoint::kPageCutting, kMediumKeys},
        {CrashPoint::kPageCarving, kMediumKeys},
        {CrashPoint::kPageCarving, kMediumKeys, 2},
        {CrashPoint::kPageHasClass, kMediumKeys},
        {CrashPoint::kPageCarved, kMediumKeys},
        {CrashPoint::kSourceNamed, kNewKeys},
        {CrashPoint::kPageAdopted, kNewKeys},
        {CrashPoint::kBlockTaken, kNewKeys, 1, 64},
        {CrashPoint::kPageShared, kNewKeys, 1, 64},
        {CrashPoint::kBlockTaken, kNewKeys, 2, 64},
        {CrashPoint::kBlockTaken, kNewKeys, 3, 64},
        {CrashPoint::kBlockTaken, kWideKeys, 3, kLargestBlock},
        {CrashPoint::kBlockZeroed, kErase, 1, 4096},
        {CrashPoint::kBlockFree, kErase, 1, 4096},
        {CrashPoint::kBlockFindable, kErase, 1, 4096},
        {CrashPoint::kBlockZeroed, kLargeComeAndGo},
        {CrashPoint::kPageJournalled, kEmptyPage},
        {CrashPoint::kPageLooking, kEmptyPage},
        {CrashPoint::kPageUnowned, kEmptyPage},
        {CrashPoint::kPageEmptying, kEmptyPage},
        {CrashPoint::kPageEmptying, kEmptyPage, 2},
        {CrashPoint::kPageEmptied, kEmptyPage},
        {CrashPoint::kPageStays, kEmptyUsedPage},
        {CrashPoint::kBlocksPutBack, kEmptySoughtPage},
        {CrashPoint::kRunGivenUp, kEmptyPage},
        {CrashPoint::kSourceFindable, kComeAndGo},
        {CrashPoint::kSourceForgotten, kComeAndGo},
        // epochs
        {CrashPoint::kEpochEntered, kAppend},
        {CrashPoint::kEpochEntered, kAppendGroup},
        {CrashPoint::kEpochEntered, kIset},
        {CrashPoint::kViewPinned, kView},
        {CrashPoint::kKeysRead, kWalk},
        {CrashPoint::kRetiredLinked, kErase},
        {CrashPoint::kRetiredPushed, kErase},
        {CrashPoint::kObjectNamed, kErase},
        {CrashPoint::kObjectClaimed, kErase},
        {CrashPoint::kObjectOwned, kErase},
        {CrashPoint::kHeadMoved, kErase},
        {CrashPoint::kObjectTaken, kErase},
        {CrashPoint::kObjectEmptied, kErase},
        {CrashPoint::kObjectForgotten, kErase, 1, 64},
        {CrashPoint::kListDrained, kErase},
        {CrashPoint::kEpochMoved, kErase},
        // slots
        {CrashPoint::kSlotsReal, kCrowd, 1, 0, 2},
        {CrashPoint::kSlotLocked, kComeAndGo},
        {CrashPoint::kSlotTaken, kComeAndGo},
        {CrashPoint::kSlotSourcesBack, kComeAndGo},
        {CrashPoint::kSlotFree, kComeAndGo},
        // growth
        {CrashPoint::kLeafPartTaken, kNewKeys, 1, 4096},
        {CrashPoint::kLeafPartTaken, kNewKeys, 2, 4096},
        {CrashPoint::kLeafPartRemembered, kNewKeys},
        {CrashPoint::kLeafAllocated, kNewKeys},
        {CrashPoint::kLeafPublished, kNewKeys},
        {CrashPoint::kLeafPublished, kRebuild},
        {CrashPoint::kLeafPublished, kGrowDeep, 13, 0, 1},
        {CrashPoint::kLeafNotNeeded, kGrowTogether},
        {CrashPoint::kLeafPartForgotten, kGrowTogether, 1, 4096},
        {CrashPoint::kLeafFreezing, kNewKeys, 250},
        {CrashPoint::kLeafFrozen, kNewKeys},
        {CrashPoint::kLeafFrozen, kRebuild},
        {CrashPoint::kLeafFrozen, kGrowDeep, 13, 0, 1},
        {CrashPoint::kLeafCopying, kNewKeys, 100},
        {CrashPoint::kLeafCopying, kRebuild},
        {CrashPoint::kLeafCopied, kNewKeys},
        {CrashPoint::kLeafCopied, kRebuild},
        {CrashPoint::kLeafCopied, kGrowDeep, 13, 0, 1},
        {CrashPoint::kLeafSucceeded, kNewKeys},
        {CrashPoint::kLeafSucceeded, kRebuild},
        {CrashPoint::kLeafSucceeded, kGrowDeep, 13, 0, 1},
        {CrashPoint::kLeafReplaced, kNewKeys},
        {CrashPoint::kLeafNamed, kNewKeys},
        {CrashPoint::kLeafInstalling, kNewKeys, 100},
        {CrashPoint::kLeafInstalling, kRebuild, 100},
        {CrashPoint::kLeafInstalled, kNewKeys},
        {CrashPoint::kLeafInstalled, kRebuild},
        {CrashPoint::kLeafInstalled, kGrowDeep, 13, 0, 1},
        {CrashPoint::kLeafHalfSettled, kNewKeys},
        {CrashPoint::kLeafSettled, kNewKeys},
        {CrashPoint::kLeafSettled, kGrowDeep, 13, 0, 1},
        {CrashPoint::kLeafRetiring, kNewKeys},
        {CrashPoint::kLeafRetiring, kGrowDeep, 13, 0, 1},
        {CrashPoint::kLeafRetired, kNewKeys},
        {CrashPoint::kLeafRetired, kRebuild},
        // erase
        {CrashPoint::kEraseNamed, kErase},
        {CrashPoint::kEraseClosed, kErase},
        {CrashPoint::kEraseMarked, kErase},
        {CrashPoint::kEraseUnlinked, kErase},
        {CrashPoint::kEraseCounted, kErase},
        {CrashPoint::kEraseRetired, kErase},
        // drop
        {CrashPoint::kTreeTaken, kDrop, 1, 64},
        {CrashPoint::kTreeRemembered, kDrop},
        {CrashPoint::kTreePartlyMade, kDrop},
        {CrashPoint::kTreeMade, kDrop},
        {CrashPoint::kDropNamed, kDrop},
        {CrashPoint::kDropSucceeded, kDrop},
        {CrashPoint::kDropInstalled, kDrop},
        {CrashPoint::kDropCounted, kDrop},
        {CrashPoint::kDropRetired, kDrop},
        {CrashPoint::kDropNotNeeded, kDropTogether},
        {CrashPoint::kTreeForgotten, kDropTogether, 1, 64},
        {CrashPoint::kTreeChainEmptied, kDrop, 3},
        {CrashPoint::kTreeChainForgotten, kDrop, 3, 64},
        {CrashPoint::kTreeLeafEmptied, kDrop},
        {CrashPoint::kTreeLeafForgotten, kDrop, 1, 4096},
        {CrashPoint::kTreeNodeEmptied, kDropDeep, 1, 0, 5},
        {CrashPoint::kTreeNodeForgotten, kDropDeep, 1, 512, 5},
        {CrashPoint::kTreeRootEmptied, kDrop},
        {CrashPoint::kTreeRootForgotten, kDrop, 1, 32768},
        // spilling
        {CrashPoint::kSegmentInHand, kSpill},
        {CrashPoint::kSegmentInHand, kSpill, 30},
        {CrashPoint::kSpillJournalled, kSpill},
        {CrashPoint::kSpillJournalled, kSpill, 30},
        {CrashPoint::kSpillGathered, kSpill},
        {CrashPoint::kSpillWritten, kSpill},
        {CrashPoint::kSpillCounted, kSpill},
        {CrashPoint::kSpillPublished, kSpill},
        {CrashPoint::kSpillPublished, kSpill, 30},
        {CrashPoint::kSpillGathered, kSpillLarge, 1, 0, 4},
        {CrashPoint::kSpillPublished, kSpillLarge, 1, 0, 4},
        {CrashPoint::kSpillRetired, kSpill},
        {CrashPoint::kRetiredPushed, kSpillUnderView},
        {CrashPoint::kSpillHandedOn, kSpillUnderView},
        {CrashPoint::kSpilledBlockForgotten, kSpill, 1, kLargestBlock},
        {CrashPoint::kSpilledBlockForgotten, kSpillLarge, 1, kLargestBlock, 4},
        {CrashPoint::kSegmentBlockForgotten, kEraseSpilled},
        {CrashPoint::kChainRootMoved, kEraseSpilled, 1, 64},
        {CrashPoint::kEraseRetired, kEraseSpilled},
        {CrashPoint::kSpillFileEnded, kDropSpilled},
        {CrashPoint::kSpillFileEmptied, kDropSpilled},
        {CrashPoint::kSpillFileUnlinked, kDropSpilled},
        // merges
        {CrashPoint::kMergeWritten, kMerge},
        {CrashPoint::kMergeTaken, kMerge, 1, 64},
        {CrashPoint::kMergeJournalled, kMerge},
        {CrashPoint::kMergeLinked, kMerge},
        {CrashPoint::kMergeLinked, kMerge, 3},
        {CrashPoint::kMergeRetired, kMerge},
        {CrashPoint::kMergedForgotten, kMerge, 1, 64},
        {CrashPoint::kMergedForgotten, kMerge, 3, 64},
        // recovery, which dies too
        {CrashPoint::kDeadMergeSettled, kRecoverMergeJournalled},
        {CrashPoint::kDeadMergeSettled, kRecoverMergeLinked},
        {CrashPoint::kDeadSpillRetired, kRecoverMergeJournalled},
        {CrashPoint::kDeadSpillRetired, kRecoverMergeLinked},
        {CrashPoint::kDeadSpillRetired, kRecoverMergeRetired},
        {CrashPoint::kDeadSpillLetGo, kRecoverInHand},
        {CrashPoint::kDeadSpillLetGo, kRecoverCounted},
        {CrashPoint::kDeadSpillLetGo, kRecoverPublished},
        {CrashPoint::kDeadSpillRetired, kRecoverCounted},
        {CrashPoint::kDeadSpillRetired, kRecoverPublished},
        {CrashPoint::kDeadWorkFinished, kRecoverPublished},
        {CrashPoint::kDeadSpillRetired, kRecoverSpilled},
        {CrashPoint::kDeadWorkFinished, kRecoverHandedOn},
        {CrashPoint::kDeadJournalForgotten, kRecoverInHand, 1, kLargestBlock},
        {CrashPoint::kDeadJournalForgotten, kRecoverPublished, 5},
        {CrashPoint::kDeadJournalForgotten, kRecoverHandedOn, 5},
        {CrashPoint::kRecoveryBegun, kRecoverErase},
        {CrashPoint::kDeadPagesFree, kRecoverRun, 1, 0, 4},
        {CrashPoint::kDeadPagesFree, kRecoverNamedRun},
        {CrashPoint::kDeadPagesFree, kRecoverStillNamed, 1, 0, 4},
        {CrashPoint::kDeadRunZeroed, kRecoverGivenUp, 1, 0, 4},
        {CrashPoint::kRunGivenUp, kRecoverGivenUp, 1, 0, 4},
        {CrashPoint::kRunStillNamed, kRecoverLargeSegment},
        {CrashPoint::kSegmentBlockForgotten, kRecoverLargeSegment},
        {CrashPoint::kBlockZeroed, kRecoverLargeSegment},
        {CrashPoint::kRunGivenUp, kRecoverLargeSegment},
        {CrashPoint::kPageCleared, kRecoverCutPage},
        {CrashPoint::kDeadPageStays, kRecoverLookedAtPage},
        {CrashPoint::kPageUnowned, kRecoverLookedAtPage},
        {CrashPoint::kPageLeft, kRecoverUnownedSource},
        {CrashPoint::kPageCleared, kRecoverUnownedPage},
        {CrashPoint::kPageUnused, kRecoverRun, 20, 0, 4},
        {CrashPoint::kRunPartlyFreed, kRecoverRun, 20, 0, 4},
        {CrashPoint::kPageGivenUp, kRecoverWholeRun, 20, 0, 4},
        {CrashPoint::kClaimsAbandoned, kRecoverClaim},
        {CrashPoint::kClaimsPadded, kRecoverClaim},
        {CrashPoint::kClaimsPadded, kRecoverHole},
        {CrashPoint::kDeadClaimsDone, kRecoverClaim},
        {CrashPoint::kDeadClaimsDone, kRecoverHole},
        {CrashPoint::kHolesPadded, kRecoverHole},
        {CrashPoint::kSegmentBlockForgotten, kRecoverSegment, 1, kLargestBlock},
        {CrashPoint::kSegmentEmptied, kRecoverSegment},
        {CrashPoint::kSegmentForgotten, kRecoverSegment, 1, 64},
        {CrashPoint::kMadeUndone, kRecoverSegment},
        {CrashPoint::kChainEmptied, kRecoverChain},
        {CrashPoint::kChainForgotten, kRecoverChain, 1, 64},
        {CrashPoint::kChainUndone, kRecoverChain},
        {CrashPoint::kLeafPartForgotten, kRecoverLeaves, 1, 4096},
        {CrashPoint::kLeafPartForgotten, kRecoverLeaves, 2, 4096},
        {CrashPoint::kMadeUndone, kRecoverLeaves},
        {CrashPoint::kMadeUndone, kRecoverPublishedLeaves},
        {CrashPoint::kLeafInstalled, kRecoverLeafNamed},
        {CrashPoint::kLeafSettled, kRecoverLeafSettled},
        {CrashPoint::kLeafRetiring, kRecoverLeafSettled},
        {CrashPoint::kLeafRetiring, kRecoverLeafRetired},
        {CrashPoint::kLeafRetired, kRecoverLeafSettled},
        {CrashPoint::kDeadLeafReplaced, kRecoverLeafSettled},
        {CrashPoint::kTreeRootForgotten, kRecoverTree, 1, 32768},
        {CrashPoint::kTreeForgotten, kRecoverTree, 1, 64},
        {CrashPoint::kMadeUndone, kRecoverTree},
        {CrashPoint::kDeadEraseUnlinked, kRecoverErase},
        {CrashPoint::kDeadEraseCounted, kRecoverErase},
        {CrashPoint::kDeadEraseRetired, kRecoverErase},
        {CrashPoint::kDeadWorkFinished, kRecoverErased},
        {CrashPoint::kDeadDropInstalled, kRecoverDrop},
        {CrashPoint::kDeadDropCounted, kRecoverDrop},
        {CrashPoint::kDeadDropRetired, kRecoverDrop},
        {CrashPoint::kDeadWorkFinished, kRecoverDropped},
        {CrashPoint::kObjectOwned, kRecoverClaimed},
        {CrashPoint::kDeadDrainRetired, kRecoverClaimed},
        {CrashPoint::kDeadDrainRetired, kRecoverOwned},
        {CrashPoint::kDeadDrainRetired, kRecoverReclaimer},
        {CrashPoint::kDeadDrainForgotten, kRecoverReclaimer},
        {CrashPoint::kDeadWorkFinished, kRecoverErase},
        {CrashPoint::kDeadSourcesBack, kRecoverErase},
        {CrashPoint::kDeadEpochLeft, kRecoverErase},
        {CrashPoint::kDeadSlotFree, kRecoverErase},
    };
    return all;
}

// No invariant is broken, and no more leaked than so many deaths may leave: a block each, and no page.
std::string verify(Scene& scene, const Window& window, std::size_t deaths) {
    const auto report = scene.verify();
    EXPECT_OK(report);
    EXPECT(report->at_rest);
    std::string wrong;
    for (const auto& damage : report->damage) wrong += damage.invariant + ": " + damage.what + "; ";
    if (report->blocks_leaked > deaths) wrong += std::to_string(report->blocks_leaked) + " blocks leaked; ";
    if (report->leaked_bytes > deaths * window.leaked_bytes)
        wrong += std::to_string(report->leaked_bytes) + " bytes leaked";
    return wrong;
}

std::size_t deaths_of(const Window& window) { return std::min(window.deaths, scaled(window.deaths, 2)); }

// Stopped there, it delays nobody; killed there, it takes nothing back.
std::string stop_and_kill(Scene& scene, const Window& window) {
    Records& records = scene.records;
    Child child = start_deed(scene, window.deed, window.point, window.passing, shoal::crash::stop_here);
    if (!has_stopped(child)) return "the child did not stop there: " + child.wait();
    const auto ours = records.add_writer(Scene::to_target(40));
    const auto ours_new = records.add_writer(scene.to_new_keys("ours", 30));
    const auto theirs = records.add_writer(Scene::to_target(200));
    const auto theirs_new = records.add_writer(scene.to_new_keys("theirs", 300));
    Child other = Child::start([&]() -> std::string {
        auto store = Store::attach(scene.path(), without_spill_thread());
        EXPECT_OK(store);
        return go_on(records, *store, theirs, theirs_new, 400, scene.spills());
    });
    std::string wrong = go_on(records, scene.store(), ours, ours_new, 400, scene.spills()) +
                        use_in_every_way(scene, scene.store()) + other.wait();
    if (wrong.empty()) wrong = scene.check(scene.store());
    if (!wrong.empty()) return "while it is stopped: " + wrong;
    child.kill();
    (void)child.wait();
    wrong = scene.check(scene.store());
    if (!wrong.empty()) return "after its death: " + wrong;
    return {};
}

std::string kill_many(Scene& scene, const Window& window, std::size_t deaths) {
    for (std::size_t death = 0; death < deaths; ++death) {
        Child child = start_deed(scene, window.deed, window.point, window.passing, shoal::crash::kill_here);
        const std::string ended = child.wait();
        if (child.killed_by() != SIGKILL) return "the child did not die there: " + ended;
        const std::string wrong = scene.check_victims(scene.store());
        if (!wrong.empty() && !scene.drops) return wrong;
        if (scene.drops) scene.records.may_all_be_gone();
        const auto more = scene.records.add_writer(Scene::to_target(40));
        for (int number = 0; number < 3; ++number) EXPECT_OK(scene.records.append(scene.store(), more));
    }
    return {};
}

// All that works, and what was written, once the dead are recovered.
std::string after_recovery(Scene& scene) {
    Records& records = scene.records;
    auto late = Store::attach(scene.path(), without_spill_thread());
    EXPECT_OK(late);
    std::string wrong = records.check(*late);
    if (!wrong.empty()) return wrong;
    const auto writer = records.add_writer(Scene::to_target(70));
    const auto new_keys = records.add_writer(scene.to_new_keys("late", 30));
    wrong = go_on(records, *late, writer, new_keys, 100, scene.spills());
    if (!wrong.empty()) return wrong;
    const auto keys = late->keys();
    EXPECT_OK(keys);
    for (const auto& key : *keys) {
        const auto size = late->size(key);
        EXPECT_OK(size);
        EXPECT(size->records == late->records(key)->size());
        EXPECT(size->bytes == late->get(key)->size());
    }
    records.may_be_gone(kTarget);
    const auto erased = late->erase(kTarget);
    EXPECT_OK(erased);
    EXPECT(*erased);
    EXPECT(!*late->contains(kTarget));
    EXPECT_OK(records.append(*late, records.add_writer(Scene::to_target(70))));
    return records.check(*late);
}

}  // namespace

TEST_CASE("A process that is stopped at any crash point delays nobody, and one killed there takes nothing back",
          "[process]") {
    for (const Window& window : windows()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing << ", " << window.deed.name) {
            Scene scene(window.deed.spills);
            CHECK(stop_and_kill(scene, window) == "");
            CHECK(verify(scene, window, 1) == "");
            CHECK(after_recovery(scene) == "");
            CHECK(verify(scene, window, 1) == "");
        }
    }
}

TEST_CASE("A chain that was not needed is given back, whatever its segment's memory holds by then", "[process]") {
    // Each fill takes another of a key's three blocks for what was the segment: one is its record, odd where a
    // segment names the next.
    for (std::size_t blocks_before = 0; blocks_before < 3; ++blocks_before) {
        Scene scene;
        Child child = start_deed(scene, kSetTogether, CrashPoint::kChainEmptied, 1, shoal::crash::stop_here);
        REQUIRE(has_stopped(child));
        for (std::size_t number = 0; number < 2'000; ++number) {  // more than one page holds: it takes that one too
            const bool two_blocks = number < blocks_before;       // and a larger one, for its longer key
            const std::string key = std::string(two_blocks ? 40 : 8, 'k') + std::to_string(number);
            REQUIRE_OK(scene.store().append(key, std::string(48, '\xff')));
        }
        child.kill();
        (void)child.wait();
        REQUIRE_OK(Store::attach(scene.path(), without_spill_thread()));  // recovers it
        const auto report = scene.verify();
        REQUIRE_OK(report);
        CHECK(report->at_rest);
        CHECK(report->sound());
        CHECK(report->blocks_leaked == 0);
    }
}

TEST_CASE("However many die between retiring an object and counting it, the count never falls below none",
          "[process]") {
    Scene scene(false);
    kErase.prepare(scene);
    for (int death = 0; death < 3; ++death) {
        Child child = start_deed(scene, kErase, CrashPoint::kRetiredPushed, 1, shoal::crash::kill_here);
        (void)child.wait();
        REQUIRE(child.killed_by() == SIGKILL);
        auto next = Store::attach(scene.path());  // recovers it
        REQUIRE_OK(next);
        for (int turn = 0; turn < 3; ++turn) REQUIRE_OK(next->stats());
        CHECK(next->stats()->retired_objects == 0);
    }
}

TEST_CASE("Processes killed at one crash point again and again leak what a death may, and no more", "[process]") {
    for (const Window& window : windows()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing << ", " << window.deed.name) {
            Scene scene(window.deed.spills);
            CHECK(kill_many(scene, window, deaths_of(window)) == "");
            CHECK(verify(scene, window, deaths_of(window)) == "");
            CHECK(after_recovery(scene) == "");
            REQUIRE_OK(scene.store().drop());
            CHECK(scene.store().keys()->empty());
            INFO("a death leaked " << scene.leaked_bytes() / deaths_of(window));
            CHECK(scene.leaked_bytes() <= deaths_of(window) * window.leaked_bytes);
        }
    }
}

TEST_CASE("A repair gives back all that processes leaked which were killed at a crash point, and nothing else",
          "[process]") {
    for (const Window& window : windows()) {
        if (window.leaked_bytes == 0) continue;
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing << ", " << window.deed.name) {
            Scene scene(window.deed.spills);
            CHECK(kill_many(scene, window, std::min<std::size_t>(deaths_of(window), 3)) == "");
            CHECK(scene.check(scene.store()) == "");  // the dead are recovered
            const auto leaking = scene.verify();
            REQUIRE_OK(leaking);
            const auto repaired = scene.verify({.repair = true});
            REQUIRE_OK(repaired);
            CHECK(repaired->not_repaired == "");
            const auto clean = scene.verify();
            REQUIRE_OK(clean);
            for (const auto& report : {*repaired, *clean}) {
                CHECK(report.at_rest);
                CHECK(report.sound());
                CHECK(report.blocks_leaked == 0);
                CHECK(report.leaked_bytes == 0);
                CHECK(report.records == leaking->records);
            }
            CHECK(after_recovery(scene) == "");
            REQUIRE_OK(scene.store().drop());
            CHECK(scene.leaked_bytes() == 0);
        }
    }
}

TEST_CASE("Each window that src/ORDERING.md leaves to a repair is one that a test repairs") {
    std::set<std::string_view> repaired;
    for (const Window& window : windows()) {
        if (window.leaked_bytes != 0) repaired.insert(shoal::crash::name(window.point));
    }
    std::ifstream file(SHOAL_ORDERING_PAGE);
    std::size_t found = 0;
    for (std::string row; std::getline(file, row);) {
        if (!row.starts_with("| ") || row.find("`verify --repair`") == std::string::npos) continue;
        for (std::size_t at = 0; at < shoal::kCrashPoints; ++at) {
            const std::string_view name = shoal::crash::name(static_cast<CrashPoint>(at));
            if (row.find("`" + std::string(name) + "`") == std::string::npos) continue;
            INFO(name);
            CHECK(repaired.count(name) == 1);
            ++found;
        }
    }
    CHECK(found >= 17);
}

const std::vector<Window>& shoal_test::windows_of_operations() { return windows(); }

std::set<CrashPoint> shoal_test::points_in_operations() {
    std::set<CrashPoint> points;
    for (const Window& window : windows()) points.insert(window.point);
    return points;
}

TEST_CASE("Every crash point has a window in these tests, and its place in src/ORDERING.md") {
    std::set<CrashPoint> tested = points_in_operations();
    tested.merge(points_in_lives());
    tested.merge(points_in_syncs());
    tested.merge(points_in_restoring());
    tested.merge(points_in_backups());
    tested.merge(points_in_forks());
    std::ifstream file(SHOAL_ORDERING_PAGE);
    const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    for (std::size_t at = 0; at < shoal::kCrashPoints; ++at) {
        const auto point = static_cast<CrashPoint>(at);
        INFO(shoal::crash::name(point));
        CHECK(tested.count(point) == 1);
        CHECK(page.find("`" + std::string(shoal::crash::name(point)) + "`") != std::string::npos);
    }
}
