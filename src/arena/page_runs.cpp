// Runs of pages: taken, made real, given back, and what a dead thread left of that. Small blocks take their pages
// here one at a time.
//
// A page belongs to the slot that exchanged its owner word (arena/page_owner.hpp). The slot's journal,
// Slot::taking, covers it from before that exchange until an object names the run or the page has its class, and
// again from before it is given back until it is free.
//
// Thread safety: every function, from any process. Lock-free: a failed turn means that another took the page.
// After a crash: the process that recovers the slot gives back what stands in its journal (free_taken).
// Invariants: I1, I5 and I8 of arena/blocks.hpp.
#include <algorithm>
#include <bit>

#include "arena/blocks.hpp"
#include "arena/bytes.hpp"
#include "arena/crash_point.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kCallsAFilling = 64;  // of the spillers, while all pages are taken once

}  // namespace

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

Allocation Blocks::allocate_for(std::uint64_t name, Slot& slot, std::uint64_t bytes) noexcept {
    if (bytes <= kLargestBlockBytes) return allocate(slot, bytes);
    const Allocation fresh = allocate_run(slot, bytes);
    if (!is_null(fresh.offset)) {
        journal_named(slot, name, page_of(fresh.offset), round_up(bytes, kPageBytes) / kPageBytes);
    }
    return fresh;
}

// release: pairs with free_taken. The next pages of the slot may stand there then.
void Blocks::keep(Slot& slot) noexcept { slot.taking.store(0, std::memory_order_release); }

void Blocks::give_up(std::uint64_t name, Slot& slot, ArenaOffset offset, std::uint64_t bytes) noexcept {
    if (bytes <= kLargestBlockBytes || !is_block(offset, bytes)) return;
    journal_named(slot, name, page_of(offset), round_up(bytes, kPageBytes) / kPageBytes);
    crash_point(CrashPoint::kRunStillNamed);
}

void Blocks::journal_named(Slot& slot, std::uint64_t name, std::uint64_t first, std::uint64_t pages) noexcept {
    slot.named_by.store(name, std::memory_order_relaxed);  // relaxed: published by the next
    // release: pairs with free_taken. The owner words stay what they are, so that the object can go on naming the
    // run.
    slot.taking.store(taking_word(first, pages, Taking::kNamed), std::memory_order_release);
}

// Whether the object names the run in the dead slot's journal. A word that is no word of the arena counts as naming
// it: a run is leaked rather than freed under a reader.
bool Blocks::is_named(const Slot& dead, ArenaOffset run) const noexcept {
    const std::uint64_t name = dead.named_by.load(std::memory_order_relaxed);  // relaxed: by `taking`
    if (name % sizeof(AtomicWord) != 0 || !mapping_->holds(name, sizeof(AtomicWord))) return true;
    // relaxed: the object is in the dead slot's hands, hence in ours
    return (mapping_->at<AtomicWord>(name)->load(std::memory_order_relaxed) & kNamingBits) == raw(run);
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

void Blocks::free_taken(Slot& dead) noexcept {
    const std::uint64_t taking = dead.taking.load(std::memory_order_acquire);  // pairs with the store of each
    const std::uint64_t pages = count_taken(taking);
    if (pages == 0 || first_taken(taking) >= page_count_ || pages > page_count_ - first_taken(taking)) {
        keep(dead);  // none, or a damaged word
        return;
    }
    const auto first = static_cast<std::uint32_t>(first_taken(taking));
    switch (what_is_taken(taking)) {
        case Taking::kSome:
        case Taking::kAll:
            give_back_taken(dead);
            return;
        case Taking::kNamed:
            if (is_named(dead, page_offset(first))) break;  // it goes with the object
            zero_bytes(mapping_->at<std::byte>(page_offset(first)), pages * kPageBytes);
            crash_point(CrashPoint::kDeadRunZeroed);
            free_run(dead, first, pages);
            return;
        case Taking::kLooking:
            if (is_changing_by_slot(first, dead)) {
                // relaxed: the dead slot's, hence ours
                const std::uint32_t size_class = class_of_changing(owners_[first].load(std::memory_order_relaxed));
                stay_page_of_blocks(first, size_class);
                crash_point(CrashPoint::kDeadPageStays);
                // Else others have taken blocks of it since, and it is theirs to give back.
                if (release_page_if_empty(dead, first, size_class)) return;
                break;
            }
            make_findable(first);
            break;
        case Taking::kUnowned:
            if (is_changing_by_slot(first, dead)) {
                static_cast<void>(release_unowned_page(dead, first));
                return;
            }
            make_findable(first);
            break;
    }
    keep(dead);
}

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
    // release: pairs with free_taken
    slot.taking.store(taking_word(first, pages, Taking::kSome), std::memory_order_release);
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
    slot.taking.store(taking_word(first, pages, Taking::kAll), std::memory_order_release);  // as above
    crash_point(CrashPoint::kPagesTaken);
    return pages;
}

// The pages are the slot's, and zero.
void Blocks::free_run(Slot& slot, std::uint32_t first, std::uint64_t pages) noexcept {
    slot.taking.store(taking_word(first, pages, Taking::kAll), std::memory_order_release);  // as in take_pages
    crash_point(CrashPoint::kRunGivenUp);
    give_back_taken(slot);
}

// What stands in the slot's journal becomes free, and the journal empty. May be broken off anywhere by a death and
// begun anew by the process that recovers the slot: once a page is free, it is no more in the slot's transit.
void Blocks::give_back_taken(Slot& slot) noexcept {
    // relaxed: our own slot's word, or free_taken has acquired it; which has seen that there are such pages
    const std::uint64_t taking = slot.taking.load(std::memory_order_relaxed);
    const std::uint64_t first = first_taken(taking);
    const std::uint64_t pages = std::min(count_taken(taking), page_count_ - std::min(first, page_count_));
    const PageOwner ours = in_transit(slot);
    if (what_is_taken(taking) == Taking::kAll) {
        // relaxed: nobody else writes them (I1)
        for (std::uint64_t page = first; page < first + pages; ++page) {
            owners_[page].store(ours, std::memory_order_relaxed);
            crash_point(CrashPoint::kPageGivenUp);
        }
        // release: recovery sees all of them in transit, or that they are all the slot's
        slot.taking.store(taking_word(first, pages, Taking::kSome), std::memory_order_release);
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

}  // namespace shoal
