// Strong types for places in the arena: a pointer means nothing in the next process, an offset does.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal {

// Bytes from the arena's first byte. 0 is the header, so it serves as null.
enum class ArenaOffset : std::uint64_t { kNull = 0 };

[[nodiscard]] constexpr std::uint64_t raw(ArenaOffset offset) noexcept {
    return static_cast<std::uint64_t>(offset);
}
[[nodiscard]] constexpr ArenaOffset operator+(ArenaOffset offset, std::uint64_t bytes) noexcept {
    return static_cast<ArenaOffset>(raw(offset) + bytes);
}
[[nodiscard]] constexpr bool is_null(ArenaOffset offset) noexcept { return offset == ArenaOffset::kNull; }

// Number of a 64 KiB page of the arena's data part, from 0.
enum class PageIndex : std::uint32_t {};
[[nodiscard]] constexpr std::uint32_t raw(PageIndex page) noexcept { return static_cast<std::uint32_t>(page); }

[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
    return (value + unit - 1) / unit * unit;
}

}  // namespace shoal
