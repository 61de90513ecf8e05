// Whether a store has changed since it was synced: so that a sync that finds nothing to do ends at once, however
// many keys there are, and an append that fits pays nothing for it.
//
//   ArenaHeader::unchanged_since   number of the newest sync since whose beginning nothing has changed; 0:
//   something
//                                  has. It counts only where the checkpoint of that sync is the store's.
//   kWatchedBit of a segment       a thread that is about to commit a record there says first that the store has
//                                  changed. The bit makes the filter of an append fail, which it passes anyway.
//
// A sync says its number, waits until all have left that were inside of an operation, and goes round the chains. It
// sets the bit in the last segment of each, then takes what it copies of it. A thread that claims there looks at
// the bit before its claim, and again after it: the sync has seen the claim, or the thread sees the bit. A claim
// that the sync has seen, and that is not committed, the sync takes for a change itself. A change that is not a
// claim (a chain or a segment linked, an erase, a drop, a codec set, a segment spilled) says so always, before
// anybody can see it. The word is stored only where it is not 0, so that it stays in all caches.
//
// Thread safety: every function; those of changes inside an epoch, entered before. Lock-free.
// A crash leaves a bit too many, or the store called changed: the next sync goes round all of it.
// Invariants: I1 a change is said before it can be seen or is acknowledged, in the epoch in which it is made;
//             I2 the bit of a segment is cleared by a thread that has said a change before, in the same epoch;
//             I3 a sync sets bits, and its number stands, only when the epoch has moved on twice since it said the
//                number: a thread that said its change before that, and has not made it, or not cleared its bit
//                yet, is inside of none any more;
//             I4 where unchanged_since is the number of a sync whose checkpoint has replaced those before it, that
//                checkpoint has all that anybody can see in the store.
#pragma once

#include "arena/crash_point.hpp"
#include "arena/epoch.hpp"
#include "segment/layout.hpp"

namespace shoal {

// I1.
inline void say_changed(ArenaHeader& header) noexcept {
    // relaxed, both: who enters an epoch behind that in which a sync said its number sees that number (I3), and one
    // that is inside before then is gone, its store seen, before the sync looks at anything. Ordered before the
    // change for all others by the release by which that is published.
    if (header.unchanged_since.load(std::memory_order_relaxed) == 0) return;
    header.unchanged_since.store(0, std::memory_order_relaxed);
    crash_point(CrashPoint::kChangeSaid);
}

// Before a record is committed to a watched segment.
inline void stop_watching(ArenaHeader& header, Segment& segment) noexcept {
    say_changed(header);
    // release: who finds the bit cleared, and so does not say its change, comes after the one that was said (I2)
    segment.claimable.fetch_and(~kWatchedBit, std::memory_order_acq_rel);
    crash_point(CrashPoint::kWatchEnded);
}

// A sync, before it looks at anything. The epoch that is to be reached before it may watch (I3).
[[nodiscard]] inline std::uint64_t say_number(ArenaHeader& header, std::uint64_t number,
                                              const Epochs& epochs) noexcept {
    // seq_cst, both: the number comes before the look at the epoch
    header.unchanged_since.store(number, std::memory_order_seq_cst);
    thread_fence(std::memory_order_seq_cst);
    crash_point(CrashPoint::kSyncSaid);
    return epochs.current() + 2;
}

// A sync, before it takes the end of the segment.
inline void watch(Segment& segment) noexcept {
    // relaxed: set before, by a sync whose look came before every claim that was made since without a word
    if ((segment.claimable.load(std::memory_order_relaxed) & kWatchedBit) != 0) return;
    // seq_cst, both: of the bit and this look on our side, and the claim and the second look at the bit on the
    // other (claim_and_write), one sees the other. What the caller reads of the word afterwards is as new as this
    // look.
    segment.claimable.fetch_or(kWatchedBit, std::memory_order_seq_cst);
    static_cast<void>(segment.reserve.load(std::memory_order_seq_cst));
    crash_point(CrashPoint::kWatchBegun);
}

}  // namespace shoal
