// How an append that fits into its segment says that its key has changed since it was synced, and pays nothing for
// it.
//
// A sync sets kWatchedBit in the last segment of each chain that it visits, then takes what it copies of the
// segment. The bit makes the filter fail that an append passes anyway: the thread logs the change
// (arena/changes.hpp), clears the bit, and goes on. A thread that claims looks at the bit before its claim, and
// again after it: the sync has seen the claim, or the thread sees the bit. A claim that the sync has seen, and that
// is not committed, the sync logs itself. A change that is not a claim (a chain or a segment linked, an erase, a
// codec set, a segment spilled) is logged always.
//
// Thread safety: every function; those of changes inside an epoch, entered before. Lock-free.
// A crash leaves a bit too many, or a change logged that was not made.
// Invariants: W1 of a segment that takes claims and is not watched, the change of its key is in the log, behind the
//                position that the newest checkpoint bears; or the checkpoint bears none;
//             W2 the bit of a segment is cleared by a thread that has logged the change before, in the same epoch;
//             W3 where the checkpoint bears a position that the log reaches back to, it has all that can be seen of
//                every key that is not in the log from there on.
#pragma once

#include "arena/changes.hpp"
#include "segment/layout.hpp"

namespace shoal {

// Before a record is committed to a watched segment of a key with that hash.
[[gnu::noinline]] inline void stop_watching(const Mapping& mapping, Segment& segment, std::uint64_t hash) noexcept {
    log_change(mapping, hash);
    // release: who finds the bit cleared, and so does not log its change, comes after the one that was logged (W2)
    segment.claimable.fetch_and(~kWatchedBit, std::memory_order_acq_rel);
    crash_point(CrashPoint::kWatchEnded);
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
