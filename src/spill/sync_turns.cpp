#include "spill/sync_turns.hpp"

#include <algorithm>

#include "arena/crash_point.hpp"
#include "arena/futex.hpp"

namespace shoal {
namespace {

// ArenaHeader::sync_owner: bits 2 to 7 of in_hand() are 0, and hold the low bits of the sync's number.
constexpr std::uint64_t kTagMask = 0xfc;
constexpr std::uint64_t kNoOwner = 2;  // in the two lowest bits, which are 1 in in_hand()
constexpr std::uint64_t tag(std::uint64_t number) noexcept { return number << 2 & kTagMask; }

}  // namespace

std::uint64_t SyncTurns::announce() noexcept {
    // acq_rel, and a read-modify-write: pairs with begin(), so that a later sync sees what the caller has seen
    return sync_turn(header_->sync.fetch_add(0, std::memory_order_acq_rel)).number + 1;
}

SyncTurn SyncTurns::now() const noexcept {
    return sync_turn(header_->sync.load(std::memory_order_acquire));  // pairs with move() and begin()
}

std::uint64_t SyncTurns::checkpoint() const noexcept {
    return header_->checkpoint.load(std::memory_order_acquire);  // pairs with replace_checkpoint()
}

std::optional<std::uint64_t> SyncTurns::begin(const SyncTurn& seen, std::uint64_t hand, bool lapsed) noexcept {
    const bool ended = seen.phase == SyncPhase::kIdle;
    const std::uint32_t lapses = ended ? 0 : std::min(seen.lapses + (lapsed ? 1 : 0), kMostSyncLapses);
    const std::uint64_t number = seen.number + 1;
    std::uint64_t expected = pack(seen);
    // acq_rel: acquires what announce() and the sync before released; a failed turn: another thread has begun
    if (!header_->sync.compare_exchange_strong(expected, pack(SyncTurn{number, SyncPhase::kCopying, lapses}),
                                               std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return std::nullopt;
    }
    crash_point(CrashPoint::kSyncBegun);
    // release: pairs with owner(). A late one, of a turn that was taken meanwhile, has another tag.
    header_->sync_owner.store(hand | tag(number), std::memory_order_release);
    return number;
}

std::optional<std::uint64_t> SyncTurns::owner(const SyncTurn& turn) const noexcept {
    const std::uint64_t word = header_->sync_owner.load(std::memory_order_acquire);  // pairs with begin()
    if ((word & kTagMask) != tag(turn.number)) return std::nullopt;
    return (word & 3) == kNoOwner ? 0 : word & ~kTagMask;
}

bool SyncTurns::is_at(std::uint64_t number, SyncPhase phase) const noexcept {
    const SyncTurn turn = now();
    return turn.number == number && turn.phase == phase;
}

bool SyncTurns::step(std::uint64_t number, SyncPhase phase) noexcept {
    if (!is_at(number, phase)) return false;
    header_->sync_progress.fetch_add(1, std::memory_order_relaxed);  // relaxed: only that it changes counts
    return true;
}

std::uint32_t SyncTurns::progress() const noexcept {
    return header_->sync_progress.load(std::memory_order_relaxed);  // relaxed: see step()
}

bool SyncTurns::move(std::uint64_t number, SyncPhase from, SyncPhase to) noexcept {
    std::uint64_t word = header_->sync.load(std::memory_order_relaxed);  // relaxed: the exchange decides
    const SyncTurn turn = sync_turn(word);
    if (turn.number != number || turn.phase != from) return false;
    const std::uint32_t lapses = to == SyncPhase::kIdle ? 0 : turn.lapses;
    // acq_rel: releases what this phase has made to the thread that does the next one; a failed turn: another was
    // quicker, or has taken the turn
    return header_->sync.compare_exchange_strong(word, pack(SyncTurn{number, to, lapses}),
                                                 std::memory_order_acq_rel, std::memory_order_relaxed);
}

void SyncTurns::let_go(std::uint64_t number, std::uint64_t hand) noexcept {
    std::uint64_t word = hand | tag(number);
    // relaxed: tells no more than that the owner is gone; a failed turn: the turn is another's by now
    header_->sync_owner.compare_exchange_strong(word, kNoOwner | tag(number), std::memory_order_relaxed,
                                                std::memory_order_relaxed);
}

std::uint32_t SyncTurns::ends() const noexcept {
    return header_->sync_ends.load(std::memory_order_acquire);  // pairs with count_end()
}

void SyncTurns::wait_for_end(std::uint32_t seen, std::chrono::milliseconds most) const noexcept {
    futex_wait(header_->sync_ends, seen, most);
}

void SyncTurns::count_end() noexcept {
    // release: a thread that sees the count sees the sync ended, and so does not sleep for that end
    header_->sync_ends.fetch_add(1, std::memory_order_release);
    futex_wake_all(header_->sync_ends);
}

bool SyncTurns::was_checkpoint(std::uint64_t number) const noexcept {
    thread_fence(std::memory_order_seq_cst);  // the look comes after the open
    return checkpoint() == number;
}

void SyncTurns::replace_checkpoint(std::uint64_t number) noexcept {
    std::uint64_t word = header_->checkpoint.load(std::memory_order_relaxed);  // relaxed: the exchange decides
    // release: pairs with counts_nothing(), whose caller removes files after all that was read of them here; a
    // failed turn: another thread has said the same, or a later number
    while (word < number && !header_->checkpoint.compare_exchange_weak(word, number, std::memory_order_acq_rel,
                                                                       std::memory_order_relaxed)) {
    }
}

}  // namespace shoal
