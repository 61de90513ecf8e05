// Crash points: a name for each window in which a process may die or be stopped, so that a test can have it die
// there. src/ORDERING.md says what each leaves and who goes on; tests/crash goes through all of them.
//
// Only a build with SHOAL_CRASH_POINTS, which the tests link, knows them at run time; elsewhere crash_point() is
// nothing, not one instruction.
//
// Thread safety: crash_point() from any thread; crash::at() and crash::forget_all() while no other thread is inside
// the library. What is armed is this process's, and its children's by fork.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#ifdef SHOAL_CRASH_POINTS
#include <signal.h>

#include <array>
#include <atomic>
#include <functional>
#include <utility>
#endif

// Each is named for what has just been done; the next step has not.
#define SHOAL_EACH_CRASH_POINT(POINT)                                   \
    /* segment/claim.hpp */                                             \
    POINT(ClaimNamed)                                                   \
    POINT(ClaimAdded)                                                   \
    POINT(ClaimSaid)                                                    \
    POINT(ClaimCopying)                                                 \
    POINT(ClaimCopied)                                                  \
    POINT(ClaimCommitted)                                               \
    POINT(SealBegun)                                                    \
    POINT(SealPadded)                                                   \
    POINT(SealWritten)                                                  \
    POINT(ChangeCounted)                                                \
    POINT(ChangeSaid)                                                   \
    POINT(WatchEnded)                                                   \
    /* segment/hand_over.hpp, spill/batch*.cpp: spilling */             \
    POINT(SegmentInHand)                                                \
    POINT(SpillJournalled)                                              \
    POINT(SpillGathered)                                                \
    POINT(SpillWritten)                                                 \
    POINT(SpillCounted)                                                 \
    POINT(SpillPublished)                                               \
    POINT(SpillRetired)                                                 \
    POINT(SpillHandedOn)                                                \
    POINT(SpilledBlockForgotten)                                        \
    /* spill/merger.cpp */                                              \
    POINT(MergeWritten)                                                 \
    POINT(MergeTaken)                                                   \
    POINT(MergeJournalled)                                              \
    POINT(MergeLinked)                                                  \
    POINT(MergeRetired)                                                 \
    POINT(MergedForgotten)                                              \
    /* spill/files.cpp */                                               \
    POINT(SpillFileEnded)                                               \
    POINT(SpillFileEmptied)                                             \
    POINT(SpillFileUnlinked)                                            \
    /* spill/sync_pass.cpp and the like, recovery/restore.cpp: syncs */ \
    POINT(SyncBegun)                                                    \
    POINT(CheckpointBegun)                                              \
    POINT(ChangesOn)                                                    \
    POINT(WatchBegun)                                                   \
    POINT(SyncCounted)                                                  \
    POINT(SyncWriting)                                                  \
    POINT(SyncFilesDurable)                                             \
    POINT(CheckpointWritten)                                            \
    POINT(SyncNaming)                                                   \
    POINT(CheckpointNamed)                                              \
    POINT(CheckpointDurable)                                            \
    POINT(SyncGivingRoom)                                               \
    POINT(SyncRoomGivenBack)                                            \
    POINT(CheckpointReplaced)                                           \
    POINT(CheckpointsRemoved)                                           \
    POINT(RestoreLocked)                                                \
    POINT(ChainRestored)                                                \
    POINT(ArenaRestored)                                                \
    POINT(OutdatedRemoved)                                              \
    POINT(RestoredNamed)                                                \
    POINT(RestoredJoined)                                               \
    POINT(HomeWritten)                                                  \
    POINT(HomeTaken)                                                    \
    POINT(ArenaAtHome)                                                  \
    POINT(RestoreSaid)                                                  \
    /* chain/chain.cpp: segments */                                     \
    POINT(SegmentTaken)                                                 \
    POINT(SegmentRemembered)                                            \
    POINT(SegmentBlockTaken)                                            \
    POINT(SegmentBlockNamed)                                            \
    POINT(SegmentMade)                                                  \
    POINT(SegmentLinked)                                                \
    POINT(SegmentNotNeeded)                                             \
    POINT(TailLags)                                                     \
    POINT(TailMoved)                                                    \
    POINT(SegmentBlockForgotten)                                        \
    POINT(SegmentEmptied)                                               \
    POINT(SegmentForgotten)                                             \
    /* chain/chain.cpp, store/append.cpp: chains */                     \
    POINT(ChainTaken)                                                   \
    POINT(ChainRemembered)                                              \
    POINT(ChainRooted)                                                  \
    POINT(ChainMade)                                                    \
    POINT(ChainInserted)                                                \
    POINT(ChainNotNeeded)                                               \
    POINT(ChainRootMoved)                                               \
    POINT(ChainEmptied)                                                 \
    POINT(ChainForgotten)                                               \
    /* arena/page_runs.cpp */                                           \
    POINT(RunNamed)                                                     \
    POINT(RunPartlyTaken)                                               \
    POINT(PagesTaken)                                                   \
    POINT(BlockBitsReal)                                                \
    POINT(PagesZeroed)                                                  \
    POINT(PagesReal)                                                    \
    POINT(RunStillNamed)                                                \
    POINT(RunGivenUp)                                                   \
    POINT(PageGivenUp)                                                  \
    POINT(PageUnused)                                                   \
    POINT(RunPartlyFreed)                                               \
    /* arena/blocks.cpp: blocks */                                      \
    POINT(PageCutting)                                                  \
    POINT(PageCarving)                                                  \
    POINT(PageHasClass)                                                 \
    POINT(PageCarved)                                                   \
    POINT(SourceNamed)                                                  \
    POINT(PageAdopted)                                                  \
    POINT(BlockTaken)                                                   \
    POINT(PageShared)                                                   \
    POINT(BlockZeroed)                                                  \
    POINT(BlockFree)                                                    \
    POINT(BlockFindable)                                                \
    POINT(BlocksPutBack)                                                \
    POINT(PageJournalled)                                               \
    POINT(PageLooking)                                                  \
    POINT(PageUnowned)                                                  \
    POINT(PageEmptying)                                                 \
    POINT(PageEmptied)                                                  \
    POINT(PageStays)                                                    \
    POINT(PageLeft)                                                     \
    POINT(PageCleared)                                                  \
    POINT(SourceFindable)                                               \
    POINT(SourceForgotten)                                              \
    /* arena/epoch.cpp */                                               \
    POINT(EpochEntered)                                                 \
    POINT(ViewPinned)                                                   \
    POINT(KeysRead)                                                     \
    POINT(RetiredLinked)                                                \
    POINT(RetiredPushed)                                                \
    POINT(ObjectNamed)                                                  \
    POINT(ObjectClaimed)                                                \
    POINT(ObjectOwned)                                                  \
    POINT(HeadMoved)                                                    \
    POINT(ObjectTaken)                                                  \
    POINT(ObjectEmptied)                                                \
    POINT(ObjectForgotten)                                              \
    POINT(ListDrained)                                                  \
    POINT(EpochMoved)                                                   \
    /* arena/lock_description.cpp: fork */                              \
    POINT(ForkPrepared)                                                 \
    POINT(ForkedChild)                                                  \
    /* arena/slots.cpp: coming and going */                             \
    POINT(SlotsReal)                                                    \
    POINT(SlotLocked)                                                   \
    POINT(SlotTaken)                                                    \
    POINT(SlotSourcesBack)                                              \
    POINT(SlotFree)                                                     \
    /* index/growth.cpp */                                              \
    POINT(LeafPartTaken)                                                \
    POINT(LeafPartRemembered)                                           \
    POINT(LeafAllocated)                                                \
    POINT(LeafPublished)                                                \
    POINT(LeafNotNeeded)                                                \
    POINT(LeafPartForgotten)                                            \
    POINT(LeafFreezing)                                                 \
    POINT(LeafFrozen)                                                   \
    POINT(LeafCopying)                                                  \
    POINT(LeafCopied)                                                   \
    POINT(LeafSucceeded)                                                \
    POINT(LeafReplaced)                                                 \
    POINT(LeafNamed)                                                    \
    POINT(LeafInstalling)                                               \
    POINT(LeafInstalled)                                                \
    POINT(LeafHalfSettled)                                              \
    POINT(LeafSettled)                                                  \
    POINT(LeafRetiring)                                                 \
    POINT(LeafRetired)                                                  \
    /* store/append.cpp: erase */                                       \
    POINT(EraseNamed)                                                   \
    POINT(EraseClosed)                                                  \
    POINT(EraseMarked)                                                  \
    POINT(EraseUnlinked)                                                \
    POINT(EraseCounted)                                                 \
    POINT(EraseRetired)                                                 \
    /* store/append.cpp, index/index.cpp: drop */                       \
    POINT(TreeTaken)                                                    \
    POINT(TreeRemembered)                                               \
    POINT(TreePartlyMade)                                               \
    POINT(TreeMade)                                                     \
    POINT(DropNamed)                                                    \
    POINT(DropSucceeded)                                                \
    POINT(DropInstalled)                                                \
    POINT(DropCounted)                                                  \
    POINT(DropRetired)                                                  \
    POINT(DropNotNeeded)                                                \
    POINT(TreeForgotten)                                                \
    POINT(TreeChainEmptied)                                             \
    POINT(TreeChainForgotten)                                           \
    POINT(TreeLeafEmptied)                                              \
    POINT(TreeLeafForgotten)                                            \
    POINT(TreeNodeEmptied)                                              \
    POINT(TreeNodeForgotten)                                            \
    POINT(TreeRootEmptied)                                              \
    POINT(TreeRootForgotten)                                            \
    /* arena/slots.cpp, recovery/finish.cpp: recovery of a dead slot */ \
    POINT(RecoveryBegun)                                                \
    POINT(DeadRunZeroed)                                                \
    POINT(DeadPageStays)                                                \
    POINT(DeadPagesFree)                                                \
    POINT(ClaimsAbandoned)                                              \
    POINT(ClaimsPadded)                                                 \
    POINT(DeadClaimsDone)                                               \
    POINT(HolesPadded)                                                  \
    POINT(MadeUndone)                                                   \
    POINT(ChainUndone)                                                  \
    POINT(DeadLeafReplaced)                                             \
    POINT(DeadEraseUnlinked)                                            \
    POINT(DeadEraseCounted)                                             \
    POINT(DeadEraseRetired)                                             \
    POINT(DeadDropInstalled)                                            \
    POINT(DeadDropCounted)                                              \
    POINT(DeadDropRetired)                                              \
    POINT(DeadDrainRetired)                                             \
    POINT(DeadDrainForgotten)                                           \
    POINT(DeadMergeSettled)                                             \
    POINT(DeadSpillLetGo)                                               \
    POINT(DeadSpillRetired)                                             \
    POINT(DeadJournalForgotten)                                         \
    POINT(DeadWorkFinished)                                             \
    POINT(DeadSourcesBack)                                              \
    POINT(DeadEpochLeft)                                                \
    POINT(DeadSlotFree)                                                 \
    /* store/backup.cpp, backup/file.cpp: backups */                    \
    POINT(BackupBegun)                                                  \
    POINT(BackupValuesCopied)                                           \
    POINT(GenerationHandedOut)                                          \
    POINT(BackupPartCopied)                                             \
    POINT(BackupDrafted)                                                \
    POINT(BackupLoaded)                                                 \
    POINT(BackupChunkWritten)                                           \
    POINT(BackupCopied)                                                 \
    POINT(BackupWritten)                                                \
    POINT(BackupDurable)                                                \
    POINT(BackupNamed)                                                  \
    /* store/restore_backup.cpp, directory.cpp: a restored backup */    \
    POINT(ChunkRestored)                                                \
    POINT(BackupRestored)                                               \
    POINT(RestoredSynced)                                               \
    POINT(UnnamedFilesRemoved)                                          \
    /* store/directory.cpp, nameless_file.cpp: creation */              \
    POINT(DirectoryMade)                                                \
    POINT(ArenaSized)                                                   \
    POINT(HeaderWritten)                                                \
    POINT(ArenaFilled)                                                  \
    POINT(MagicStored)                                                  \
    POINT(HiddenNamed)                                                  \
    POINT(HiddenLinked)                                                 \
    POINT(CreationBegun)                                                \
    POINT(CreatorPresent)                                               \
    POINT(ArenaNamed)                                                   \
    POINT(MetadataWritten)                                              \
    POINT(MetadataNamed)                                                \
    POINT(CreationFinished)                                             \
    /* store/directory.cpp: attach */                                   \
    POINT(ArenaOpened)                                                  \
    POINT(PresenceAnnounced)                                            \
    POINT(ArenaJoined)                                                  \
    POINT(ArenaMapped)                                                  \
    /* store/directory.cpp, store/leftovers.cpp: destroy */             \
    POINT(MetadataAside)                                                \
    POINT(DestructionAnnounced)                                         \
    POINT(ArenaUnlinked)                                                \
    POINT(SpillFilesRemoved)                                            \
    POINT(AsideRemoved)                                                 \
    POINT(DirectoryRemoved)                                             \
    POINT(AsideAnnounced)                                               \
    POINT(AsideUnlinked)                                                \
    POINT(AsideSpillRemoved)                                            \
    POINT(AsideFinished)                                                \
    /* store/leftovers.cpp: removal of what has ended */                \
    POINT(PresenceWithdrawn)                                            \
    POINT(GarbageSeen)                                                  \
    POINT(CollectionBegun)                                              \
    POINT(RemovalClaimed)                                               \
    POINT(EndedMetadataSeen)                                            \
    POINT(EndedMetadataAside)                                           \
    POINT(EndedMetadataBack)                                            \
    POINT(EndedSpillRemoved)                                            \
    POINT(EndedArenaUnlinked)                                           \
    POINT(EndedAsideRemoved)                                            \
    POINT(EndedDirectoryRemoved)

