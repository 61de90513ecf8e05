#include "arena/blocks.hpp"

#include <algorithm>
#include <bit>

#include "arena/bytes.hpp"
#include "arena/crash_point.hpp"
#include "arena/plan.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kCallsAFilling = 64;  // of the spillers, while all pages are taken once

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

constexpr std::uint64_t bit_mask(std::uint64_t count) noexcept { return count >= 64 ? ~0ULL : (1ULL << count) - 1; }

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
    const Allocation fresh = allocate_journalled(slot, bytes);
    if (bytes > kLargestBlockBytes && !is_null(fresh.offset)) keep(slot);
    return fresh;
}

Allocation Blocks::allocate_journalled(Slot& slot, std::uint64_t bytes) noexcept {
    return bytes <= kLargestBlockBytes ? allocate_small(slot, class_of(bytes)) : allocate_run(slot, bytes);
}

Allocation Blocks::allocate_run(Slot& slot, std::uint64_t bytes) noexcept {
    const std::uint64_t pages = round_up(bytes, kPageBytes) / kPageBytes;
    const std::uint32_t first = pages <= 64 ? take_run_in_word(slot, pages) : take_run_across_words(slot, pages);
    const Allocation fresh = make_ready(slot, first, pages);
    if (is_null(fresh.offset)) return fresh;
    // relaxed: who reaches the run does so by an object that was released later
    for (std::uint64_t page = first; page < first + pages; ++page)
        owners_[page].store(kPageInRun, std::memory_order_relaxed);
    return fresh;
}

// Before anybody else can reach them: recovery gives the pages back until then. release: pairs with give_back_taken
void Blocks::keep(Slot& slot) noexcept { slot.taking.store(0, std::memory_order_release); }

