// Whose turn it is to sync, and how far that sync is: two words of the arena's header, that no process has to be
// alive to leave.
//
// Each sync has a number, one more than the one before. It goes through the phases
//
//   idle n-1 → copying n → naming n → giving back n → idle n
//
// each by one compare-and-swap. While it copies, the sync belongs to one thread. Another thread takes its turn, by
// copying n+1, when the owner is dead, or has made no step for as long as lapse() says: the owner is taken for
// stopped. Then sync n can never come to naming, so its checkpoint never gets a name. From naming on nothing is
// left to decide: any thread may do the rest (spill/sync_finish.hpp), and a stopped owner that goes on does it
// again, to no effect.
//
// `ArenaHeader::checkpoint` is the number of the newest checkpoint that has replaced those before it. It only
// rises, and so does the number that each spill file is kept for (spill/file_table.hpp): a late write of a stopped
// sync changes neither.
//
// Thread safety: every function. A crash in any phase: the next sync takes the turn, or finishes what is named.
// Invariants: I1 at most one number is in a phase that leads to a name, and each number once: sync n+1 begins when
//                sync n has replaced the checkpoint before it, or can never be named;
//             I2 who announces itself and then sees a checkpoint of announce() or more has a checkpoint of a sync
//                that began after it;
//             I3 `checkpoint` is n only when checkpoint n is durable, and the room that only the one before it
//                named has been given back.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "arena/layout.hpp"

namespace shoal {

enum class SyncPhase : std::uint8_t { kIdle, kCopying, kNaming, kGivingBack };

struct SyncTurn {
    std::uint64_t number = 0;
    SyncPhase phase = SyncPhase::kIdle;
    std::uint32_t lapses = 0;  // turns that were taken from living owners since a sync ended
    friend bool operator==(const SyncTurn&, const SyncTurn&) = default;
};

inline constexpr unsigned kSyncLapsesBits = 6;
inline constexpr std::uint64_t kMostSyncNumber = (1ULL << (64 - 2 - kSyncLapsesBits)) - 1;
[[nodiscard]] constexpr std::uint64_t pack(SyncTurn turn) noexcept {
    return static_cast<std::uint64_t>(turn.phase) | static_cast<std::uint64_t>(turn.lapses) << 2 |
           turn.number << (2 + kSyncLapsesBits);
}
[[nodiscard]] constexpr SyncTurn sync_turn(std::uint64_t word) noexcept {
    return {word >> (2 + kSyncLapsesBits), static_cast<SyncPhase>(word & 3),
            static_cast<std::uint32_t>(word >> 2 & ((1U << kSyncLapsesBits) - 1))};
}

// How long a sync may make no step before another takes its turn. It doubles with each turn that was taken from a
// living owner, so that of syncs whose longest step takes longer than this (fdatasync to a slow disk) one ends.
#ifdef SHOAL_CRASH_POINTS
inline std::chrono::milliseconds sync_lapse{1000};  // tests that stop many syncs shorten it
#else
inline constexpr std::chrono::milliseconds sync_lapse{1000};
#endif
inline constexpr std::uint32_t kMostSyncLapses = 10;  // 17 minutes
[[nodiscard]] inline std::chrono::milliseconds lapse(const SyncTurn& turn) noexcept {
    return sync_lapse * (1U << std::min(turn.lapses, kMostSyncLapses));
}

class SyncTurns {
public:
    explicit SyncTurns(ArenaHeader& header) noexcept : header_(&header) {}

    // The least number of a sync that has all that was acknowledged before this call.
    [[nodiscard]] std::uint64_t announce() noexcept;
    [[nodiscard]] SyncTurn now() const noexcept;
    [[nodiscard]] std::uint64_t checkpoint() const noexcept;  // see I3

    // Takes the turn after `seen`, for the thread with the slot that `hand` says (in_hand()); its number, or
    // nothing where another was quicker. `seen`: idle, or copying with an owner that is dead or (`lapsed`) makes no
    // step.
    [[nodiscard]] std::optional<std::uint64_t> begin(const SyncTurn& seen, std::uint64_t hand,
                                                     bool lapsed) noexcept;
    // The owner of that turn by in_hand(); 0: it has none any more. Nothing in the moment before it is known.
    [[nodiscard]] std::optional<std::uint64_t> owner(const SyncTurn& turn) const noexcept;

    // A step of the sync of that number. False: another has taken its turn, or finished it.
    [[nodiscard]] bool step(std::uint64_t number, SyncPhase phase) noexcept;
    [[nodiscard]] bool is_at(std::uint64_t number, SyncPhase phase) const noexcept;
    [[nodiscard]] std::uint32_t progress() const noexcept;

    // From one phase to the next, or from copying to idle for a sync that has failed. False where it is in another.
    bool move(std::uint64_t number, SyncPhase from, SyncPhase to) noexcept;
    // The owner with that hand does not go on, and may not have finished: another may at once.
    void let_go(std::uint64_t number, std::uint64_t hand) noexcept;
    // Checkpoint `number` has replaced those before it: see I3.
    void replace_checkpoint(std::uint64_t number) noexcept;

    // The ends of syncs so far. Read before a look at the turns: then wait_for_end() does not miss the end of what
    // that look has found under way.
    [[nodiscard]] std::uint32_t ends() const noexcept;
    // Until an end comes that `seen` does not count, or for `most`.
    void wait_for_end(std::uint32_t seen, std::chrono::milliseconds most) const noexcept;
    // After the move to idle: wakes those who wait.
    void count_end() noexcept;

    // Whether `number` was the newest that had replaced others when the caller opened a file, before this call.
    [[nodiscard]] bool was_checkpoint(std::uint64_t number) const noexcept;

private:
    ArenaHeader* header_;
};

// Lets go of a turn in the end, however that comes.
class HeldSyncTurn {
public:
    HeldSyncTurn(const SyncTurns& turns, std::uint64_t number, std::uint64_t hand) noexcept
        : turns_(turns), number_(number), hand_(hand) {}
    HeldSyncTurn(const HeldSyncTurn&) = delete;
    HeldSyncTurn& operator=(const HeldSyncTurn&) = delete;
    ~HeldSyncTurn() { turns_.let_go(number_, hand_); }

private:
    SyncTurns turns_;
    std::uint64_t number_;
    std::uint64_t hand_;
};

}  // namespace shoal
