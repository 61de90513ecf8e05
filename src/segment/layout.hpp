// A segment: the descriptor of one block of frames. One cache line: whoever appends needs all of it, and has it
// after one miss.
//
// Thread safety: see the groups. A crash between creation and link leaks it.
// Invariants: I1 reserve only grows; once its units exceed claimable_units the segment is closed for ever;
//             I2 next is set once, and only when the segment is closed; a merger puts one segment in the place of a
//                run, in the `next` before it (chain/merge.hpp);
//             I3 every byte of the block beyond what was claimed is zero;
//             I4 sealed, once set, is the reserve word at the claim that closed the segment;
//             I5 either all of data_units is claimable, and they are a power of two of bytes or whole pages, up to
//                1 MiB, or nothing is, and they are the one frame of single_bytes;
//             I6 block names bytes in the arena or, from its one change on, bytes in a file; `spill` has the counts
//                of those by then;
//             I7 a merged segment is stored, nothing of it is claimable, and it is of no single record; `sealed` is
//                two at least.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arena/atomic.hpp"
#include "arena/location.hpp"
#include "arena/offset.hpp"

namespace shoal {

struct Segment {
    // --- written by appenders ---
    alignas(64) Atomic<std::uint64_t> reserve;  // segment/reserve.hpp; fetch_add by whoever claims
    Atomic<std::uint64_t> next;                 // offset of the next segment, 0 while last, or erased_mark()
    Atomic<std::uint64_t> sealed;               // kSealedBit and the reserve at the end, by whoever closed it;
                                                // or of a merged one: how many ordinals it stands for

    // --- immutable once linked, but for the spiller and for syncs ---
    Atomic<std::uint64_t> block;  // offset of the bytes; once spilled, where they are stored (arena/location.hpp)
    Atomic<std::uint32_t> claimable;  // units that may be claimed; 0 where one large record fills it. kWatchedBit:
                                      // by syncs, until somebody claims (segment/watch.hpp)
    std::uint32_t growth_bytes;   // of the key's segments up to this one, as far as the next one's size needs it
    std::uint64_t data_units;     // units of the block that may hold frames
    std::uint64_t single_bytes;   // payload of the one large record; else 0
    Atomic<std::uint64_t> spill;  // who has it in hand to spill it, or what the extent holds of it; 0 else.
                                  // kCheckpointedBit: by a sync, of what is stored

    [[nodiscard]] std::uint32_t claimable_units() const noexcept;
};

inline constexpr std::uint32_t kWatchedBit = 1U << 31;

// Whether so many units may be claimed; never of a watched segment. `claimable`: that word.
[[nodiscard]] constexpr bool may_claim(std::uint64_t units, std::uint32_t claimable) noexcept {
    return static_cast<std::int64_t>(units) <= static_cast<std::int32_t>(claimable);
}

inline std::uint32_t Segment::claimable_units() const noexcept {
    return claimable.load(std::memory_order_relaxed) & ~kWatchedBit;  // relaxed: these bits never change
}

static_assert(sizeof(Segment) == 64 && alignof(Segment) == 64, "one line, one miss; 64 B a key matter");
static_assert(offsetof(Segment, reserve) == 0 && offsetof(Segment, next) == 8 && offsetof(Segment, sealed) == 16);
static_assert(offsetof(Segment, block) == 24 && offsetof(Segment, claimable) == 32);
static_assert(offsetof(Segment, growth_bytes) == 36 && offsetof(Segment, data_units) == 40);
static_assert(offsetof(Segment, single_bytes) == 48 && offsetof(Segment, spill) == 56);
static_assert(std::is_standard_layout_v<Segment>, "offsets must mean the same in every build");

// In `next` of the last segment of an erased chain: who erased it, slot and generation. Bit 0 tells it from an
// offset.
[[nodiscard]] constexpr std::uint64_t erased_mark(std::uint32_t slot_number, std::uint32_t generation) noexcept {
    return 1 | static_cast<std::uint64_t>(slot_number) << 8 | static_cast<std::uint64_t>(generation) << 32;
}
[[nodiscard]] constexpr bool is_erased(std::uint64_t next) noexcept { return (next & 1) != 0; }

// In `spill`: the slot, and its generation, of who is spilling the segment. It holds only while that slot is
// taken and of that generation (segment/hand_over.hpp).
[[nodiscard]] constexpr std::uint64_t in_hand(std::uint32_t slot_number, std::uint32_t generation) noexcept {
    return 1 | static_cast<std::uint64_t>(slot_number) << 8 | static_cast<std::uint64_t>(generation) << 32;
}
[[nodiscard]] constexpr bool is_in_hand(std::uint64_t spill) noexcept { return (spill & 3) == 1; }
[[nodiscard]] constexpr std::uint32_t slot_in_hand(std::uint64_t hand) noexcept {
    return static_cast<std::uint32_t>(hand >> 8 & 0xff'ffff);
}

// In `spill` of a spilled segment: what the extent holds of it, without the claims of the dead; and whether a
// checkpoint names that extent, so that its room is not given back before another checkpoint does not.
struct SpilledCounts {
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;
};
inline constexpr unsigned kSpilledRecordsBits = 18;
inline constexpr std::uint64_t kCheckpointedBit = 1ULL << 63;
[[nodiscard]] constexpr std::uint64_t pack(SpilledCounts counts) noexcept {
    return 2 | counts.records << 2 | counts.payload_bytes << (2 + kSpilledRecordsBits);
}
[[nodiscard]] constexpr SpilledCounts spilled_counts(std::uint64_t spill) noexcept {
    return {spill >> 2 & ((1ULL << kSpilledRecordsBits) - 1),
            (spill & ~kCheckpointedBit) >> (2 + kSpilledRecordsBits)};
}

// What a spilled segment in a bundle adds to its file's live bytes, so that each can be given back by itself: its
// payload, and as many bytes as its numbers take, mostly.
inline constexpr std::uint64_t kBundledSegmentBytes = 8;
[[nodiscard]] constexpr std::uint64_t bundled_bytes(SpilledCounts counts) noexcept {
    return counts.payload_bytes + kBundledSegmentBytes;
}
// What goes from its file's live bytes with the extent of that place, or with
// the segment's share of a bundle.
[[nodiscard]] constexpr std::uint64_t live_bytes_of(std::uint64_t place, SpilledCounts counts) noexcept {
    const StoredAt at = stored_at(place);
    return at.in_bundle ? bundled_bytes(counts) : at.bytes;
}

}  // namespace shoal