ArenaOffset Blocks::taken(const Slot& slot) const noexcept {
    const std::uint64_t taking = slot.taking.load(std::memory_order_acquire);  // pairs with take_pages
    if ((taking & kAllTaken) == 0 || first_taken(taking) >= page_count_) return ArenaOffset::kNull;
    return page_offset(static_cast<std::uint32_t>(first_taken(taking)));
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
    // release: pairs with release_empty_pages
    owners_[page].store(page_of_class(size_class), std::memory_order_release);
    crash_point(CrashPoint::kPageHasClass);
    keep(slot);  // before a block of it can be another's
    AtomicWord* bits = block_bits(page);
    for (std::uint32_t word = kWordsAPage; word-- > 0;) {  // downwards: whole only after the last store
        // release: pairs with the acquire in take_block: who sees a free block sees the page's class
        bits[word].store(word < words_of(size_class) ? full_word(size_class) : 0, std::memory_order_release);
        crash_point(CrashPoint::kPageCarving);
    }
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
            // acquire: pairs with the release of the block's last owner, and of the page's class
            const std::uint64_t before = bits[index].fetch_and(~bit, std::memory_order_acq_rel);
            if ((before & bit) != 0) {
                // relaxed: holding a block of the page keeps its class (I3)
                if (owners_[page].load(std::memory_order_relaxed) != page_of_class(size_class)) {
                    put_back(page, index, bit);  // the page changed hands: not ours to use
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

// Blocks that were taken from a page which then turned out to be of another class, or not empty.
void Blocks::put_back(std::uint32_t page, std::uint32_t index, std::uint64_t bits) noexcept {
    const PageOwner owner = owners_[page].load(std::memory_order_relaxed);  // relaxed: ours pin it (I3)
    block_bits(page)[index].fetch_or(bits, std::memory_order_seq_cst);
    crash_point(CrashPoint::kBlocksPutBack);
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
            // First, so that recovery gives the page back; relaxed: it holds our lock then. Two may share a source.
            source.page.store(page + 1, std::memory_order_relaxed);
            crash_point(CrashPoint::kSourceNamed);
            const std::uint64_t before =
                bits[index].fetch_and(~bit, std::memory_order_seq_cst);  // pairs: release()
            if ((before & bit) != 0) {
                crash_point(CrashPoint::kPageAdopted);
                return page;
            }
            word = before & ~bit;
        }
    }
    return kNoPage;
}

bool Blocks::release_page_if_empty(Slot& slot, std::uint32_t page, std::uint32_t size_class) noexcept {
    AtomicWord* bits = block_bits(page);
    const std::uint32_t words = words_of(size_class);
    const std::uint64_t full = full_word(size_class);
    for (std::uint32_t index = 0; index < words; ++index) {  // a glance first: most often some block is in use
        if (bits[index].load(std::memory_order_relaxed) != full)
            return false;  // relaxed: the exchanges below decide
    }
    std::uint32_t taken = 0;
    for (; taken < words; ++taken) {
        std::uint64_t expected = full;
        // acquire: what the last owners did with their blocks is done; fails when somebody allocates here
        if (!bits[taken].compare_exchange_strong(expected, 0, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed)) {
            break;
        }
        crash_point(CrashPoint::kPageEmptying);
    }
    if (taken < words || owners_[page].load(std::memory_order_relaxed) != page_of_class(size_class)) {
        for (std::uint32_t index = 0; index < taken; ++index) put_back(page, index, full);
        return false;
    }
    // Every block is ours, hence the page (I3).
    crash_point(CrashPoint::kPageEmptied);
    partial_bits(size_class)[page / 64].fetch_and(~(1ULL << (page % 64)), std::memory_order_relaxed);
    free_run(slot, page, 1);
    return true;
}

bool Blocks::release_empty_pages(Slot& slot) noexcept {
    bool any = false;
    for (std::uint32_t page = 0; page < page_count_; ++page) {
        const PageOwner owner = owners_[page].load(std::memory_order_acquire);  // pairs with carve_page
        if (is_page_of_blocks(owner)) any |= release_page_if_empty(slot, page, class_of_page(owner));
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
        source.store(0, std::memory_order_relaxed);  // relaxed: as above
        crash_point(CrashPoint::kSourceForgotten);
        static_cast<void>(release_page_if_empty(slot, page - 1, size_class));
    }
}

// Pages that take_pages() has just given the slot, made ready for use; they stay in its journal. That takes long.
Allocation Blocks::make_ready(Slot& slot, std::uint32_t first, std::uint64_t pages) noexcept {
    if (first == kNoPage) return {ArenaOffset::kNull, AllocationStatus::kLimit};
    // relaxed: a count, and a rough one
    if (pages_taken_ && header_->pages_since_call.fetch_add(pages, std::memory_order_relaxed) + pages >=
                            page_count_ / kCallsAFilling) {
        header_->pages_since_call.store(0, std::memory_order_relaxed);
        pages_taken_();
    }
    if (make_pages_real(first, pages) != 0) {
        give_back_taken(slot);
        return {ArenaOffset::kNull, AllocationStatus::kNoSpace};
    }
    crash_point(CrashPoint::kPagesReal);
    map_ahead(first, pages);
    return {page_offset(first)};
}

void Blocks::free_taken(Slot& dead) noexcept { give_back_taken(dead); }

// One read a page maps the 16 kernel pages around it, writable, for a tenth of what their write faults would cost.
// What the word holds does not matter, so neither does it that its owner may be writing it.
SHOAL_RACES_ON_PURPOSE void Blocks::map_ahead(std::uint32_t first, std::uint64_t pages) const noexcept {
    for (std::uint64_t page = first; page < first + pages; ++page) {
        static_cast<void>(*static_cast<const volatile std::uint64_t*>(
            mapping_->at<std::uint64_t>(page_offset(static_cast<std::uint32_t>(page)))));
    }
}

std::uint32_t Blocks::take_page_at_top(Slot& slot) noexcept {
    const std::uint64_t hint =
        std::min(header_->top_hint.load(std::memory_order_relaxed), words_ - 1);  // relaxed: a
    for (int pass = 0; pass < 2; ++pass) {                                        // hint
        for (std::uint64_t index = pass == 0 ? hint : words_ - 1;; --index) {
            std::uint64_t word = used_[index].load(std::memory_order_relaxed);  // relaxed: take_pages decides
            const std::uint64_t exists = bit_mask(page_count_ - index * 64);
            while ((word & exists) != exists) {
                const auto shift = static_cast<std::uint64_t>(63 - std::countl_zero(~word & exists));
                if (take_pages(slot, index * 64 + shift, 1) == 1) {
                    if (index < hint) {
                        std::uint64_t expected = hint;  // relaxed: a hint; raise_hints raises it again
                        header_->top_hint.compare_exchange_strong(expected, index, std::memory_order_relaxed,
                                                                  std::memory_order_relaxed);
                    }
                    return static_cast<std::uint32_t>(index * 64 + shift);
                }
                word |= 1ULL << shift;  // another's by now, or on its way to or from another
            }
            if (index == 0) break;
        }
    }
    return kNoPage;
}

std::uint32_t Blocks::take_run_in_word(Slot& slot, std::uint64_t pages) noexcept {
    const std::uint64_t hint = header_->page_hint.load(std::memory_order_relaxed);  // relaxed: a hint
    for (int pass = 0; pass < 2; ++pass) {
        for (std::uint64_t index = pass == 0 ? hint : 0; index < (pass == 0 ? words_ : std::min(hint, words_));
             ++index) {
            std::uint64_t word = used_[index].load(std::memory_order_relaxed);  // relaxed: take_pages decides
            while (word != ~0ULL) {
                std::uint64_t starts = ~word;  // bits at which a run of `pages` zeroes begins
                for (std::uint64_t length = 1; length < pages && starts != 0;) {
                    const std::uint64_t step = std::min(length, pages - length);
                    starts &= starts >> step;
                    length += step;
                }
                if (starts == 0) break;
                const auto shift = static_cast<std::uint64_t>(std::countr_zero(starts));
                if (index * 64 + shift + pages > page_count_) break;
                const std::uint64_t taken = take_pages(slot, index * 64 + shift, pages);
                if (taken == pages) {
                    if (pages == 1 && (word | 1ULL << shift) == ~0ULL && index == hint) {
                        std::uint64_t expected = hint;  // relaxed: a hint; raise_hints lowers it again
                        header_->page_hint.compare_exchange_strong(expected, index + 1, std::memory_order_relaxed,
                                                                   std::memory_order_relaxed);
                    }
                    return static_cast<std::uint32_t>(index * 64 + shift);
                }
                word |= 1ULL << (shift + taken);  // another's by now, or on its way to or from another
            }
        }
        if (hint == 0) break;
    }
    return kNoPage;
}

std::uint32_t Blocks::take_run_across_words(Slot& slot, std::uint64_t pages) noexcept {
    std::uint64_t run = 0;  // free pages, seen in a row
    for (std::uint64_t page = 0; page < page_count_; ++page) {
        const bool used = (used_[page / 64].load(std::memory_order_relaxed) >> (page % 64) & 1) != 0;
        run = used ? 0 : run + 1;  // relaxed above: take_pages decides
        if (run < pages) continue;
        const std::uint64_t first = page + 1 - pages;
        const std::uint64_t taken = take_pages(slot, first, pages);
        if (taken == pages) return static_cast<std::uint32_t>(first);
        page = first + taken;  // another's by now: go on behind it
        run = 0;
    }
    return kNoPage;
}

// All of [first, first + pages), or none: how many could be had before the first that could not. Each is the slot's
// by one exchange of its owner word, which names the slot; the journal is written first.
std::uint64_t Blocks::take_pages(Slot& slot, std::uint64_t first, std::uint64_t pages) noexcept {
    const PageOwner ours = in_transit(slot);
    slot.taking.store(taking_word(first, pages), std::memory_order_release);  // release: pairs with give_back_taken
    crash_point(CrashPoint::kRunNamed);
    for (std::uint64_t page = first; page < first + pages; ++page) {
        PageOwner expected = kPageFree;
        // acquire: pairs with give_back_taken's release; fails when the page is another's
        if (!owners_[page].compare_exchange_strong(expected, ours, std::memory_order_acquire,
                                                   std::memory_order_relaxed)) {
            give_back_taken(slot);
            return page - first;
        }
        crash_point(CrashPoint::kRunPartlyTaken);
    }
    for (std::uint64_t page = first; page < first + pages;) {
        const std::uint64_t count = std::min<std::uint64_t>(first + pages - page, 64 - page % 64);
        // relaxed: says where to look, and no more; so everywhere (I1)
        used_[page / 64].fetch_or(bit_mask(count) << (page % 64), std::memory_order_relaxed);
        page += count;
    }
    slot.taking.store(taking_word(first, pages) | kAllTaken, std::memory_order_release);  // as above
    crash_point(CrashPoint::kPagesTaken);
    return pages;
}

// The pages are the slot's, and zero.
void Blocks::free_run(Slot& slot, std::uint32_t first, std::uint64_t pages) noexcept {
    slot.taking.store(taking_word(first, pages) | kAllTaken, std::memory_order_release);  // as in take_pages
    crash_point(CrashPoint::kRunGivenUp);
    give_back_taken(slot);
}

// What stands in the slot's journal becomes free, and the journal empty. May be broken off anywhere by a death and
// begun anew by the process that recovers the slot: once a page is free, it is no more in the slot's transit.
void Blocks::give_back_taken(Slot& slot) noexcept {
    const std::uint64_t taking = slot.taking.load(std::memory_order_acquire);  // pairs with take_pages
    const std::uint64_t first = first_taken(taking);
    const std::uint64_t pages = count_taken(taking);
    if (pages == 0 || first >= page_count_ || pages > page_count_ - first) {
        slot.taking.store(0, std::memory_order_release);  // as below
        return;
    }
    const PageOwner ours = in_transit(slot);
    if ((taking & kAllTaken) != 0) {
        // relaxed: nobody else writes them (I1)
        for (std::uint64_t page = first; page < first + pages; ++page) {
            owners_[page].store(ours, std::memory_order_relaxed);
            crash_point(CrashPoint::kPageGivenUp);
        }
        // release: recovery sees all of them in transit, or that they are all the slot's
        slot.taking.store(taking_word(first, pages), std::memory_order_release);
    }
    for (std::uint64_t page = first; page < first + pages; ++page) {
        if (owners_[page].load(std::memory_order_relaxed) != ours) continue;  // relaxed: ours, or never ours (I8)
        used_[page / 64].fetch_and(~(1ULL << (page % 64)), std::memory_order_relaxed);  // first; as in take_pages
        crash_point(CrashPoint::kPageUnused);
        owners_[page].store(kPageFree, std::memory_order_release);  // pairs with the acquire in take_pages
        crash_point(CrashPoint::kRunPartlyFreed);
    }
    raise_hints(first, pages);
    slot.taking.store(0, std::memory_order_release);  // pairs with free_taken's acquire
}

// Pages became free there: searches begin at them or before.
void Blocks::raise_hints(std::uint64_t first, std::uint64_t pages) noexcept {
    std::uint64_t hint = header_->page_hint.load(std::memory_order_relaxed);  // relaxed: a hint
    while (hint > first / 64 && !header_->page_hint.compare_exchange_weak(
                                    hint, first / 64, std::memory_order_relaxed, std::memory_order_relaxed)) {
    }  // a failed turn: another moved the hint
    const std::uint64_t last = (first + pages - 1) / 64;
    hint = header_->top_hint.load(std::memory_order_relaxed);  // relaxed: a hint
    while (hint < last && !header_->top_hint.compare_exchange_weak(hint, last, std::memory_order_relaxed,
                                                                   std::memory_order_relaxed)) {
    }  // a failed turn: another moved the hint
}

// The pages are ours, and their real bits with them (I1): nobody else writes there meanwhile.
int Blocks::make_pages_real(std::uint32_t first, std::uint64_t pages) noexcept {
    for (std::uint64_t piece = first / kPiecePages; piece <= (first + pages - 1) / kPiecePages; ++piece) {
        const std::uint64_t bit = 1ULL << (piece % 64);
        // acquire: pairs with the release below: the allocation is done
        if ((tables_[piece / 64].load(std::memory_order_acquire) & bit) != 0) continue;
        const std::uint64_t at = block_bits_at_ + piece * kBlockBitsBytes;
        if (const int cause = mapping_->allocate(at, kBlockBitsBytes)) return cause;
        crash_point(CrashPoint::kBlockBitsReal);
        tables_[piece / 64].fetch_or(bit, std::memory_order_release);
    }
    const auto is_real = [&](std::uint64_t page) {  // relaxed: ours, as the page
        return (real_[page / 64].load(std::memory_order_relaxed) >> (page % 64) & 1) != 0;
    };
    for (std::uint64_t page = first; page < first + pages;) {
        std::uint64_t end = page;
        while (end < first + pages && !is_real(end)) ++end;
        if (end > page) {
            const std::uint64_t offset = raw(page_offset(static_cast<std::uint32_t>(page)));
            if (const int cause = mapping_->write_zeroes(offset, (end - page) * kPageBytes)) return cause;
        }
        crash_point(CrashPoint::kPagesZeroed);
        for (; page < end; ++page)
            real_[page / 64].fetch_or(1ULL << (page % 64), std::memory_order_relaxed);  // as above
        while (page < first + pages && is_real(page)) ++page;
    }
    return 0;
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
