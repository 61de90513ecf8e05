// A batch's journal: the blocks that it empties. Slot::spilling names the first of its spiller's journals, and each
// names the next: as many as there are batches under way. First which segments it has in hand; then, once
// their bytes are in a file, what to free when the last reader is gone. The spiller frees that itself, when the
// epoch has moved on by two, and has its journal back: so that it needs no memory to make room. A dead one's
// becomes a retired object of arena/epoch.hpp, and that of one that rests before it could free it. Who comes when
// memory is full already begins with the arena's spare journal.
//
// Thread safety: the batch's spiller alone, then whoever recovers its slot, then the reclaimer. Anybody may take or
// give the spare one.
// A crash leaves a journal: recovery/finish.cpp lets go of what is not spilled and retires the rest.
// Invariants: I1 an entry is written after its segment is in hand, and before the segment's block changes;
//                those of a run that is merged before the merged segment is linked;
//             I2 one that is published, or retired, names only blocks that their segments no longer name, each
//             once; I3 it is published before its spiller leaves the epoch in which it took the segments.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arena/atomic.hpp"
#include "arena/blocks.hpp"
#include "arena/snapshot.hpp"

namespace shoal {

struct SpilledBlocks {
    struct Entry {
        std::uint64_t segment;  // offset of the descriptor
        std::uint64_t block;    // offset of its bytes; 0: nothing to free
        std::uint32_t units;    // of the block, 8 B each; a record of over 32 GiB is not spilled
        std::uint32_t written;  // of those, from the first on: not zero
    };
    // Of a run that is merged (chain/merge.hpp): first an entry with kMerged in
    // `written`, whose `block` is the merged descriptor that is to follow
    // `segment`; then one for each segment of the run, with its place in a file
    // as `block`, and in `units` the live bytes that go with it, 0 where its
    // neighbour in the extent has them.
    static constexpr std::uint32_t kMerged = ~0U;

    Atomic<std::uint64_t> next_retired;  // link of arena/epoch
    Atomic<std::uint64_t> count;         // of entries; release: what they say is seen by whoever recovers
    Atomic<std::uint64_t> published_in;  // epoch after which no segment names its blocks; 0: some still do
    Atomic<std::uint64_t> next_of_slot;  // offset of another journal of the same spiller, 0 for none; its owner's
    std::uint64_t bytes;                 // of this block: fewer entries fit where memory is short
    std::array<Entry, kSpilledBlocksEntries> entries;

    [[nodiscard]] static constexpr std::uint64_t bytes_for(std::uint64_t count) noexcept {
        return offsetof(SpilledBlocks, entries) + count * sizeof(Entry);
    }
    // How many entries it has, and how many room: never more than there are, whatever stands here.
    [[nodiscard]] std::uint64_t entries_now() const noexcept {  // acquire: pairs with the release of count
        return std::min(count.load(std::memory_order_acquire), capacity());
    }
    [[nodiscard]] std::uint64_t capacity() const noexcept {
        const std::uint64_t all = std::min<std::uint64_t>(snapshot(bytes), sizeof(SpilledBlocks));
        return (all - std::min(all, offsetof(SpilledBlocks, entries))) / sizeof(Entry);
    }
};

// Of a segment's descriptor, as segment/layout.hpp has it.
inline constexpr std::uint64_t kDescriptorBytes = 64;
inline constexpr std::uint64_t kDescriptorSpillAt = 56;

static_assert(sizeof(SpilledBlocks::Entry) == 24 && offsetof(SpilledBlocks, entries) == 40);
static_assert(sizeof(SpilledBlocks) <= 32 * 1024, "one block of the allocator");
static_assert(std::is_standard_layout_v<SpilledBlocks>, "offsets must mean the same in every build");

inline constexpr std::uint64_t kMostJournals = 8;  // of one slot; more are not followed

// The word that names the journal: the slot's, or another of its journals'. For its owner, or the process that
// recovers it.
[[nodiscard]] Atomic<std::uint64_t>& link_to_journal(const Mapping& mapping, Slot& slot,
                                                     ArenaOffset journal) noexcept;
// Begins, and ends, to name it: by one store each. release: pairs with finish_spilling
void name_journal(const Mapping& mapping, Slot& slot, ArenaOffset journal) noexcept;
void forget_journal(const Mapping& mapping, Slot& slot, ArenaOffset journal) noexcept;

// A journal without entries, of so many bytes. Null where there is no memory.
[[nodiscard]] ArenaOffset allocate_journal(const Mapping& mapping, Blocks& blocks, Slot& slot,
                                           std::uint64_t bytes) noexcept;
// The spare one; null where another has it. Who dies before its slot names it leaks it, and the next of its size
// that is freed takes its place.
[[nodiscard]] ArenaOffset take_spare_journal(const Mapping& mapping) noexcept;
// Sees to it that there is a spare one, if there is memory for it.
void renew_spare_journal(const Mapping& mapping, Blocks& blocks, Slot& slot) noexcept;

// The two halves of freeing a retired one: its blocks, which may be broken off by a crash and begun anew, leaking
// one block of up to 32 KiB; then the object itself.
void empty_spilled_blocks(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept;
void free_spilled_blocks(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept;

}  // namespace shoal
