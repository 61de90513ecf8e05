// Stands in for src/arena/geometry.hpp in models: pages of 8, 4 or 2 blocks, two words of page map at most,
// and the fewest tags that epoch I4 asks for.
#pragma once

#include <cstdint>

namespace shoal {

inline constexpr std::uint64_t kPageBytes = 512;
inline constexpr std::uint64_t kPiecePages = 32;
inline constexpr std::uint32_t kSizeClasses = 3;  // 64, 128 and 256 bytes
inline constexpr std::uint32_t kSlots = 8;
inline constexpr std::uint32_t kLookSlots = 0;
inline constexpr std::uint32_t kSlotsAChunk = 2;
inline constexpr std::uint32_t kAddingSlots = 1;
inline constexpr std::uint64_t kEpochTags = 2;
inline constexpr std::uint32_t kSpilledBlocksEntries = 3;
inline constexpr std::uint64_t kSpareJournalBytes = 64;  // with one entry

}  // namespace shoal
