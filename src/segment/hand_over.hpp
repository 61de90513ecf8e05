// Handing a closed segment's bytes over to a file: who may, when nothing is missing any more, and the one store
// that makes them the file's.
//
//   take     CAS on `spill`, from 0 or from a spiller that is gone: one spiller has the segment in hand
//   settle   every claim is committed, or its owner dead and the claim padding: the bytes are final
//   write    (spill/) the file has the bytes
//   publish  `spill` says what the file has, then `block` says where; the old block is retired to the epoch
//
// Thread safety: any number of spillers beside appenders, readers, erasers. Nobody waits: a segment that another
// has in hand, or that lacks a claim of the living, is left for later. A crash after take leaves a segment in
// nobody's hand, since the slot that it names is free, or another's, once it is recovered; one between the two
// stores of publish is undone by recovery (arena/spilled_blocks.hpp). Invariants: I1 one spiller at a time has a
// segment in hand, inside an epoch throughout;
//             I2 `block` changes once, by who has it in hand, after settle has found nothing missing: no record is
//                committed to the segment afterwards;
//             I3 whoever reads the file's place in `block` reads the counts in `spill`.
#pragma once

#include "arena/slots.hpp"
#include "arena/spilled_blocks.hpp"
#include "segment/unblock.hpp"

namespace shoal {

static_assert(sizeof(Segment) == kDescriptorBytes && offsetof(Segment, spill) == kDescriptorSpillAt &&
                  kCheckpointedBit == 1ULL << 63,
              "as arena/spilled_blocks.cpp frees it");

[[nodiscard]] inline bool is_closed(const Segment& segment) noexcept {
    // acquire: what was claimed before the close is seen by settle
    return reserved_units(segment.reserve.load(std::memory_order_acquire)) > segment.claimable_units();
}

// Whether a spiller that lives has it in hand.
[[nodiscard]] inline bool is_being_spilled(const Segment& segment, const Slots& slots) noexcept {
    // relaxed: an answer of one moment; take_in_hand decides
    const std::uint64_t word = segment.spill.load(std::memory_order_relaxed);
    return is_in_hand(word) && slots.is_current(word);
}

// True when the caller, which spills by `slot`, inside an epoch, has it in hand now.
[[nodiscard]] inline bool take_in_hand(Segment& segment, const Slots& slots, const Slot& slot) noexcept {
    std::uint64_t word = segment.spill.load(std::memory_order_acquire);  // pairs with let_go
    if (word != 0 && (!is_in_hand(word) || slots.is_current(word))) return false;
    // relaxed: our own slot's word
    const std::uint64_t ours = in_hand(slots.number(slot), slot.generation.load(std::memory_order_relaxed));
    // acq_rel: after whoever let go of it; a failed try: another spiller has it, or has published it
    const bool taken =
        segment.spill.compare_exchange_strong(word, ours, std::memory_order_acq_rel, std::memory_order_relaxed);
    crash_point(CrashPoint::kSegmentInHand);
    return taken;
}

// Back to being resident, in nobody's hand.
inline void let_go(Segment& segment) noexcept {
    segment.spill.store(0, std::memory_order_release);  // pairs with take_in_hand
}

// Whether every claim below the end that was taken is committed, or of the dead: then it is padding. A hole that a
// dead writer left is padding when nobody is found who writes to the segment (unblock I2). The segment may be open.
[[nodiscard]] inline bool settle_claims(const Mapping& mapping, const Segment& segment, const SegmentExtent& extent,
                                        Slots& slots) noexcept {
    AtomicWord* frames = frames_of(mapping, extent);
    if (frames == nullptr) return false;
    if (has_no_open_claims(frames, extent.units)) return true;
    const auto offset = static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&segment) -
                                                   mapping.at<std::byte>(std::uint64_t{0}));
    slots.recover_dead_writers(offset);
    if (slots.anyone_writes_to(offset)) return false;
    pad_holes(mapping, extent);
    return has_no_open_claims(frames, extent.units);
}

// Whether the bytes of a closed segment are final. What the dead have left in it is padded on the way; false where
// the living are not done, or the frames cannot be right.
[[nodiscard]] inline bool settle(const Mapping& mapping, Segment& segment, Slots& slots) noexcept {
    if (segment.single_bytes != 0) return true;  // filled before it was linked
    for (int turn = 0; turn < 2; ++turn) {
        const SegmentExtent extent = extent_of(segment);
        AtomicWord* frames = frames_of(mapping, extent);
        if (frames == nullptr) return false;
        bool missing = false;
        const bool sound =
            walk_headers(frames, extent.units, [&](AtomicWord&, std::uint64_t header, std::uint64_t) {
                missing |= header == 0 || frame_state(header) == FrameState::kClaimed;
            });
        if (!sound) return false;
        if (!missing) return true;
        if (turn != 0) break;
        // The end is taken: whoever has claimed below it and is not done says so (as in recovery/finish.cpp).
        const auto offset = static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(&segment) -
                                                       mapping.at<std::byte>(std::uint64_t{0}));
        slots.recover_dead_writers(offset);
        if (slots.anyone_writes_to(offset)) return false;
        pad_holes(mapping, extent);
    }
    return false;
}

// The file has the bytes: from here on readers find them there. `place` is a packed StoredAt.
inline void publish_spilled(Segment& segment, SpilledCounts counts, std::uint64_t place) noexcept {
    // relaxed: published by the next
    segment.spill.store(pack(counts), std::memory_order_relaxed);
    crash_point(CrashPoint::kSpillCounted);
    // release: pairs with extent_of (I3). Nobody else changes the word of a segment that we have in hand (I1).
    segment.block.store(place, std::memory_order_release);
    crash_point(CrashPoint::kSpillPublished);
}

}  // namespace shoal
