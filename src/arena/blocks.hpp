// The allocator: blocks of 64 B to 32 KiB in size classes carved from 64 KiB pages, and runs of whole pages.
//
// Pages for small blocks come from the top of the arena, runs from the bottom: what is small and lives long does
// not break up the room for what is large.
//
// A slot takes blocks of a class from one page, its source. The first ones, half a page of each class, come from
// pages that other slots take from too, so that a thread that does little sets aside little; then it has pages of
// its own, where threads do not meet.
//
// All of its state is bitmaps: a bit a page (used), a bit a block (free), a bit a page and class (partial).
// To allocate a block is to clear a bit by a single atomic operation: a crash leaks at most the block whose bit was
// taken and not yet linked anywhere, or that nothing names any more and that is not free yet. Pages have an owner
// word each (arena/page_owner.hpp), and are taken, cut into blocks, emptied of them and given back under a journal,
// Slot::taking: a crash leaks no page, and no run of them.
//
// Thread safety: every function, from any process. Lock-free: a failed turn means that another took the bit.
// Invariants: I1 a page belongs to the slot that exchanged its owner word from 0, until that one (or the process
// that
//                recovers it) stores 0 there; a page's used bit is written by its owner alone, set after that
//                exchange and cleared before that store: it tells where to look;
//             I8 a page in transit or changing is covered by its slot's `taking`, and its slot alone changes its
//             owner
//                word;
//             I2 bits of a page's block bitmap are set only while it has a class, is changing or was left, one for
//                each free block while it has a class;
//             I3 a thread owns a block when it has cleared its bit and then found the page's class, and no page
//             changes
//                class while one of its blocks is owned: it is emptied first;
//             I9 a thread clears bits of a page only while its slot names the page as a source, and it has named it
//                before it found that the page has the class: so a page that has none, and that no other slot
//                names, has nobody at its bits;
//             I4 a page with a free block is partial in its class, or some slot's source;
//             I5 every page handed out is real, and so are its block bits: to write there cannot fault for lack of
//             space; I6 every byte of a free block or page is zero: who gives it back has zeroed what was written;
//             I7 whatever an object or a slot names lies in the data part, in a block of the class, or a run of the
//                pages, that its size asks for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "arena/mapping.hpp"
#include "arena/page_owner.hpp"

namespace shoal {

enum class AllocationStatus : std::uint8_t { kDone, kLimit, kNoSpace };

struct Allocation {
    ArenaOffset offset = ArenaOffset::kNull;  // null on failure
    AllocationStatus status = AllocationStatus::kDone;
};

inline constexpr std::uint64_t kSmallestBlockBytes = 64;
inline constexpr std::uint64_t kLargestBlockBytes = kSmallestBlockBytes
                                                    << (kSizeClasses - 1);  // then runs of pages

inline constexpr std::uint32_t kWordsAPage = std::max<std::uint32_t>(kPageBytes / kSmallestBlockBytes / 64, 1);
inline constexpr std::uint64_t kBlockBitsBytes = kPiecePages * kWordsAPage * sizeof(AtomicWord);  // of a piece

struct ArenaPlan;

class Blocks {
public:
    explicit Blocks(const Mapping& mapping) noexcept;

    // A block of at least `bytes`, all zero: a power of two up to kLargestBlockBytes, else whole pages.
    [[nodiscard]] Allocation allocate(Slot& slot, std::uint64_t bytes) noexcept;

    // Gives back what allocate(…, bytes) returned, after zeroing its first `written` bytes: no other may have been
    // written to. Nobody may be able to reach it any more. Of a run that a word of the arena names: see give_up.
    void release(Slot& slot, ArenaOffset offset, std::uint64_t bytes, std::uint64_t written) noexcept;

