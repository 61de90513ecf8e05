// A codec in the 24 bits that a chain and the arena's header have for one. 0: not said.
#pragma once

#include <cstdint>

#include "codec/settings.hpp"

namespace shoal {

[[nodiscard]] inline std::uint32_t said_codec(const Codec& codec) noexcept { return codec_word(codec) << 1 | 1; }

// kNone where nothing was said, or nothing that can be.
[[nodiscard]] inline Codec codec_of_said(std::uint32_t said) noexcept {
    return (said & 1) != 0 ? codec_of_word(said >> 1).value_or(Codec{}) : Codec{};
}

}  // namespace shoal
