// One segment in the place of a run: a chain's spilled segments, merged. What the run holds is in one extent by
// then (spill/merger.hpp); here is how the chain gets to name it, while appends, readers and erases go on.
//
//   turn     one merger of the arena at a time: ArenaHeader::merger
//   check    the chain has the run, before its tail; no slot is about to link a segment of it
//   journal  the merged segment, and the run: who recovers a dead merger frees the one or the other
//   link     the `next` before the run names the merged segment, by one store
//
// Thread safety: all of it inside one epoch; any number of mergers, of which one has the turn. Readers and appends
// wait for nothing: the tail and what is behind it are not touched, and a reader that is in the run goes on to the
// segment behind it, as the merged one does. A crash: recovery/finish.cpp (settle_merges). The turn is that of a
// hand that is gone then.
// Invariants: I1 who has the turn alone changes `next` words before a chain's tail. It is inside an epoch as long:
//                where it is stopped it holds up other mergers, and the reuse of memory, as any thread that is
//                stopped inside;
//             I2 the journal names the merged segment and the whole run before the run is replaced;
//             I3 no segment of a run is in Slot::made of any slot: recovery would take it for one that has no link;
//             I4 ArenaHeader::merges counts a run before it is replaced: a thread inside an epoch that finds the
//                count as it was may use a segment that it saw then;
//             I5 a run is replaced two epochs after it was found before the tail: so no thread that is inside has a
//                segment of it for the tail of a cut.
#pragma once

#include <algorithm>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

#include "arena/changes.hpp"
#include "arena/crash_point.hpp"
#include "arena/spilled_blocks.hpp"
#include "chain/chain.hpp"
#include "segment/hand_over.hpp"

