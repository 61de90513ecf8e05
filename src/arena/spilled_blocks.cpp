#include "arena/spilled_blocks.hpp"

#include "arena/crash_point.hpp"
#include "arena/location.hpp"

namespace shoal {
namespace {

// `journal` has no entries and nobody names it. False: there is a spare one.
bool make_spare(const Mapping& mapping, ArenaOffset journal) noexcept {
    std::uint64_t expected = 0;
    // release: pairs with take_spare_journal; a failed try: another has given one
    return mapping.header().spare_journal.compare_exchange_strong(expected, raw(journal), std::memory_order_release,
                                                                  std::memory_order_relaxed);
}

}  // namespace

Atomic<std::uint64_t>& link_to_journal(const Mapping& mapping, Slot& slot, ArenaOffset journal) noexcept {
    Atomic<std::uint64_t>* link = &slot.spilling;
    for (std::uint64_t left = kMostJournals; left != 0; --left) {
        const std::uint64_t named = link->load(std::memory_order_relaxed);  // relaxed: the caller's own words
        if (named == raw(journal) || named == 0) break;
        link = &mapping.at<SpilledBlocks>(named)->next_of_slot;
    }
    return *link;
}

void name_journal(const Mapping& mapping, Slot& slot, ArenaOffset journal) noexcept {
    // relaxed: published by the next
    mapping.at<SpilledBlocks>(journal)->next_of_slot.store(slot.spilling.load(std::memory_order_relaxed),
                                                           std::memory_order_relaxed);
    slot.spilling.store(raw(journal), std::memory_order_release);  // pairs with finish_spilling
}

void forget_journal(const Mapping& mapping, Slot& slot, ArenaOffset journal) noexcept {
    // relaxed: the caller's own word
    const std::uint64_t next = mapping.at<SpilledBlocks>(journal)->next_of_slot.load(std::memory_order_relaxed);
    link_to_journal(mapping, slot, journal).store(next, std::memory_order_release);  // pairs with finish_spilling
}

ArenaOffset allocate_journal(const Mapping& mapping, Blocks& blocks, Slot& slot, std::uint64_t bytes) noexcept {
    const Allocation place = blocks.allocate(slot, bytes);  // zero, as the allocator gives it
    if (!is_null(place.offset)) mapping.at<SpilledBlocks>(place.offset)->bytes = bytes;
    return place.offset;
}

ArenaOffset take_spare_journal(const Mapping& mapping) noexcept {
    // acquire: pairs with make_spare
    return static_cast<ArenaOffset>(mapping.header().spare_journal.exchange(0, std::memory_order_acquire));
}

void renew_spare_journal(const Mapping& mapping, Blocks& blocks, Slot& slot) noexcept {
    // relaxed: make_spare decides
    if (mapping.header().spare_journal.load(std::memory_order_relaxed) != 0) return;
    const ArenaOffset fresh = allocate_journal(mapping, blocks, slot, kSpareJournalBytes);
    if (!is_null(fresh) && !make_spare(mapping, fresh))
        blocks.release(slot, fresh, kSpareJournalBytes, kSpareJournalBytes);
}

void empty_spilled_blocks(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    SpilledBlocks& retired = *mapping.at<SpilledBlocks>(offset);
    const std::uint64_t count = retired.entries_now();
    for (std::uint64_t at = 0; at < count; ++at) {
        const SpilledBlocks::Entry entry = retired.entries[at];
        if (entry.block == 0) continue;
        if (is_stored(entry.block)) {
            // relaxed: whoever could mark it has left. The mark is bit 63
            // (kCheckpointedBit).
            const std::uint64_t spill =
                mapping.at<AtomicWord>(entry.segment + kDescriptorSpillAt)->load(std::memory_order_relaxed);
            retired.entries[at].block = 0;  // first, as below
            crash_point(CrashPoint::kMergedForgotten);
            if (entry.units != 0) blocks.release_stored(slot, entry.block, entry.units, spill >> 63 != 0);
            blocks.release(slot, static_cast<ArenaOffset>(entry.segment), kDescriptorBytes, kDescriptorBytes);
            continue;
        }
        const auto block = static_cast<ArenaOffset>(entry.block);
        const std::uint64_t bytes = entry.units * std::uint64_t{8};
        blocks.give_up(mapping.offset_of(&retired.entries[at].block), slot, block, bytes);
        retired.entries[at].block = 0;  // first: a crash can leak a block, no run, but not free it twice
        crash_point(CrashPoint::kSpilledBlockForgotten);
        blocks.release(slot, block, bytes, entry.written * std::uint64_t{8});
    }
}

void free_spilled_blocks(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    SpilledBlocks& journal = *mapping.at<SpilledBlocks>(offset);
    const std::uint64_t bytes = std::min<std::uint64_t>(snapshot(journal.bytes), sizeof(SpilledBlocks));
    // relaxed, all: nobody else can reach it; make_spare publishes it
    if (bytes == kSpareJournalBytes && mapping.header().spare_journal.load(std::memory_order_relaxed) == 0) {
        journal.next_retired.store(0, std::memory_order_relaxed);
        journal.count.store(0, std::memory_order_relaxed);
        journal.published_in.store(0, std::memory_order_relaxed);
        journal.next_of_slot.store(0, std::memory_order_relaxed);
        if (make_spare(mapping, offset)) return;
    }
    blocks.release(slot, offset, bytes, bytes);  // batches before the last may have had more entries
}

}  // namespace shoal
