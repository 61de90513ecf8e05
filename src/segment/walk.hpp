// Reading a segment: from a fixed end back to its committed frames, past whatever the living and the dead left.
//
// Thread safety: any number of readers beside any number of writers. Wait-free: the end is fixed first.
// A crash of a reader leaves nothing.
// Invariants: I1 a walk visits every frame committed before its end was taken;
//             I2 a word is taken for a header only if it is one: see find_header.
#pragma once

#include <cstdint>

#include "arena/location.hpp"
#include "segment/claim.hpp"

namespace shoal {

// How far a segment reaches, taken at one moment.
struct SegmentExtent {
    std::uint64_t units = 0;  // frames lie before this
    bool exact = false;       // reserve is exact (else a closing writer has not said yet, or a writer died)
    Reserve reserve;
    std::uint64_t block = 0;  // where they are: in the arena, or as is_stored(block) says in a file

    [[nodiscard]] bool stored() const noexcept { return is_stored(block); }
};

// What is in an extent, as a reserve word would count it.
[[nodiscard]] inline Reserve counted(SpilledCounts counts) noexcept {
    const std::uint64_t units = (counts.payload_bytes + kUnitBytes - 1) / kUnitBytes;
    return {counts.records + units, counts.records, units * kUnitBytes - counts.payload_bytes};
}

// How many ordinals of its chain the segment stands for: more than one if it
// was merged of a run (segment I7).
[[nodiscard]] inline std::uint64_t ordinals_of(const Segment& segment) noexcept {
    // relaxed: of a merged segment stored before its link; of all others
    // kSealedBit is set, or nothing is yet
    const std::uint64_t sealed = segment.sealed.load(std::memory_order_relaxed);
    return sealed == 0 || (sealed & kSealedBit) != 0 ? 1 : sealed;
}

[[nodiscard]] inline SegmentExtent extent_of(const Segment& segment) noexcept {
    // Once, and first: bytes that are in the arena at this look stay there while the caller is in its epoch.
    // acquire: pairs with publish_spilled: whoever sees the place in a file sees the counts (segment I6)
    const std::uint64_t block = segment.block.load(std::memory_order_acquire);
    if (is_stored(block)) [[unlikely]] {
        // relaxed: stored before the block's word, and then for ever
        const Reserve reserve = counted(spilled_counts(segment.spill.load(std::memory_order_relaxed)));
        return {reserve.units, true, reserve, block};
    }
    if (segment.single_bytes != 0) {
        return {segment.data_units,
                true,
                {segment.data_units, 1, (segment.data_units - 1) * kUnitBytes - segment.single_bytes},
                block};
    }
    // acquire: pairs with claim_and_write: whatever was acknowledged before the last claim is visible to the walk
    const std::uint64_t word = segment.reserve.load(std::memory_order_acquire);
    const bool exact = (word & kAbandonedBit) == 0;
    if (reserved_units(word) <= segment.claimable_units())
        return {reserved_units(word), exact, unpack(word), block};
    const std::uint64_t sealed = segment.sealed.load(std::memory_order_acquire);  // pairs with seal()
    if ((sealed & kSealedBit) == 0) return {segment.claimable_units(), false, {}, block};
    return {reserved_units(sealed), exact, unpack(sealed), block};
}

// The frames of a segment that is not stored; null where they would not lie in the arena.
[[nodiscard]] inline AtomicWord* frames_of(const Mapping& mapping, const SegmentExtent& extent) noexcept {
    if (extent.stored() || extent.units > mapping.bytes() / kUnitBytes ||
        !mapping.holds(extent.block, extent.units * kUnitBytes)) {
        return nullptr;
    }
    return mapping.at<AtomicWord>(extent.block);
}

// The first header at or after `unit`, where a hole begins, or `end`. A writer stands between its fetch_add and its
// claimed header. The next word that is not zero, at q, is a header or some writer's payload. If it is payload, its
// claimed header lies in the hole and was stored before it (claim.hpp I2), so a second look, after an acquire
// fence, finds it. If the hole is still all zero, q is a header. The scan reads payload words that writers store
// plainly: atomic loads, hidden from ThreadSanitizer.
[[nodiscard]] SHOAL_RACES_ON_PURPOSE inline std::uint64_t find_header(const AtomicWord* frames, std::uint64_t unit,
                                                                      std::uint64_t end) noexcept {
    std::uint64_t stop = end;
    for (;;) {  // each turn stops earlier, at a header that came meanwhile
        std::uint64_t found = unit;
        while (found < stop && frames[found].load(std::memory_order_relaxed) == 0) ++found;  // relaxed: fence below
        if (found == unit || found >= end) return found;
        thread_fence(std::memory_order_acquire);  // pairs with the release fence in write_claim
        std::uint64_t again = unit;
        while (again < found && frames[again].load(std::memory_order_relaxed) == 0)
            ++again;  // relaxed: fence above
        if (again == found) return found;
        stop = found;
    }
}

// Calls visit(payload, bytes) for each committed record before `end` units, in order. `frames` has `end` units.
// Reads nothing beyond them, whatever the words say; returns false when a word cannot be a header.
template <class Visit>
bool walk(const AtomicWord* frames, std::uint64_t end, Visit&& visit) {
    for (std::uint64_t unit = 0; unit < end;) {
        const std::uint64_t header =
            frames[unit].load(std::memory_order_acquire);  // pairs with write_claim and seal
        switch (frame_state(header)) {
            case FrameState::kCommitted: {
                const std::uint64_t bytes = committed_bytes(header);
                if (bytes > (end - unit - 1) * kUnitBytes) return false;
                visit(reinterpret_cast<const std::byte*>(frames + unit + 1), bytes);
                unit += frame_units(bytes);
                break;
            }
            case FrameState::kClaimed:
            case FrameState::kPadding:
                if (skipped_units(header) == 0) return false;
                unit += skipped_units(header);
                break;
            case FrameState::kHole:
                if (header != 0) return false;
                unit = find_header(frames, unit, end);
                break;
        }
    }
    return true;
}

}  // namespace shoal
