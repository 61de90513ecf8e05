// Lengths of records in a backup: LEB128, seven bits a byte, the lowest first; bit 7 says that more follow. Up to
// ten bytes, in the shortest form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shoal {

inline void add_length(std::vector<std::byte>& to, std::uint64_t length) {
    for (; length >= 0x80; length >>= 7) to.push_back(static_cast<std::byte>(length | 0x80));
    to.push_back(static_cast<std::byte>(length));
}

// Moves *at behind it. False where none is before `end`, or not in its shortest form.
[[nodiscard]] inline bool read_length(const std::byte** at, const std::byte* end, std::uint64_t* length) noexcept {
    std::uint64_t sum = 0;
    for (unsigned shift = 0; *at != end && shift < 64; shift += 7) {
        const auto byte = static_cast<std::uint64_t>(*(*at)++);
        if (shift == 63 && byte > 1) return false;
        sum |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            *length = sum;
            return byte != 0 || shift == 0;
        }
    }
    return false;
}

}  // namespace shoal