    // What becomes of a place in a file that no segment names any more (`checkpointed`: a checkpoint does yet; of a
    // bundle, which others may name: of so many `bytes` of it), and who is called when many pages have been taken
    // since the last call. To be set before anything is spilled.
    using ReleaseStored =
        std::function<void(Slot& slot, std::uint64_t place, std::uint64_t bytes, bool checkpointed)>;
    void on_release_stored(ReleaseStored release) { release_stored_ = std::move(release); }
    void on_pages_taken(std::function<void()> call) { pages_taken_ = std::move(call); }
    void release_stored(Slot& slot, std::uint64_t place, std::uint64_t bytes, bool checkpointed) noexcept {
        if (release_stored_) release_stored_(slot, place, bytes, checkpointed);
    }
    [[nodiscard]] std::uint64_t pages() const noexcept { return page_count_; }
    [[nodiscard]] std::uint64_t used_pages() const noexcept;

    // Makes the slot's next blocks of that size come from a page at the top of the arena, if there is room.
    void move_source_to_top(Slot& slot, std::uint64_t bytes) noexcept;

    // Lets other slots use the pages that this one allocates from: at detach, and in recovery.
    void give_back_sources(Slot& slot) noexcept;
    // As allocate(), for an object that is to name it by the word at `name` (kNamingBits), which does not yet. A
    // run stays in the slot's journal, so that a crash leaks it neither before the object names it nor after, until
    // keep(): to be called when it does, and before anybody else can reach the object.
    [[nodiscard]] Allocation allocate_for(std::uint64_t name, Slot& slot, std::uint64_t bytes) noexcept;
    void keep(Slot& slot) noexcept;
    // To be called before the word at `name`, which names what allocate(…, bytes) returned, says so no more, where
    // release() is to follow at once: a crash in between leaks no run. The object is in the hands of the slot's
    // thread alone, and of the process that recovers the slot: recovery looks at the word.
    void give_up(std::uint64_t name, Slot& slot, ArenaOffset offset, std::uint64_t bytes) noexcept;
    // Ends what a dead slot's thread was doing with pages. First of all that recovery does for the slot.
    void free_taken(Slot& dead) noexcept;

    // Returns every page whose blocks are all free to the page map, whoever allocates from it: for when memory is
    // short. True when there was one.
    bool release_empty_pages(Slot& slot) noexcept;

    // Makes the first `bytes` of the data part real, in an arena that nobody else can see. 0 or an errno.
    [[nodiscard]] int reserve(std::uint64_t bytes) noexcept;

    struct Usage {
        std::uint64_t real_bytes;
        std::uint64_t used_bytes;
    };
    [[nodiscard]] Usage usage() const noexcept;

    [[nodiscard]] static std::uint64_t block_bytes(std::uint64_t bytes) noexcept;  // what `bytes` really take
    // Whether there are blocks of just so many bytes.
    [[nodiscard]] static bool is_block_size(std::uint64_t bytes) noexcept { return block_bytes(bytes) == bytes; }

private:
    Blocks(const Mapping& mapping, const ArenaPlan& plan) noexcept;

    static constexpr std::uint32_t kNoPage = ~0U;

    [[nodiscard]] static constexpr std::uint64_t bit_mask(std::uint64_t count) noexcept {
        return count >= 64 ? ~0ULL : (1ULL << count) - 1;
    }

    [[nodiscard]] static std::uint32_t class_of(std::uint64_t bytes) noexcept;
    [[nodiscard]] static std::uint32_t words_of(std::uint32_t size_class) noexcept;
    [[nodiscard]] static std::uint64_t full_word(std::uint32_t size_class) noexcept;

    [[nodiscard]] AtomicWord* block_bits(std::uint32_t page) const noexcept {
        return block_bits_ + page * kWordsAPage;
    }
    [[nodiscard]] AtomicWord* partial_bits(std::uint32_t size_class) const noexcept {
        return partial_ + size_class * words_;
    }
    [[nodiscard]] ArenaOffset page_offset(std::uint32_t page) const noexcept {
        return static_cast<ArenaOffset>(pages_at_ + page * kPageBytes);
    }
    [[nodiscard]] std::uint32_t page_of(ArenaOffset offset) const noexcept {
        return static_cast<std::uint32_t>((raw(offset) - pages_at_) / kPageBytes);
    }

