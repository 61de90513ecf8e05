// A codec's settings in words and in one packed word.
//
//   bits  0..1   CodecId; 0 and nothing else: plain
//   bits  2..7   level + 32
//   bits  8..15  blosc's type size
//   bits 16..17  its shuffle
//   bits 18..20  its inner codec
#pragma once

#include <cstdint>
#include <optional>

#include <shoal/codec.hpp>

namespace shoal {

inline constexpr int kLowestZstdLevel = -20;
inline constexpr int kHighestZstdLevel = 22;
inline constexpr int kDefaultZstdLevel = 1;  // measured: src/README.md
inline constexpr int kLowestBloscLevel = 1;
inline constexpr int kHighestBloscLevel = 9;
inline constexpr int kDefaultBloscLevel = 5;

[[nodiscard]] std::uint32_t codec_word(const Codec& codec) noexcept;
// Nothing: no codec has that word.
[[nodiscard]] std::optional<Codec> codec_of_word(std::uint32_t word) noexcept;

}  // namespace shoal
