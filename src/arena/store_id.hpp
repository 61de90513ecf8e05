// The number that a store is told apart by, wherever its files lie: 8 bytes that say at which path it was made, and
// 8 random ones. So a creator finds what earlier stores at its path have left by the names of files alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace shoal {

using StoreId = std::array<std::uint8_t, 16>;

inline constexpr std::size_t kPathDigits = 16;  // of id_text: those that say the path

// 32 hex digits, as in the names of files.
[[nodiscard]] inline std::string id_text(const StoreId& id) {
    constexpr const char* kDigits = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : id) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

}  // namespace shoal
