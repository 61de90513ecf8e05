// Unblocking: what a dead writer left in a segment, its claimed frames and its holes, becomes padding, so that
// those who must not skip (a spill, a cursor) need not wait for it; and the segment no longer trusts its counters.
//
// Thread safety: beside appenders, readers and others who unblock. pad_claims: for whoever recovers the dead slot.
// A crash half-way leaves what readers pass as before; it may be done again.
// Invariants: I1 kAbandonedBit stands in `reserve` before the dead writer's slot is free again: who trusts the
//                counters counts no claim that nobody will commit;
//             I2 a hole is padded only when its owner is dead: pad_holes.
#pragma once

#include "segment/walk.hpp"

namespace shoal {

// Calls visit(frame, header, units) for every header before `end` units, holes included (header 0). False: a word
// cannot be a header.
template <class Visit>
bool walk_headers(AtomicWord* frames, std::uint64_t end, Visit&& visit) noexcept {
    for (std::uint64_t unit = 0; unit < end;) {
        const std::uint64_t header =
            frames[unit].load(std::memory_order_acquire);  // pairs with write_claim and seal
        std::uint64_t units = skipped_units(header);
        if (frame_state(header) == FrameState::kCommitted) {
            units = committed_bytes(header) < end * kUnitBytes ? frame_units(committed_bytes(header)) : 0;
        } else if (header == 0) {
            units = find_header(frames, unit, end) - unit;
            if (units == 0) continue;  // its header came meanwhile
        }
        if (units == 0 || units > end - unit) return false;
        visit(frames[unit], header, units);
        unit += units;
    }
    return true;
}

// Turns the frames that the dead owner of a slot claimed and did not commit into padding.
inline void pad_claims(const Mapping& mapping, Segment& segment, std::uint32_t slot_number,
                       std::uint32_t generation) noexcept {
    // First (I1). acq_rel: part of the release sequence of the claims before it
    segment.reserve.fetch_or(kAbandonedBit, std::memory_order_acq_rel);
    crash_point(CrashPoint::kClaimsAbandoned);
    const SegmentExtent extent = extent_of(segment);
    AtomicWord* frames = frames_of(mapping, extent);
    if (frames == nullptr) return;  // spilled: then nobody's claim was open
    static_cast<void>(
        walk_headers(frames, extent.units, [&](AtomicWord& frame, std::uint64_t header, std::uint64_t units) {
            // release: as any header; no other writes there, as the owner is dead
            if (is_claimed_by(header, slot_number, generation)) {
                frame.store(padding_header(units), std::memory_order_release);
            }
        }));
}

// Whether every claim in so many units is committed, or padding since its owner is dead.
[[nodiscard]] inline bool has_no_open_claims(AtomicWord* frames, std::uint64_t units) noexcept {
    bool open = false;
    const bool sound = walk_headers(frames, units, [&](AtomicWord&, std::uint64_t header, std::uint64_t) {
        open |= header == 0 || frame_state(header) == FrameState::kClaimed;
    });
    return sound && !open;
}

// Turns the holes before a segment's end into padding. The end was taken first, and then nobody was found who
// writes to the segment: whoever claimed below it has said so in Slot::segment before, and is done since, or dead
// (I2).
inline void pad_holes(const Mapping& mapping, const SegmentExtent& extent) noexcept {
    AtomicWord* frames = frames_of(mapping, extent);
    if (frames == nullptr) return;
    static_cast<void>(
        walk_headers(frames, extent.units, [](AtomicWord& frame, std::uint64_t header, std::uint64_t units) {
            std::uint64_t hole = 0;
            // release: as any header; a failed try: another padded it
            if (header == hole) {
                frame.compare_exchange_strong(hole, padding_header(units), std::memory_order_release,
                                              std::memory_order_relaxed);
            }
        }));
}

}  // namespace shoal
