// A codec in 24 bits, as the arena's header and chains keep it. 0: not said.
//
//   bit 0 set · 1..2 id · 3..8 level + 32 · 9..16 type size · 17..18 shuffle · 19..21 inner
#pragma once

#include <cstdint>

#include <shoal/codec.hpp>

namespace shoal {

[[nodiscard]] constexpr std::uint32_t codec_word(const Codec& codec) noexcept {
    return 1 | static_cast<std::uint32_t>(codec.id) << 1 | static_cast<std::uint32_t>(codec.level + 32) << 3 |
           static_cast<std::uint32_t>(codec.type_size) << 9 | static_cast<std::uint32_t>(codec.shuffle) << 17 |
           static_cast<std::uint32_t>(codec.inner) << 19;
}

[[nodiscard]] constexpr Codec codec_from(std::uint32_t word) noexcept {
    if ((word & 1) == 0) return {};
    return {static_cast<CodecId>(word >> 1 & 3), static_cast<std::int8_t>(static_cast<int>(word >> 3 & 63) - 32),
            static_cast<std::uint8_t>(word >> 9 & 255), static_cast<Shuffle>(word >> 17 & 3),
            static_cast<BloscInner>(word >> 19 & 7)};
}

static_assert(codec_from(codec_word({CodecId::kZstd, 22, 0, Shuffle::kNone, BloscInner::kBloscLz})).level == 22);
static_assert(codec_from(codec_word({CodecId::kZstd, -20, 0, Shuffle::kNone, BloscInner::kBloscLz})).level == -20);
static_assert(codec_from(codec_word({CodecId::kBlosc, 9, 255, Shuffle::kBit, BloscInner::kZstd})) ==
              Codec{CodecId::kBlosc, 9, 255, Shuffle::kBit, BloscInner::kZstd});

}  // namespace shoal
