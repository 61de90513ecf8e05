// What the parts of a verification share: the report, which blocks were reached, and how an offset is followed.
//
// Nothing that an arena says is believed here: an offset is looked at through reach() or readable(), which say
// whether there is a whole object, and a plain field is read once (snapshot).
//
// Thread safety: none; one verification has one. A crash leaves nothing.
// Invariants: I1 at rest each block is reached once, so no walk is longer than the arena;
//             I2 beside others each step costs one of `budget`, so no walk is endless.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <shoal/verify.hpp>

#include "arena/blocks.hpp"
#include "arena/snapshot.hpp"
#include "spill/file_table.hpp"
#include "verify/arena_bytes.hpp"

namespace shoal {

// In whose hands a block is.
enum class Holder : std::uint8_t { kIndex, kRetired, kDead };

enum class Reached : std::uint8_t { kNew, kAgain, kNever };  // kNever: it was no such object, and is reported

struct LeakedBlock {
    std::uint64_t offset;
    std::uint64_t bytes;
    bool unwritten;  // never made real: nothing can be there
};

class Inspection {
public:
    Inspection(const Mapping& mapping, bool at_rest, VerifyReport& report);

    [[nodiscard]] const Mapping& mapping() const noexcept { return bytes_.mapping(); }
    [[nodiscard]] const ArenaHeader& header() const noexcept { return mapping().header(); }
    [[nodiscard]] ArenaBytes& bytes() noexcept { return bytes_; }
    [[nodiscard]] VerifyReport& report() noexcept { return *report_; }
    [[nodiscard]] bool at_rest() const noexcept { return at_rest_; }

    void damage(std::string_view invariant, std::uint64_t offset, std::string what);
    void not_checked(std::string what);

    // Whether `bytes` at `offset` can be read: aligned for any object, in a page of the data part, in no hole.
    // Reported under blocks I7 when not; `from` is the word that leads there, `what` is to be there.
    [[nodiscard]] bool readable(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from,
                                std::string_view what);

    // Whether `offset` is a taken block for an object of `bytes`, as the allocator has it. Marks it as `holder`'s.
    [[nodiscard]] Reached reach(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from,
                                std::string_view what, Holder holder);
    [[nodiscard]] bool was_reached(std::uint64_t offset) const noexcept { return reached_.test(offset / 64); }

    // False when the walk has taken more steps than a store can have that is not changed faster than it is read.
    [[nodiscard]] bool spend() noexcept;

    // Pages that the slot of a dead thread was taking or giving back, by its Slot::taking. False: there are no such
    // pages. Pages of a run that something names count as what names them: called when all else was reached.
    [[nodiscard]] bool reach_taken(std::uint64_t taking, std::uint32_t slot_number);
    [[nodiscard]] bool in_dead_hands(std::uint64_t page) const { return in_dead_hands_.contains(page); }

    // The allocator's words.
    [[nodiscard]] bool page_used(std::uint64_t page) noexcept { return bit(used_at_, page); }
    [[nodiscard]] bool page_real(std::uint64_t page) noexcept { return bit(real_at_, page); }
    [[nodiscard]] bool page_has_tables(std::uint64_t page) noexcept { return bit(tables_at_, page / kPiecePages); }
    [[nodiscard]] bool page_partial(std::uint64_t page, std::uint32_t size_class) noexcept {
        return bit(partial_at_ + size_class * words_ * 8, page);
    }
    [[nodiscard]] PageOwner page_owner(std::uint64_t page) noexcept {
        return static_cast<PageOwner>(bytes_.word(owners_at_ + page / 2 * 8) >> (page % 2 * 32));
    }
    [[nodiscard]] std::uint64_t block_word_at(std::uint64_t page, std::uint64_t word) const noexcept {
        return block_bits_at_ + (page * kWordsAPage + word) * 8;
    }
    [[nodiscard]] std::uint64_t block_word(std::uint64_t page, std::uint64_t word) noexcept {
        return page_has_tables(page) ? bytes_.word(block_word_at(page, word)) : 0;
    }
    [[nodiscard]] std::uint64_t pages() const noexcept { return page_count_; }
    [[nodiscard]] std::uint64_t page_map_words() const noexcept { return words_; }
    [[nodiscard]] std::uint64_t page_at(std::uint64_t page) const noexcept { return pages_at_ + page * kPageBytes; }
    [[nodiscard]] std::uint64_t page_of(std::uint64_t offset) const noexcept {
        return (offset - pages_at_) / kPageBytes;
    }
    [[nodiscard]] std::uint64_t used_at() const noexcept { return used_at_; }
    [[nodiscard]] std::uint64_t owner_at(std::uint64_t page) const noexcept {
        return owners_at_ + page * sizeof(PageOwner);
    }
    [[nodiscard]] std::uint64_t offset_of(const void* field) const noexcept {
        return static_cast<std::uint64_t>(static_cast<const std::byte*>(field) -
                                          mapping().at<std::byte>(std::uint64_t{0}));
    }

    // --- of verify/check_spill.hpp ---
    const SpillFileTable* spill_files = nullptr;  // once it was reached
    std::vector<std::uint64_t> named_bytes;       // of each file, by the extents that segments name
    std::uint64_t last_place = 0;                 // of the chain's stored segment looked at before
    std::unordered_set<std::uint64_t> counted;    // segments in memory whose `spill` counts already

    std::vector<LeakedBlock> leaks;             // found by check_blocks
    std::vector<std::uint64_t> lost_pages;      // with free blocks that no allocation would find
    std::unordered_set<std::uint64_t> sources;  // pages from which a slot allocates
    [[nodiscard]] static std::uint64_t block_bytes_of_class(std::uint32_t size_class) noexcept {
        return kSmallestBlockBytes << size_class;
    }

private:
    [[nodiscard]] bool bit(std::uint64_t table, std::uint64_t number) noexcept {
        return (bytes_.word(table + number / 64 * 8) >> (number % 64) & 1) != 0;
    }
    [[nodiscard]] bool is_taken_block(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from,
                                      std::string_view what);
    [[nodiscard]] bool is_taken_run(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from,
                                    std::string_view what);

    ArenaBytes bytes_;
    bool at_rest_;
    VerifyReport* report_;
    SparseBits reached_;  // by 64 B of the arena: where blocks begin that were reached; of runs, each page
    std::unordered_set<std::uint64_t> in_dead_hands_;  // pages, by reach_taken
    std::uint64_t budget_;
    std::uint64_t page_count_;
    std::uint64_t words_;
    std::uint64_t used_at_;
    std::uint64_t real_at_;
    std::uint64_t tables_at_;
    std::uint64_t owners_at_;
    std::uint64_t partial_at_;
    std::uint64_t block_bits_at_;
    std::uint64_t pages_at_;
};

}  // namespace shoal
