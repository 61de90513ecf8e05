// The reserve word: how much of a segment is claimed, and by it how many records and bytes, in one fetch_add.
//
//   bits  0..24  units claimed (8 bytes each)
//   bits 25..42  records
//   bits 43..62  pad bytes: what rounding up to units added; payload = (units - records) * 8 - pad
//   bit  63      in Segment::sealed: the word is set; in Segment::reserve: some claim was never committed, as its
//                owner died, so that records and pad bytes count too many (segment/unblock.hpp)
//
// A claim that does not fit is counted too and closes the segment; what comes after is not counted, since a thread
// that finds the segment closed does not claim. A thread that adds by fetch_add may have looked before the close:
// so at most one claim of each of the first kAddingSlots slots is counted beyond the one that closed. All other
// threads add by compare-and-exchange, and never to the word of a closed segment. So no field overflows.
#pragma once

#include <cstdint>

#include "arena/geometry.hpp"
#include "segment/frame.hpp"

namespace shoal {

inline constexpr std::uint64_t kMaxSegmentUnits = (1ULL << 20) / kUnitBytes;  // 1 MiB
// A quarter of that, and a little less, so that every field below holds what kAddingSlots can add behind the end.
inline constexpr std::uint64_t kMaxClaimUnits =
    (248ULL << 10) / kUnitBytes;  // larger records get their own segment
inline constexpr std::uint64_t kMaxClaimRecords = 64;

inline constexpr unsigned kUnitsBits = 25;
inline constexpr unsigned kRecordsBits = 18;
inline constexpr unsigned kPadBits = 20;
inline constexpr std::uint64_t kSealedBit = 1ULL << 63;
inline constexpr std::uint64_t kAbandonedBit = 1ULL << 63;

struct Reserve {
    std::uint64_t units = 0;
    std::uint64_t records = 0;
    std::uint64_t pad = 0;

    [[nodiscard]] constexpr std::uint64_t payload_bytes() const noexcept {
        return (units - records) * kUnitBytes - pad;
    }
};

[[nodiscard]] constexpr std::uint64_t pack(Reserve reserve) noexcept {
    return reserve.units | reserve.records << kUnitsBits | reserve.pad << (kUnitsBits + kRecordsBits);
}
[[nodiscard]] constexpr Reserve unpack(std::uint64_t word) noexcept {
    return {word & ((1ULL << kUnitsBits) - 1), word >> kUnitsBits & ((1ULL << kRecordsBits) - 1),
            word >> (kUnitsBits + kRecordsBits) & ((1ULL << kPadBits) - 1)};
}
[[nodiscard]] constexpr std::uint64_t reserved_units(std::uint64_t word) noexcept {
    return word & ((1ULL << kUnitsBits) - 1);
}

// The word of an open segment is kMaxSegmentUnits at most. A claim closes it, or close(), which adds one more than
// it has; then come those that had looked before.
inline constexpr std::uint64_t kMostClosingUnits = kMaxSegmentUnits + 1;
static_assert(kMaxClaimUnits <= kMostClosingUnits);
static_assert(kMaxSegmentUnits + kMostClosingUnits + kAddingSlots * kMaxClaimUnits < 1ULL << kUnitsBits,
              "a full segment, what closed it, and one claim of each adding slot");
static_assert(kMaxSegmentUnits + (kAddingSlots + 1) * kMaxClaimRecords < 1ULL << kRecordsBits,
              "a record is a unit at least");
static_assert((kMaxSegmentUnits / 2 + (kAddingSlots + 1) * kMaxClaimRecords) * 7 < 1ULL << kPadBits,
              "two units: 7 at most");
static_assert(kUnitsBits + kRecordsBits + kPadBits == 63, "bit 63 is kSealedBit and kAbandonedBit");

}  // namespace shoal
