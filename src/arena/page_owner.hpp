// A page's owner word: what the page is, and while it changes hands, whose it is. And a slot's journal of pages,
// which says what the slot does with them.
//
// A thread that takes a page exchanges 0 for its own slot's "in transit", and only the owner changes the word from
// then on. So a recovering process tells the pages that a dead thread had in transit from all others, whatever
// happened to their neighbours meanwhile, and needs no look at other slots. A page of blocks is emptied by the slot
// that exchanges its class for "changing, by this slot".
//
// Thread safety: plain functions. A crash leaves a page in transit or changing, and the dead slot's `taking` covers
// it.
#pragma once

#include <cstdint>

#include "arena/geometry.hpp"

namespace shoal {

using PageOwner = std::uint32_t;

inline constexpr PageOwner kPageFree = 0;
inline constexpr PageOwner kPageChanging = 0xe0;  // and a class, in the low 8 bits; 8..31: number of the slot
inline constexpr PageOwner kLeftPage = 0xfd;      // no block of it is anybody's, and its block bits mean nothing
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

// The slot cuts the page into blocks of that class, or empties it of them: no thread takes one and keeps it.
[[nodiscard]] constexpr PageOwner page_changing(std::uint32_t slot_number, std::uint32_t size_class) noexcept {
    return (kPageChanging + size_class) | slot_number << 8;
}
[[nodiscard]] constexpr bool is_changing(PageOwner owner) noexcept {
    return (owner & 0xff) - kPageChanging < kSizeClasses;  // less wraps round
}
[[nodiscard]] constexpr bool is_changing_by(PageOwner owner, std::uint32_t slot_number) noexcept {
    return is_changing(owner) && owner >> 8 == slot_number;
}
[[nodiscard]] constexpr std::uint32_t class_of_changing(PageOwner owner) noexcept {
    return (owner & 0xff) - kPageChanging;
}

// What Slot::taking says of its pages.
enum class Taking : std::uint8_t {
    kSome,     // the slot's are those whose owner word says "in transit to this slot"
    kAll,      // each is the slot's, whatever its owner word says; and zero
    kNamed,    // a run: the object's while the word at Slot::named_by names it, else the slot's
    kLooking,  // one page: if it is changing by this slot, it is still a page of blocks
    kUnowned,  // one page: if it is changing by this slot, it is the slot's, whatever its block bits say; and zero
};

// Of a word that names a run by its offset, whatever its other bits say: a segment's block, a leaf's slot, or a
// slot's made_chain or draining.
inline constexpr std::uint64_t kNamingBits = (1ULL << 44) - 64;

// Slot::taking: 0..30 first page; 32..59 how many; 60..63 Taking; 0 for none.
[[nodiscard]] constexpr std::uint64_t taking_word(std::uint64_t first, std::uint64_t pages, Taking what) noexcept {
    return first | pages << 32 | static_cast<std::uint64_t>(what) << 60;
}
[[nodiscard]] constexpr std::uint64_t first_taken(std::uint64_t taking) noexcept {
    return taking & ((1ULL << 31) - 1);
}
[[nodiscard]] constexpr std::uint64_t count_taken(std::uint64_t taking) noexcept {
    return taking >> 32 & ((1ULL << 28) - 1);
}
[[nodiscard]] constexpr Taking what_is_taken(std::uint64_t taking) noexcept {
    return static_cast<Taking>(taking >> 60);
}

static_assert(!is_page_of_blocks(kPageFree) && kSizeClasses < kPageChanging &&
                  kPageChanging + kSizeClasses <= kLeftPage,
              "no owner is another");

}  // namespace shoal
