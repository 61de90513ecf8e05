// A page's owner word: what the page is, and while it changes hands, whose it is.
//
// A thread that takes a page exchanges 0 for its own slot's "in transit", and only the owner changes the word from
// then on. So a recovering process tells the pages that a dead thread had in transit from all others, whatever
// happened to their neighbours meanwhile, and needs no look at other slots.
//
// Thread safety: plain functions. A crash leaves a page in transit, and the dead slot's `taking` covers it.
#pragma once

#include <cstdint>

#include "arena/geometry.hpp"

namespace shoal {

using PageOwner = std::uint32_t;

inline constexpr PageOwner kPageFree = 0;
inline constexpr PageOwner kPageInRun = 0xfe;
inline constexpr PageOwner kPageInTransit = 0xff;  // in the low 8 bits; 8..31: number of the slot
inline constexpr std::uint32_t kNoSlotNumber = 0xff'ffff;

// Cut into blocks of that class.
[[nodiscard]] constexpr PageOwner page_of_class(std::uint32_t size_class) noexcept { return size_class + 1; }
[[nodiscard]] constexpr bool is_page_of_blocks(PageOwner owner) noexcept {
    return owner - 1 < kSizeClasses;  // 0 wraps round
}
[[nodiscard]] constexpr std::uint32_t class_of_page(PageOwner owner) noexcept { return owner - 1; }

[[nodiscard]] constexpr PageOwner page_in_transit(std::uint32_t slot_number) noexcept {
    return kPageInTransit | slot_number << 8;
}
[[nodiscard]] constexpr bool is_in_transit(PageOwner owner) noexcept { return (owner & 0xff) == kPageInTransit; }

// Slot::taking: pages first | count << 32 that are, or may be, in the slot's transit; 0 for none. With kAllTaken
// each of them is the slot's, whatever its owner word says; without it, those whose owner word names the slot.
inline constexpr std::uint64_t kAllTaken = 1ULL << 31;

[[nodiscard]] constexpr std::uint64_t taking_word(std::uint64_t first, std::uint64_t pages) noexcept {
    return first | pages << 32;
}
[[nodiscard]] constexpr std::uint64_t first_taken(std::uint64_t taking) noexcept {
    return taking & (kAllTaken - 1);
}
[[nodiscard]] constexpr std::uint64_t count_taken(std::uint64_t taking) noexcept { return taking >> 32; }

static_assert(!is_page_of_blocks(kPageFree) && !is_page_of_blocks(kPageInRun) && kSizeClasses < kPageInRun,
              "a class is no other owner");

}  // namespace shoal