namespace shoal {

enum class CrashPoint : std::uint8_t {
#define SHOAL_ENUMERATOR(name) k##name,
    SHOAL_EACH_CRASH_POINT(SHOAL_ENUMERATOR)
#undef SHOAL_ENUMERATOR
        kCount
};
inline constexpr std::size_t kCrashPoints = static_cast<std::size_t>(CrashPoint::kCount);

#ifndef SHOAL_CRASH_POINTS

constexpr void crash_point(CrashPoint) noexcept {}

#else

namespace crash {

struct Armed {
    std::atomic<std::uint32_t> passings{0};  // until it is the turn of `action`; 0: not armed
    std::function<void()> action;
};
inline std::array<Armed, kCrashPoints> armed;

// At the given passing of the point, counted from 1 from now on, does `action`, once. An action may use the
// library.
inline void at(CrashPoint point, std::uint32_t passing, std::function<void()> action) {
    Armed& entry = armed[static_cast<std::size_t>(point)];
    entry.action = std::move(action);
    entry.passings.store(passing, std::memory_order_release);  // pairs with crash_point()
}

inline void kill_here() { ::raise(SIGKILL); }
inline void stop_here() { ::raise(SIGSTOP); }

[[nodiscard]] constexpr std::string_view name(CrashPoint point) noexcept {
    constexpr std::array<std::string_view, kCrashPoints> kNames{
#define SHOAL_NAME(name) #name,
        SHOAL_EACH_CRASH_POINT(SHOAL_NAME)
#undef SHOAL_NAME
    };
    return kNames[static_cast<std::size_t>(point)];
}

}  // namespace crash

inline void crash_point(CrashPoint point) {
    crash::Armed& entry = crash::armed[static_cast<std::size_t>(point)];
    std::uint32_t left = entry.passings.load(std::memory_order_acquire);  // pairs with at()
    // relaxed: counts, and decides who acts; a failed turn means that another thread passed
    while (left != 0 && !entry.passings.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {
    }
    if (left == 1) entry.action();
}

#endif

}  // namespace shoal