namespace shoal {

// A segment of a run, as it was when the run was chosen.
struct OldSegment {
    std::uint64_t place = 0;   // a packed StoredAt
    std::uint64_t counts = 0;  // packed, without the mark of a checkpoint
    std::uint64_t ordinals = 1;
};

struct MergedRun {
    std::uint64_t ordinal = 0;   // of its first segment
    std::uint64_t ordinals = 0;  // of all
    SpilledCounts counts;
    std::uint64_t place = 0;  // of the merged extent, which counts in its file already
    std::span<const OldSegment> segments;
};

// Neighbours that were spilled together share an extent, which is given up as a whole; of a bundle each gives up
// its own share.
[[nodiscard]] inline bool share_extent(std::uint64_t place, std::uint64_t other) noexcept {
    return place == other && !stored_at(place).in_bundle;
}

// I1. False: another one has it.
[[nodiscard]] inline bool take_merge_turn(ArenaHeader& header, const Slots& slots, const Slot& slot) noexcept {
    std::uint64_t now = header.merger.load(std::memory_order_acquire);  // pairs with end_merge_turn
    if (now != 0 && slots.is_current(now)) return false;
    // relaxed: our own slot's word
    const std::uint64_t ours = in_hand(slots.number(slot), slot.generation.load(std::memory_order_relaxed));
    // acquire: after what the merger before us has stored; a failed try: another is at it
    return header.merger.compare_exchange_strong(now, ours, std::memory_order_acquire, std::memory_order_relaxed);
}
inline void end_merge_turn(ArenaHeader& header) noexcept {
    header.merger.store(0, std::memory_order_release);  // pairs with take_merge_turn
}

// I4. Whether no run was replaced since the count was that.
[[nodiscard]] inline bool no_merge_since(const ArenaHeader& header, std::uint64_t merges) noexcept {
    return header.merges.load(std::memory_order_acquire) == merges;  // pairs with replace_run
}

// kNotThere: the chain has not that run any more, or a slot of those whose `made` these are may link to it.
// kNoMemory: for a descriptor.
enum class Replaced : std::uint8_t { kYes, kNotThere, kNoMemory };

// Puts one segment in the place of the run, which is in the journal then, to be freed when it is published; or
// nothing has changed. By who has the turn; `journal` has room for one entry more than the
// run has segments. Throws std::bad_alloc before it has changed anything. `offsets`: room to work in.
template <class Journal>
[[nodiscard]] Replaced replace_run(const ChainContext& context, const Chain& chain, const MergedRun& run,
                                   std::span<const std::uint64_t> made, Journal& journal,
                                   std::vector<std::uint64_t>& offsets) {
    const Mapping& mapping = context.mapping;
    const std::uint64_t tail = chain.tail.load(std::memory_order_acquire);  // as in append_to
    std::uint64_t at = chain.root;
    std::uint64_t ordinal = 0;
    Segment* before = nullptr;
    std::uint64_t left = mapping.bytes() / sizeof(Segment);  // no chain has more, or it runs in a circle
    while (at != tail && ordinal < run.ordinal && left-- != 0) {
        before = mapping.at<Segment>(at);
        ordinal += ordinals_of(*before);
        at = before->next.load(std::memory_order_acquire);  // pairs with the link
        if (at == 0 || is_erased(at)) return Replaced::kNotThere;
    }
    if (before == nullptr || ordinal != run.ordinal) return Replaced::kNotThere;
    offsets.clear();
    for (const OldSegment& old : run.segments) {
        if (at == tail || std::find(made.begin(), made.end(), at) != made.end()) return Replaced::kNotThere;  // I3
        const Segment& segment = *mapping.at<Segment>(at);
        // relaxed: stored before the block's word, and marked by syncs
        if (extent_of(segment).block != old.place || ordinals_of(segment) != old.ordinals ||
            (segment.spill.load(std::memory_order_relaxed) & ~kCheckpointedBit) != old.counts) {
            return Replaced::kNotThere;
        }
        offsets.push_back(at);
        at = segment.next.load(std::memory_order_acquire);  // as above
        if (at == 0 || is_erased(at)) return Replaced::kNotThere;
    }
    if (share_extent(run.segments.front().place, extent_of(*before).block) ||
        share_extent(run.segments.back().place, extent_of(*mapping.at<Segment>(at)).block)) {
        return Replaced::kNotThere;
    }
    const Allocation place = context.blocks.allocate(context.slot, sizeof(Segment));
    if (is_null(place.offset)) return Replaced::kNoMemory;
    crash_point(CrashPoint::kMergeTaken);
    auto* merged = new (mapping.at<Segment>(place.offset)) Segment{};
    merged->data_units = counted(run.counts).units;
    merged->growth_bytes = mapping.header().first_segment_bytes;
    // relaxed, all: published by the link. More than may be claimed: closed (segment I1).
    merged->reserve.store(1, std::memory_order_relaxed);
    merged->sealed.store(run.ordinals, std::memory_order_relaxed);
    merged->spill.store(pack(run.counts), std::memory_order_relaxed);
    merged->block.store(run.place, std::memory_order_relaxed);
    merged->next.store(at, std::memory_order_relaxed);
    // I2.
    constexpr auto kUnits = static_cast<std::uint32_t>(sizeof(Segment) / kUnitBytes);
    journal.add({mapping.offset_of(before), raw(place.offset), kUnits, SpilledBlocks::kMerged});
    for (std::size_t index = 0; index < offsets.size(); ++index) {
        const OldSegment& old = run.segments[index];
        const bool last = index + 1 == offsets.size() || !share_extent(old.place, run.segments[index + 1].place);
        const std::uint64_t live = last ? live_bytes_of(old.place, spilled_counts(old.counts)) : 0;
        journal.add({offsets[index], old.place, static_cast<std::uint32_t>(live), 0});
    }
    crash_point(CrashPoint::kMergeJournalled);
    log_change(mapping, chain.hash);  // the next checkpoint names this place, not those of the run
    mapping.header().merges.fetch_add(1, std::memory_order_release);  // pairs with no_merge_since (I4)
    // release: the merged segment is whole when it can be reached. Nobody else stores there (I1): it is not the
    // last.
    before->next.store(raw(place.offset), std::memory_order_release);
    crash_point(CrashPoint::kMergeLinked);
    journal.forget_merged(offsets.size());
    return Replaced::kYes;
}

}  // namespace shoal