    [[nodiscard]] PageOwner in_transit(const Slot& slot) const noexcept {
        return page_in_transit(slot_number_of(*mapping_, slot));
    }
    [[nodiscard]] bool is_changing_by_slot(std::uint32_t page, const Slot& slot) const noexcept {
        // relaxed: the slot's own word, or nobody can make it so any more
        return is_changing_by(owners_[page].load(std::memory_order_relaxed), slot_number_of(*mapping_, slot));
    }

    [[nodiscard]] bool is_block(ArenaOffset offset, std::uint64_t bytes) const noexcept {  // could be one
        const std::uint64_t data_bytes = page_count_ * kPageBytes;
        const std::uint64_t at = raw(offset) - pages_at_;
        return raw(offset) >= pages_at_ && at % kSmallestBlockBytes == 0 && bytes <= data_bytes &&
               at <= data_bytes - bytes;
    }

    [[nodiscard]] Allocation allocate_small(Slot& slot, std::uint32_t size_class) noexcept;
    [[nodiscard]] ArenaOffset take_block(Slot::Source& source, std::uint32_t page,
                                         std::uint32_t size_class) noexcept;
    [[nodiscard]] std::uint32_t adopt_partial_page(Slot::Source& source, std::uint32_t size_class) noexcept;
    void share_page(std::uint32_t page, std::uint32_t size_class) noexcept;
    [[nodiscard]] AllocationStatus carve_page(Slot& slot, std::uint32_t size_class) noexcept;
    void put_back(std::uint32_t page, std::uint32_t index, std::uint64_t bits) noexcept;
    [[nodiscard]] bool is_empty_page(std::uint32_t page, std::uint32_t size_class) const noexcept;
    bool release_page_if_empty(Slot& slot, std::uint32_t page, std::uint32_t size_class) noexcept;
    [[nodiscard]] bool take_all_blocks(std::uint32_t page, std::uint32_t size_class) noexcept;
    void stay_page_of_blocks(std::uint32_t page, std::uint32_t size_class) noexcept;
    void make_findable(std::uint32_t page) noexcept;
    [[nodiscard]] bool is_source_of_others(std::uint32_t page, const Slot& slot) const noexcept;
    bool release_unowned_page(Slot& slot, std::uint32_t page) noexcept;
    bool release_left_page(Slot& slot, std::uint32_t page) noexcept;
    void release_if_left(Slot& slot, std::uint32_t page) noexcept;

    [[nodiscard]] Allocation allocate_run(Slot& slot, std::uint64_t bytes) noexcept;
    [[nodiscard]] Allocation make_ready(Slot& slot, std::uint32_t first, std::uint64_t pages) noexcept;
    [[nodiscard]] std::uint32_t take_page_at_top(Slot& slot) noexcept;
    [[nodiscard]] std::uint32_t take_run_in_word(Slot& slot, std::uint64_t pages) noexcept;
    [[nodiscard]] std::uint32_t take_run_across_words(Slot& slot, std::uint64_t pages) noexcept;
    [[nodiscard]] std::uint64_t take_pages(Slot& slot, std::uint64_t first, std::uint64_t pages) noexcept;
    void free_run(Slot& slot, std::uint32_t first, std::uint64_t pages) noexcept;
    void give_back_taken(Slot& slot) noexcept;
    void journal_named(Slot& slot, std::uint64_t name, std::uint64_t first, std::uint64_t pages) noexcept;
    [[nodiscard]] bool is_named(const Slot& dead, ArenaOffset run) const noexcept;
    void raise_hints(std::uint64_t first, std::uint64_t pages) noexcept;
    [[nodiscard]] int make_pages_real(std::uint32_t first, std::uint64_t pages) noexcept;
    void map_ahead(std::uint32_t first, std::uint64_t pages) const noexcept;

    const Mapping* mapping_;
    ArenaHeader* header_;
    AtomicWord* used_;
    AtomicWord* real_;
    AtomicWord* tables_;
    AtomicWord* partial_;
    AtomicWord* block_bits_;
    Atomic<PageOwner>* owners_;
    std::uint64_t words_;  // of the page map: page_count / 64, rounded up
    std::uint64_t page_count_;
    std::uint64_t block_bits_at_;
    std::uint64_t pages_at_;
    ReleaseStored release_stored_;
    std::function<void()> pages_taken_;
};

}  // namespace shoal
