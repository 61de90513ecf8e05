// The arena's measures: how many slots, and how its memory is cut into pages and pieces. Models have small ones.
#pragma once

#include <cstdint>

namespace shoal {

inline constexpr std::uint64_t kPageBytes = 64 * 1024;  // unit of the page map; one kernel fault-around window
inline constexpr std::uint64_t kPiecePages = 32;        // whose block bits are one kernel page
inline constexpr std::uint32_t kSizeClasses = 10;       // 64 B << class, up to 32 KiB
inline constexpr std::uint32_t kSlots = 32'768;         // threads attached at once, with those that only look
inline constexpr std::uint32_t kLookSlots = 64;         // the last ones, kept for looks at a store
inline constexpr std::uint32_t kSlotsAChunk = 256;      // whose memory becomes real together
inline constexpr std::uint32_t kAddingSlots = 1024;  // the first ones, which claim by fetch_add (segment/claim.hpp)

// Tags of the lists of retired objects, a power of two: the list of an epoch has the same as that of kEpochTags
// epochs later (arena/epoch.hpp).
inline constexpr std::uint64_t kEpochTags = 16;

// Of one batch of a spiller, at most: as many as a 32 KiB block names (arena/spilled_blocks.hpp).
inline constexpr std::uint32_t kSpilledBlocksEntries = 1363;
inline constexpr std::uint64_t kSpareJournalBytes = 4096;  // of the one for a spiller without memory

}  // namespace shoal
