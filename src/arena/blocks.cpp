#include "arena/blocks.hpp"

#include <algorithm>
#include <bit>

#include "arena/bytes.hpp"
#include "arena/crash_point.hpp"
#include "arena/plan.hpp"

namespace shoal {
namespace {

// Slot::Source::word: in the low half the word of a page's block bits, in the high half a count of blocks.
constexpr std::uint32_t kSourceWordMask = 0xffff;
constexpr unsigned kSourceCountShift = 16;

// Blocks that a slot takes of a class before it sets aside a page of its own for it: half a page.
constexpr std::uint32_t blocks_before_own_page(std::uint32_t size_class) noexcept {
    return std::max(static_cast<std::uint32_t>(kPageBytes / kSmallestBlockBytes) >> (size_class + 1), 1U);
}

// A slot that has taken few blocks of a class takes them from pages that others take from too.
bool takes_from_shared_page(const Slot::Source& source, std::uint32_t size_class) noexcept {
    return source.word >> kSourceCountShift < blocks_before_own_page(size_class);
}

void begin_at_word(Slot::Source& source, std::uint32_t word) noexcept {
    source.word = (source.word & ~kSourceWordMask) | word;
}

}  // namespace

// The places of the tables come from the arena's size: the header's words may change after they were checked.
Blocks::Blocks(const Mapping& mapping) noexcept : Blocks(mapping, plan_arena(mapping.bytes())) {}

Blocks::Blocks(const Mapping& mapping, const ArenaPlan& plan) noexcept
    : mapping_(&mapping),
      header_(&mapping.header()),
      used_(mapping.at<AtomicWord>(plan.used_at)),
      real_(mapping.at<AtomicWord>(plan.real_at)),
      tables_(mapping.at<AtomicWord>(plan.tables_at)),
      partial_(mapping.at<AtomicWord>(plan.partial_at)),
      block_bits_(mapping.at<AtomicWord>(plan.block_bits_at)),
      owners_(mapping.at<Atomic<PageOwner>>(plan.owners_at)),
      words_((plan.page_count + 63) / 64),
      page_count_(plan.page_count),
      block_bits_at_(plan.block_bits_at),
      pages_at_(plan.pages_at) {}

std::uint32_t Blocks::class_of(std::uint64_t bytes) noexcept {
    return bytes <= kSmallestBlockBytes ? 0 : static_cast<std::uint32_t>(std::bit_width(bytes - 1)) - 6;
}

std::uint32_t Blocks::words_of(std::uint32_t size_class) noexcept {
    return std::max(kWordsAPage >> size_class, 1U);
}

std::uint64_t Blocks::full_word(std::uint32_t size_class) noexcept {
    return bit_mask((kPageBytes / kSmallestBlockBytes) >> size_class);
}

std::uint64_t Blocks::block_bytes(std::uint64_t bytes) noexcept {
    return bytes <= kLargestBlockBytes ? kSmallestBlockBytes << class_of(bytes) : round_up(bytes, kPageBytes);
}

Allocation Blocks::allocate(Slot& slot, std::uint64_t bytes) noexcept {
    if (bytes <= kLargestBlockBytes) return allocate_small(slot, class_of(bytes));
    const Allocation fresh = allocate_run(slot, bytes);
    if (!is_null(fresh.offset)) keep(slot);
    return fresh;
}

void Blocks::release(Slot& slot, ArenaOffset offset, std::uint64_t bytes, std::uint64_t written) noexcept {
    if (!is_block(offset, bytes) || written > bytes)
        return;  // a damaged word led here: leaked, and nothing else hurt
    zero_bytes(mapping_->at<std::byte>(offset), written);
    crash_point(CrashPoint::kBlockZeroed);
    const std::uint32_t page = page_of(offset);
    if (bytes > kLargestBlockBytes) {
        free_run(slot, page, round_up(bytes, kPageBytes) / kPageBytes);
        return;
    }
    const std::uint32_t size_class = class_of(bytes);
    const std::uint64_t block = (raw(offset) - raw(page_offset(page))) >> (6 + size_class);
    AtomicWord& word = block_bits(page)[block / 64];
    // seq_cst: this store of the block's bit and the load of the partial bit below, against adopt_partial_page's
    // clearing of the partial bit and take_block's load of block bits: one of the two sees the other (I4). It also
    // releases our last reads of the block to the next owner's acquire in take_block.
    const std::uint64_t now = word.fetch_or(1ULL << (block % 64), std::memory_order_seq_cst) | 1ULL << (block % 64);
    crash_point(CrashPoint::kBlockFree);
    AtomicWord& partial = partial_bits(size_class)[page / 64];
    const std::uint64_t page_bit = 1ULL << (page % 64);
    if ((partial.load(std::memory_order_seq_cst) & page_bit) == 0) {
        partial.fetch_or(page_bit, std::memory_order_seq_cst);
    }
    crash_point(CrashPoint::kBlockFindable);
    // relaxed: our own slot's word
    if (now == full_word(size_class) && slot.sources[size_class].page.load(std::memory_order_relaxed) != page + 1) {
        static_cast<void>(release_page_if_empty(slot, page, size_class));
    }
}

Allocation Blocks::allocate_small(Slot& slot, std::uint32_t size_class) noexcept {
    Slot::Source& source = slot.sources[size_class];
    bool shares = false;
    for (;;) {  // a turn ends with a block, or with a source that has run dry
        // relaxed: our own slot's word
        const std::uint32_t current = source.page.load(std::memory_order_relaxed);
        if (current != 0 && current <= page_count_) {
            const ArenaOffset block = take_block(source, current - 1, size_class);
            if (!is_null(block)) {
                if (shares) share_page(current - 1, size_class);
                if (takes_from_shared_page(source, size_class)) source.word += 1U << kSourceCountShift;
                return {block};
            }
            release_if_left(slot, current - 1);
        }
        shares = takes_from_shared_page(source, size_class);
        const std::uint32_t page = adopt_partial_page(source, size_class);
        if (page != kNoPage) {
            map_ahead(page, 1);  // most often another process's until now
            begin_at_word(source, 0);
            continue;
        }
        const AllocationStatus status = carve_page(slot, size_class);
        if (status == AllocationStatus::kDone) continue;
        // Another thread may have shared the last page just now.
        if (adopt_partial_page(source, size_class) == kNoPage) return {ArenaOffset::kNull, status};
        begin_at_word(source, 0);
    }
}

// The caller holds a block of the page, which so keeps its class (I3): others find its free blocks from here on.
// One that has none by now is found once in vain.
void Blocks::share_page(std::uint32_t page, std::uint32_t size_class) noexcept {
    // seq_cst: as in release
    partial_bits(size_class)[page / 64].fetch_or(1ULL << (page % 64), std::memory_order_seq_cst);
    crash_point(CrashPoint::kPageShared);
}

// A page of its own for the source, at the top of the arena.
AllocationStatus Blocks::carve_page(Slot& slot, std::uint32_t size_class) noexcept {
    Slot::Source& source = slot.sources[size_class];
    const Allocation fresh = make_ready(slot, take_page_at_top(slot), 1);
    if (is_null(fresh.offset)) {
        source.page.store(0, std::memory_order_relaxed);  // relaxed: read by recovery, which holds our lock
        return fresh.status;
    }
    const std::uint32_t page = page_of(fresh.offset);
    source.page.store(page + 1, std::memory_order_relaxed);  // relaxed: as above; first, so that it is findable
    begin_at_word(source, 0);
    // First: a page that is changing is the slot's by its owner word as well, and becomes one of blocks by one
    // store to that. Until then nobody keeps a block of it.
    owners_[page].store(page_changing(slot_number_of(*mapping_, slot), size_class), std::memory_order_relaxed);
    slot.taking.store(taking_word(page, 1, Taking::kUnowned), std::memory_order_release);  // pairs with free_taken
    crash_point(CrashPoint::kPageCutting);
    AtomicWord* bits = block_bits(page);
    for (std::uint32_t word = words_of(size_class); word-- > 0;) {
        // relaxed: published by the page's class
        bits[word].store(full_word(size_class), std::memory_order_relaxed);
        crash_point(CrashPoint::kPageCarving);
    }
    // release: pairs with take_block and release_empty_pages
    owners_[page].store(page_of_class(size_class), std::memory_order_release);
    crash_point(CrashPoint::kPageHasClass);
    keep(slot);
    crash_point(CrashPoint::kPageCarved);
    return AllocationStatus::kDone;
}

void Blocks::move_source_to_top(Slot& slot, std::uint64_t bytes) noexcept {
    const std::uint32_t size_class = class_of(bytes);
    static_cast<void>(carve_page(slot, size_class));  // without room the source stays as it can
}

ArenaOffset Blocks::take_block(Slot::Source& source, std::uint32_t page, std::uint32_t size_class) noexcept {
    AtomicWord* bits = block_bits(page);
    const std::uint32_t words = words_of(size_class);
    for (std::uint32_t turn = 0; turn < words; ++turn) {
        const std::uint32_t index = (source.word + turn) % words;
        std::uint64_t free = bits[index].load(std::memory_order_seq_cst);  // pairs with release(): see there
        while (free != 0) {
            const std::uint64_t bit = free & (~free + 1);
            // acquire: pairs with the release of the block's last owner. seq_cst, here and below: we clear the bit
            // and then look at the owner; release_page_if_empty changes the owner and then looks at the bits (I3).
            const std::uint64_t before = bits[index].fetch_and(~bit, std::memory_order_seq_cst);
            if ((before & bit) != 0) {
                // From here on the page keeps its class. acquire: pairs with carve_page
                if (owners_[page].load(std::memory_order_seq_cst) != page_of_class(size_class)) {
                    put_back(page, index, bit);  // the page changes hands, or has: not ours to use
                    return ArenaOffset::kNull;
                }
                crash_point(CrashPoint::kBlockTaken);
                begin_at_word(source, index);
                const std::uint64_t block = index * 64 + static_cast<std::uint64_t>(std::countr_zero(bit));
                return page_offset(page) + (block << (6 + size_class));
            }
            free = before & ~bit;  // another took it
        }
    }
    return ArenaOffset::kNull;
}

// A block that was taken from a page which then turned out to be of another class, or changing.
void Blocks::put_back(std::uint32_t page, std::uint32_t index, std::uint64_t bits) noexcept {
    block_bits(page)[index].fetch_or(bits, std::memory_order_seq_cst);
    crash_point(CrashPoint::kBlocksPutBack);
    make_findable(page);
}

// A page that has free blocks, if it is one of blocks. It may be anything by now: a stale partial bit does no harm.
void Blocks::make_findable(std::uint32_t page) noexcept {
    // seq_cst, after the block's bit: either we see the class, or who gives it back to the page makes it findable
    // (stay_page_of_blocks)
    const PageOwner owner = owners_[page].load(std::memory_order_seq_cst);
    if (!is_page_of_blocks(owner)) return;
    partial_bits(class_of_page(owner))[page / 64].fetch_or(1ULL << (page % 64),
                                                           std::memory_order_seq_cst);  // as in release
}

std::uint32_t Blocks::adopt_partial_page(Slot::Source& source, std::uint32_t size_class) noexcept {
    AtomicWord* bits = partial_bits(size_class);
    for (std::uint64_t index = 0; index < words_; ++index) {
        std::uint64_t word = bits[index].load(std::memory_order_relaxed);  // relaxed: the fetch_and decides
        while (word != 0) {
            const std::uint64_t bit = word & (~word + 1);
            const auto page =
                static_cast<std::uint32_t>(index * 64 + static_cast<std::uint64_t>(std::countr_zero(bit)));
            if (page >= page_count_) return kNoPage;  // a damaged word: behind the last page
            // First, so that recovery gives the page back. Two may share a source. seq_cst: we name the page, and
            // then look whether it has the class; recovery looks who names it when it has none (I9).
            source.page.store(page + 1, std::memory_order_seq_cst);
            crash_point(CrashPoint::kSourceNamed);
            const std::uint64_t before =
                bits[index].fetch_and(~bit, std::memory_order_seq_cst);  // pairs: release()
            if ((before & bit) != 0) {
                crash_point(CrashPoint::kPageAdopted);
                if (owners_[page].load(std::memory_order_seq_cst) == page_of_class(size_class)) return page;
            }
            word = before & ~bit;  // another's, or no page of blocks of this class any more, or at the moment
        }
    }
    return kNoPage;
}

// Whether every block of the page is free. seq_cst: see release_page_if_empty
bool Blocks::is_empty_page(std::uint32_t page, std::uint32_t size_class) const noexcept {
    const AtomicWord* bits = block_bits(page);
    for (std::uint32_t index = 0; index < words_of(size_class); ++index) {
        if (bits[index].load(std::memory_order_seq_cst) != full_word(size_class)) return false;
    }
    return true;
}

// In this order: the journal, the page's class, a look at all of its bits, the journal, the bits. Whoever takes a
// block when the page is changing puts it back, so that from the look on no block of it is anybody's.
bool Blocks::release_page_if_empty(Slot& slot, std::uint32_t page, std::uint32_t size_class) noexcept {
    while (is_empty_page(page, size_class)) {  // a glance first: most often some block is in use
        const PageOwner ours = page_changing(slot_number_of(*mapping_, slot), size_class);
        slot.taking.store(taking_word(page, 1, Taking::kLooking), std::memory_order_release);  // pairs: free_taken
        crash_point(CrashPoint::kPageJournalled);
        PageOwner expected = page_of_class(size_class);
        // seq_cst: before the look below, as in take_block; and where it fails before our caller's bit was seen,
        // that one sees it, who looks again (stay_page_of_blocks). acquire: as release_empty_pages
        if (!owners_[page].compare_exchange_strong(expected, ours, std::memory_order_seq_cst,
                                                   std::memory_order_seq_cst)) {
            keep(slot);
            return false;
        }
        crash_point(CrashPoint::kPageLooking);
        if (is_empty_page(page, size_class)) {
            slot.taking.store(taking_word(page, 1, Taking::kUnowned), std::memory_order_release);  // as above
            crash_point(CrashPoint::kPageUnowned);
            if (take_all_blocks(page, size_class)) {
                crash_point(CrashPoint::kPageEmptied);
                // relaxed: a stale one does no harm
                partial_bits(size_class)[page / 64].fetch_and(~(1ULL << (page % 64)), std::memory_order_relaxed);
                free_run(slot, page, 1);
                return true;
            }
        }
        stay_page_of_blocks(page, size_class);
        keep(slot);
        crash_point(CrashPoint::kPageStays);
    }  // another turn: all of them are free again
    return false;
}

// True when all bits of the page are cleared; else none is, by us: somebody has taken a block, and puts it back.
bool Blocks::take_all_blocks(std::uint32_t page, std::uint32_t size_class) noexcept {
    AtomicWord* bits = block_bits(page);
    const std::uint64_t full = full_word(size_class);
    for (std::uint32_t taken = 0; taken < words_of(size_class); ++taken) {
        std::uint64_t expected = full;
        // acquire: what the last owners did with their blocks is done
        if (bits[taken].compare_exchange_strong(expected, 0, std::memory_order_acq_rel,
                                                std::memory_order_relaxed)) {
            crash_point(CrashPoint::kPageEmptying);
            continue;
        }
        // relaxed: published by the page's class. Nobody changes a word without bits.
        while (taken-- > 0) bits[taken].store(full, std::memory_order_relaxed);
        return false;
    }
    return true;
}

// A page that was changing. In this order: see put_back and release_page_if_empty.
void Blocks::stay_page_of_blocks(std::uint32_t page, std::uint32_t size_class) noexcept {
    owners_[page].store(page_of_class(size_class), std::memory_order_seq_cst);
    partial_bits(size_class)[page / 64].fetch_or(1ULL << (page % 64), std::memory_order_seq_cst);  // as in release
}

bool Blocks::is_source_of_others(std::uint32_t page, const Slot& slot) const noexcept {
    const Slot* slots = mapping_->at<Slot>(kSlotsAt);
    // seq_cst: as in adopt_partial_page, and Slots::take_over, which raises it before
    const std::uint32_t end = std::min({header_->slots_high_water.load(std::memory_order_seq_cst),
                                        header_->slots_real.load(std::memory_order_relaxed), kSlots});
    for (const Slot* other = slots; other != slots + end; ++other) {
        if (other == &slot) continue;
        for (const Slot::Source& source : other->sources) {
            if (source.page.load(std::memory_order_seq_cst) == page + 1) return true;
        }
    }
    return false;
}

// The page is changing by the slot, and no block of it is anybody's; but a thread may be about to put one back.
// True when it is free now, else it is left.
bool Blocks::release_unowned_page(Slot& slot, std::uint32_t page) noexcept {
    if (is_source_of_others(page, slot)) {
        // seq_cst, before another look: who names it no more has seen by then that it is left, or is seen here.
        // release: pairs with release_left_page
        owners_[page].store(kLeftPage, std::memory_order_seq_cst);
        crash_point(CrashPoint::kPageLeft);
        keep(slot);
        return release_left_page(slot, page);
    }
    // relaxed: nobody is at them (I9); published with the page
    for (std::uint32_t index = 0; index < kWordsAPage; ++index)
        block_bits(page)[index].store(0, std::memory_order_relaxed);
    crash_point(CrashPoint::kPageCleared);
    free_run(slot, page, 1);
    return true;
}

bool Blocks::release_left_page(Slot& slot, std::uint32_t page) noexcept {
    if (is_source_of_others(page, slot)) return false;
    slot.taking.store(taking_word(page, 1, Taking::kUnowned), std::memory_order_release);  // pairs with free_taken
    PageOwner expected = kLeftPage;
    // acquire: as release_empty_pages; fails when another was quicker
    if (!owners_[page].compare_exchange_strong(expected, page_changing(slot_number_of(*mapping_, slot), 0),
                                               std::memory_order_acquire, std::memory_order_relaxed)) {
        keep(slot);
        return false;
    }
    return release_unowned_page(slot, page);
}

// For who names the page no more, or has nothing under way there.
void Blocks::release_if_left(Slot& slot, std::uint32_t page) noexcept {
    // seq_cst: see release_unowned_page
    if (owners_[page].load(std::memory_order_seq_cst) == kLeftPage) {
        static_cast<void>(release_left_page(slot, page));
    }
}

bool Blocks::release_empty_pages(Slot& slot) noexcept {
    bool any = false;
    for (std::uint32_t page = 0; page < page_count_; ++page) {
        const PageOwner owner = owners_[page].load(std::memory_order_acquire);  // pairs with carve_page
        if (is_page_of_blocks(owner)) any |= release_page_if_empty(slot, page, class_of_page(owner));
        if (owner == kLeftPage) any |= release_left_page(slot, page);
    }
    return any;
}

void Blocks::give_back_sources(Slot& slot) noexcept {
    for (std::uint32_t size_class = 0; size_class < kSizeClasses; ++size_class) {
        slot.sources[size_class].word = 0;  // the next owner has taken nothing yet
        Atomic<std::uint32_t>& source = slot.sources[size_class].page;
        const std::uint32_t page =
            source.load(std::memory_order_relaxed);  // relaxed: ours, by ownership or byte lock
        if (page == 0 || page > page_count_) continue;
        // acquire: pairs with carve_page. A stale partial bit does no harm; set first, a crash leaves it set.
        if (owners_[page - 1].load(std::memory_order_acquire) == page_of_class(size_class)) {
            partial_bits(size_class)[(page - 1) / 64].fetch_or(1ULL << ((page - 1) % 64),
                                                               std::memory_order_seq_cst);
        }
        crash_point(CrashPoint::kSourceFindable);
        source.store(0, std::memory_order_seq_cst);  // before the look of release_if_left
        crash_point(CrashPoint::kSourceForgotten);
        static_cast<void>(release_page_if_empty(slot, page - 1, size_class));
        release_if_left(slot, page - 1);
    }
}

int Blocks::reserve(std::uint64_t bytes) noexcept {
    const std::uint64_t pages = std::min(round_up(bytes, kPageBytes) / kPageBytes, page_count_);
    const std::uint64_t at_top = pages / 16;  // where small blocks come from
    for (std::uint64_t count = 0; count < pages; ++count) {
        const std::uint64_t page = count < pages - at_top ? count : page_count_ - 1 - (pages - 1 - count);
        if ((used_[page / 64].load(std::memory_order_relaxed) >> (page % 64) & 1) != 0)
            continue;  // relaxed: ours alone
        if (const int cause = make_pages_real(static_cast<std::uint32_t>(page), 1)) return cause;
    }
    return 0;
}

std::uint64_t Blocks::used_pages() const noexcept {
    std::uint64_t used = 0;
    for (std::uint64_t index = 0; index < words_; ++index) {
        // relaxed: a count of one moment
        used += static_cast<std::uint64_t>(std::popcount(used_[index].load(std::memory_order_relaxed)));
    }
    return used;
}

Blocks::Usage Blocks::usage() const noexcept {
    // The tables before the block bits are real from the start, but for slots that were never in use.
    const std::uint64_t slots = std::min(header_->slots_real.load(std::memory_order_relaxed), kSlots);  // as below
    const std::uint64_t tables = block_bits_at_ - kSlotTableBytes + slots * sizeof(Slot);
    Usage usage{tables, tables};
    for (std::uint64_t index = 0; index < words_; ++index) {
        const std::uint64_t word = real_[index].load(std::memory_order_relaxed);  // relaxed: a count of one moment
        usage.real_bytes += static_cast<std::uint64_t>(std::popcount(word)) * kPageBytes;
    }
    for (std::uint64_t index = 0; index < (page_count_ / kPiecePages + 63) / 64; ++index) {
        const std::uint64_t word = tables_[index].load(std::memory_order_relaxed);  // relaxed: as above
        usage.real_bytes += static_cast<std::uint64_t>(std::popcount(word)) * kBlockBitsBytes;
    }
    for (std::uint64_t page = 0; page < page_count_; ++page) {
        if ((used_[page / 64].load(std::memory_order_relaxed) >> (page % 64) & 1) == 0)
            continue;  // relaxed: as above
        usage.used_bytes += kPageBytes;
        const PageOwner owner = owners_[page].load(std::memory_order_relaxed);  // relaxed: as above
        if (!is_page_of_blocks(owner)) continue;
        for (std::uint32_t index = 0; index < words_of(class_of_page(owner)); ++index) {
            const auto free = std::popcount(block_bits(static_cast<std::uint32_t>(page))[index].load(
                std::memory_order_relaxed));  // relaxed: as above
            usage.used_bytes -= static_cast<std::uint64_t>(free) * (kSmallestBlockBytes << class_of_page(owner));
        }
    }
    return usage;
}

}  // namespace shoal
