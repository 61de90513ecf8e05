// The index's measures: how wide its nodes and how large its leaves are. Models have small ones.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal {

inline constexpr unsigned kRootBits = 12;
inline constexpr unsigned kNodeBits = 6;
inline constexpr std::uint32_t kBucketSlots = 8;
inline constexpr std::uint32_t kLeafBuckets = 63;
inline constexpr std::size_t kLeafBytes = 4096;
inline constexpr std::uint32_t kProbeSlots = 32;  // an insert that must go further splits the leaf

}  // namespace shoal
