// The random number that a store is told apart by, wherever its files lie.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace shoal {

using StoreId = std::array<std::uint8_t, 16>;

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
