// A segment: the descriptor of one block of frames. One cache line: whoever appends needs all of it, and has it
// after one miss.
//
// Thread safety: see the groups. A crash between creation and link leaks it.
// Invariants: I1 reserve only grows; once its units exceed claimable_units the segment is closed for ever;
//             I2 next is set once, and only when the segment is closed;
//             I3 every byte of the block beyond what was claimed is zero;
//             I4 sealed, once set, is the reserve word at the claim that closed the segment;
//             I5 either all of data_units is claimable, and they are a power of two of bytes up to 1 MiB, or
//             nothing
//                is, and they are the one frame of single_bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arena/atomic.hpp"
#include "arena/offset.hpp"

namespace shoal {

struct Segment {
    // --- written by appenders ---
    alignas(64) Atomic<std::uint64_t> reserve;  // segment/reserve.hpp; fetch_add by whoever claims
    Atomic<std::uint64_t> next;                 // offset of the next segment, 0 while last, or erased_mark()
    Atomic<std::uint64_t> sealed;               // kSealedBit and the reserve at the end, by whoever closed it

    // --- immutable once linked, until the spiller takes the block ---
    Atomic<std::uint64_t> block;    // offset of the bytes
    std::uint32_t claimable_units;  // units that may be claimed; 0 where one large record fills it
    std::uint32_t growth_bytes;     // size from which the next segment's is reckoned
    std::uint64_t data_units;       // units of the block that may hold frames
    std::uint64_t single_bytes;     // payload of the one large record; else 0
    std::uint64_t spill;            // for the spiller (DESIGN §8); 0
};

static_assert(sizeof(Segment) == 64 && alignof(Segment) == 64, "one line, one miss; 64 B a key matter");
static_assert(offsetof(Segment, reserve) == 0 && offsetof(Segment, next) == 8 && offsetof(Segment, sealed) == 16);
static_assert(offsetof(Segment, block) == 24 && offsetof(Segment, claimable_units) == 32);
static_assert(offsetof(Segment, growth_bytes) == 36 && offsetof(Segment, data_units) == 40);
static_assert(offsetof(Segment, single_bytes) == 48 && offsetof(Segment, spill) == 56);
static_assert(std::is_standard_layout_v<Segment>, "offsets must mean the same in every build");

// In `next` of the last segment of an erased chain: who erased it, slot and generation. Bit 0 tells it from an
// offset.
[[nodiscard]] constexpr std::uint64_t erased_mark(std::uint32_t slot_number, std::uint32_t generation) noexcept {
    return 1 | static_cast<std::uint64_t>(slot_number) << 8 | static_cast<std::uint64_t>(generation) << 32;
}
[[nodiscard]] constexpr bool is_erased(std::uint64_t next) noexcept { return (next & 1) != 0; }

}  // namespace shoal
