// Stands in for src/index/geometry.hpp in models: leaves of four keys, and whose own bucket is full splits them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal {

inline constexpr unsigned kRootBits = 1;
inline constexpr unsigned kNodeBits = 1;
inline constexpr std::uint32_t kBucketSlots = 2;
inline constexpr std::uint32_t kLeafBuckets = 2;
inline constexpr std::size_t kLeafBytes = 128;
inline constexpr std::uint32_t kProbeSlots = 2;

}  // namespace shoal
