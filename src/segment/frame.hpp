// A frame: an 8-byte header and one record, 8-byte aligned. The header says what stands there:
//
//   0           nothing yet: a hole, or space not claimed
//   claimed     a live writer is copying: bits 2..21 units of the whole claim, 22..37 slot, 38..63 generation
//   committed   a record: bits 2..63 its payload's bytes
//   padding     nothing, for ever: bits 2..21 units to skip
//
// The generation is that of the slot, modulo 2^26. No frame of an owner of 2^26 owners before is still claimed: a
// living owner commits, and a dead one's frames are padding before another can have the slot.
//
// Units are 8 bytes. A claim may hold several frames (a batch for one key): its first header, claimed, covers them
// all; the others are stored before the first turns committed.
//
// Thread safety: pure functions; the words themselves are read and written as segment/claim.hpp says.
#pragma once

#include <cstdint>

namespace shoal {

inline constexpr std::uint64_t kUnitBytes = 8;

enum class FrameState : std::uint64_t { kHole = 0, kClaimed = 1, kCommitted = 2, kPadding = 3 };

[[nodiscard]] constexpr std::uint64_t frame_units(std::uint64_t payload_bytes) noexcept {
    return 1 + (payload_bytes + kUnitBytes - 1) / kUnitBytes;
}
[[nodiscard]] constexpr std::uint64_t pad_bytes(std::uint64_t payload_bytes) noexcept {
    return (frame_units(payload_bytes) - 1) * kUnitBytes - payload_bytes;
}

inline constexpr std::uint64_t kSkippedUnitsMask = 0xf'ffff;  // 8 MiB; what is claimed or skipped is 1 MiB at most
inline constexpr unsigned kClaimingSlotBits = 16;

[[nodiscard]] constexpr std::uint64_t claimed_header(std::uint64_t units, std::uint32_t slot_number,
                                                     std::uint32_t generation) noexcept {
    return static_cast<std::uint64_t>(FrameState::kClaimed) | units << 2 |
           static_cast<std::uint64_t>(slot_number & ((1U << kClaimingSlotBits) - 1)) << 22 |
           static_cast<std::uint64_t>(generation) << 38;
}
[[nodiscard]] constexpr bool is_claimed_by(std::uint64_t header, std::uint32_t slot_number,
                                           std::uint32_t generation) noexcept {
    return (header & ~(kSkippedUnitsMask << 2)) == claimed_header(0, slot_number, generation);
}
[[nodiscard]] constexpr std::uint64_t committed_header(std::uint64_t payload_bytes) noexcept {
    return static_cast<std::uint64_t>(FrameState::kCommitted) | payload_bytes << 2;
}
[[nodiscard]] constexpr std::uint64_t padding_header(std::uint64_t units) noexcept {
    return static_cast<std::uint64_t>(FrameState::kPadding) | units << 2;
}

[[nodiscard]] constexpr FrameState frame_state(std::uint64_t header) noexcept {
    return static_cast<FrameState>(header & 3);
}
[[nodiscard]] constexpr std::uint64_t committed_bytes(std::uint64_t header) noexcept { return header >> 2; }
[[nodiscard]] constexpr std::uint64_t skipped_units(std::uint64_t header) noexcept {  // of claimed and padding
    return header >> 2 & kSkippedUnitsMask;
}

}  // namespace shoal
