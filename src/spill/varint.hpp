// Lengths of records in an extent, and numbers in a bundle: LEB128, seven bits a byte, the lowest first; bit 7 says
// that more follow. Up to kMostLengthBytes (a long one: nine), and never one more than are needed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "spill/layout.hpp"

namespace shoal {

[[nodiscard]] constexpr std::uint32_t varint_bytes(std::uint32_t value) noexcept {
    return value < 1U << 7 ? 1 : value < 1U << 14 ? 2 : value < 1U << 21 ? 3 : 4;
}

// `value` is below 2^28. Returns where the next one goes.
[[nodiscard]] inline std::byte* write_varint(std::byte* at, std::uint32_t value) noexcept {
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
    *at++ = static_cast<std::byte>(value);
    return at;
}

// Moves *at behind it. False, and nothing moves: there is none before `end`, or not in its shortest form.
[[nodiscard]] inline bool read_varint(const std::byte** at, const std::byte* end, std::uint32_t* value) noexcept {
    const std::byte* next = *at;
    std::uint32_t sum = 0;
    for (unsigned shift = 0; next != end && shift < 7 * kMostLengthBytes; shift += 7) {
        const auto byte = static_cast<std::uint32_t>(*next++);
        sum |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift != 0) return false;
            *at = next;
            *value = sum;
            return true;
        }
    }
    return false;
}

// Any number below 2^63, in the same way.
[[nodiscard]] constexpr std::uint32_t long_varint_bytes(std::uint64_t value) noexcept {
    std::uint32_t bytes = 1;
    for (; value >= 0x80; value >>= 7) ++bytes;
    return bytes;
}
[[nodiscard]] inline std::byte* write_long_varint(std::byte* at, std::uint64_t value) noexcept {
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
    *at++ = static_cast<std::byte>(value);
    return at;
}
[[nodiscard]] inline bool read_long_varint(const std::byte** at, const std::byte* end,
                                           std::uint64_t* value) noexcept {
    const std::byte* next = *at;
    std::uint64_t sum = 0;
    for (unsigned shift = 0; next != end && shift < 63; shift += 7) {
        const auto byte = static_cast<std::uint64_t>(*next++);
        sum |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift != 0) return false;
            *at = next;
            *value = sum;
            return true;
        }
    }
    return false;
}

}  // namespace shoal
