#include "chain/chain.hpp"

#include <algorithm>
#include <bit>
#include <new>

#include "arena/crash_point.hpp"

namespace shoal {
namespace {

struct NewSegment {
    ArenaOffset offset = ArenaOffset::kNull;
    AppendOutcome failure = AppendOutcome::kLimit;
    ArenaOffset block = ArenaOffset::kNull;  // kept here: what stands in the arena may change
};

// Whether counters are possible at all: each record takes a unit for its header, and pads less than one.
bool can_be(const Reserve& reserve) noexcept {
    return reserve.records <= reserve.units && reserve.pad <= (reserve.units - reserve.records) * kUnitBytes;
}

// Units of the block that may have been written to: what was claimed, and the padding behind it.
std::uint64_t written_units(const Segment& segment) noexcept {
    const SegmentExtent extent = extent_of(segment);
    return extent.exact ? std::min(extent.units + 1, segment.data_units) : segment.data_units;
}

void release_block(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    Segment& segment = *mapping.at<Segment>(offset);
    if (const std::uint64_t place = segment.block.load(std::memory_order_relaxed); is_stored(place)) {
        // Neighbours that were spilled together share an extent: the last of them gives it up. Of a bundle each
        // gives up its own share.
        const StoredAt at = stored_at(place);
        const std::uint64_t next = segment.next.load(std::memory_order_relaxed);
        const bool last = at.in_bundle || next == 0 || is_erased(next) ||
                          mapping.at<Segment>(next)->block.load(std::memory_order_relaxed) != place;
        const std::uint64_t spill = segment.spill.load(std::memory_order_relaxed);
        const std::uint64_t bytes = at.in_bundle ? bundled_bytes(spilled_counts(spill)) : at.bytes;
        segment.block.store(0, std::memory_order_relaxed);
        crash_point(CrashPoint::kSegmentBlockForgotten);
        if (last) blocks.release_stored(slot, place, bytes, (spill & kCheckpointedBit) != 0);
        return;
    }
    const std::uint64_t written = written_units(segment);
    const std::uint64_t bytes = segment.data_units * kUnitBytes;
    // relaxed, both: nobody else can reach the segment
    const auto block = static_cast<ArenaOffset>(segment.block.load(std::memory_order_relaxed));
    if (is_null(block)) return;
    blocks.give_up(mapping.offset_of(&segment.block), slot, block, bytes);
    segment.block.store(0, std::memory_order_relaxed);
    crash_point(CrashPoint::kSegmentBlockForgotten);
    blocks.release(slot, block, bytes, written * kUnitBytes);
}

// A segment that nobody can see yet, to follow `after` (null: to begin the chain under way). With
// `single_bytes` it is just as large as its one record, of so many bytes; else that is 0. It stands in Slot::made
// until it is linked.
NewSegment make_segment(const ChainContext& context, ArenaOffset after, std::uint64_t block_bytes,
                        std::uint32_t growth_bytes, std::uint64_t single_bytes) noexcept {
    const Allocation descriptor = context.blocks.allocate(context.slot, sizeof(Segment));
    if (is_null(descriptor.offset)) return {ArenaOffset::kNull, outcome_of(descriptor.status)};
    auto* segment = new (context.mapping.at<Segment>(descriptor.offset)) Segment{};
    // relaxed throughout: published by the link's release
    const bool single = single_bytes != 0;
    segment->reserve.store(single ? 1 : 0, std::memory_order_relaxed);  // 1 of 0: closed from the start
    segment->claimable.store(single ? 0 : static_cast<std::uint32_t>(block_bytes / kUnitBytes),
                             std::memory_order_relaxed);
    segment->growth_bytes = growth_bytes;
    segment->data_units = block_bytes / kUnitBytes;
    segment->single_bytes = single_bytes;
    crash_point(CrashPoint::kSegmentTaken);
    remember_made(context.slot, MadeKind::kSegment, after, 0, descriptor.offset);
    crash_point(CrashPoint::kSegmentRemembered);
    const Allocation block =
        context.blocks.allocate_for(context.mapping.offset_of(&segment->block), context.slot, block_bytes);
    if (is_null(block.offset)) {
        discard_segment(context.mapping, context.blocks, context.slot, descriptor.offset);
        return {ArenaOffset::kNull, outcome_of(block.status)};
    }
    crash_point(CrashPoint::kSegmentBlockTaken);
    segment->block.store(raw(block.offset), std::memory_order_relaxed);
    crash_point(CrashPoint::kSegmentBlockNamed);
    if (block_bytes > kLargestBlockBytes) context.blocks.keep(context.slot);  // it is the segment's
    crash_point(CrashPoint::kSegmentMade);
    return {descriptor.offset, AppendOutcome::kLimit, block.offset};
}

}  // namespace

void discard_segment(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    release_block(mapping, blocks, slot, offset);
    crash_point(CrashPoint::kSegmentEmptied);
    forget_made(slot, 0);  // before the block is another's: a crash here can leak it, but not free it twice
    crash_point(CrashPoint::kSegmentForgotten);
    blocks.release(slot, offset, sizeof(Segment), sizeof(Segment));
}

void discard_chain(const Mapping& mapping, Blocks& blocks, Slot& slot) noexcept {
    // relaxed: our own slot's word, or that of a dead one whose byte we have locked
    const auto chain = static_cast<ArenaOffset>(slot.made_chain.load(std::memory_order_relaxed));
    empty_chain(mapping, blocks, slot, chain);
    give_up_chain(mapping, blocks, slot, slot.made_chain, chain);
    crash_point(CrashPoint::kChainEmptied);
    forget_made_chain(slot);  // as in discard_segment
    crash_point(CrashPoint::kChainForgotten);
    free_chain(mapping, blocks, slot, chain);
}

namespace {

bool needs_own_segment(const ChainContext& context, const Payload& payload) noexcept {
    const std::uint64_t largest = context.mapping.header().max_segment_bytes / 4;
    return payload.claim.units > std::min(kMaxClaimUnits, largest / kUnitBytes);
}

// Larger than any block of a page: it gets a run of pages, which can have any length.
bool is_large(const Payload& payload) noexcept { return payload.claim.units * kUnitBytes > kLargestBlockBytes; }

std::uint32_t fitting_bytes(const ChainContext& context, const Payload& payload, std::uint64_t wanted) noexcept {
    const std::uint64_t most = context.mapping.header().max_segment_bytes;
    const std::uint64_t claimed = payload.claim.units * kUnitBytes;
    const std::uint64_t allowed = std::min(wanted, most);
    const std::uint64_t bytes = std::max(allowed, claimed);
    if (bytes > kLargestBlockBytes) return static_cast<std::uint32_t>(round_up(bytes, kPageBytes));
    return static_cast<std::uint32_t>(
        std::max({std::bit_floor(allowed), std::bit_ceil(claimed), kSmallestBlockBytes}));
}

// Whether something of the chain is in a file, which its first segment is then, but for moments.
bool was_spilled(const ChainContext& context, const Chain& chain) noexcept {
    return extent_of(*context.mapping.at<Segment>(chain.root)).stored();
}

// Bytes of the segment after `before` (null: of the first), as far as the payload does not need more.
std::uint64_t wanted_bytes(const ChainContext& context, const Chain& chain, const Segment* before,
                           const Payload& payload) noexcept {
    const ArenaHeader& header = context.mapping.header();
    if (before == nullptr) return header.first_segment_bytes;
    const std::uint64_t held = extent_of(*before).units * kUnitBytes;
    const std::uint64_t block = before->data_units * kUnitBytes;
    const bool half_empty = held <= block / 2;
    // As much again as the key has. To make a page of it real costs more than to copy one, and a large payload may
    // leave much of it empty. Closed half empty, so that it can be spilled: then what it held.
    if (is_large(payload)) return half_empty ? held : before->growth_bytes;
    const bool can_spill = header.spill_files_at != 0;
    // Half empty, it was closed so that it can be spilled: the key does not fill more between two spills.
    if (can_spill && half_empty) return std::max<std::uint64_t>(std::bit_ceil(held + 1), 64);
    const std::uint64_t last = before->single_bytes != 0 ? before->growth_bytes : block;
    // Full, of a key that has been spilled: four times as much would be half empty again.
    if (can_spill && was_spilled(context, chain)) return 2 * last;
    // Small ones grow fourfold, so that a key soon has few. From a page on it is half of what the key has: so much
    // of its memory waits for records at most, and to make it real is what appending costs.
    return 4 * last <= kPageBytes ? 4 * last : std::max<std::uint64_t>(kPageBytes, before->growth_bytes / 2);
}

// A segment of the chain for payload, after `after` (null for the first). Filled where it is the payload's own.
NewSegment make_next(const ChainContext& context, const Chain& chain, ArenaOffset after, const Payload& payload,
                     bool fill) noexcept {
    const ArenaHeader& header = context.mapping.header();
    const Segment* before = is_null(after) ? nullptr : context.mapping.at<Segment>(after);
    if (needs_own_segment(context, payload)) {
        std::uint32_t growth = header.first_segment_bytes / 4;
        if (before != nullptr) {
            // What the closed one really held, so that small records between large ones get small segments.
            const std::uint64_t units = std::min(extent_of(*before).units, kMaxSegmentUnits);
            const std::uint64_t held = std::bit_ceil(units * kUnitBytes + 1);
            growth = before->single_bytes != 0
                         ? before->growth_bytes
                         : static_cast<std::uint32_t>(std::min<std::uint64_t>(held, before->growth_bytes));
        }
        const NewSegment made =
            make_segment(context, after, payload.claim.units * kUnitBytes, growth, payload.bytes);
        if (is_null(made.offset)) return made;
        write_claim(frame_at(context.mapping, raw(made.block), 0), payload, 0);
        return made;
    }
    const auto make = [&](std::uint32_t bytes) {
        const std::uint64_t so_far = before != nullptr ? before->growth_bytes : 0;
        const std::uint64_t growth = std::min<std::uint64_t>(so_far + bytes, 2ULL * header.max_segment_bytes);
        return make_segment(context, after, bytes, static_cast<std::uint32_t>(growth), 0);
    };
    std::uint32_t bytes = fitting_bytes(context, payload, wanted_bytes(context, chain, before, payload));
    NewSegment made = make(bytes);
    // While memory is short: what is left may do for a smaller one.
    while (is_null(made.offset) && bytes > fitting_bytes(context, payload, 0)) {
        bytes = fitting_bytes(context, payload, bytes / 4);
        made = make(bytes);
    }
    if (!fill || is_null(made.offset)) return made;
    Segment& segment = *context.mapping.at<Segment>(made.offset);
    segment.reserve.store(pack(payload.claim), std::memory_order_relaxed);  // relaxed: nobody sees it yet
    write_claim(frame_at(context.mapping, raw(made.block), 0), payload, 0);
    return made;
}

std::uint64_t hand_out_generation(ArenaHeader& header) noexcept {
    for (;;) {  // again at 0, once in 2^40 turns
        // relaxed: only has to be another for each
        const std::uint64_t handed_out = header.generations.fetch_add(1, std::memory_order_relaxed);
        if (const std::uint64_t generation = generation_after(handed_out); generation != 0) return generation;
    }
}

}  // namespace

std::uint64_t give_generation(ArenaHeader& header, Chain& chain) noexcept {
    std::uint64_t now = chain.identity.load(std::memory_order_relaxed);  // relaxed: it stands for itself
    while (generation_of(now) == 0) {
        const std::uint64_t made = identity_of(hand_out_generation(header), codec_of(now));
        crash_point(CrashPoint::kGenerationHandedOut);
        // release: pairs with check_generation, which sees that it was handed out. A failed try: another backup
        // gave it one, which is the chain's.
        if (chain.identity.compare_exchange_strong(now, made, std::memory_order_release,
                                                   std::memory_order_relaxed)) {
            now = made;
        }
    }
    return generation_of(now);
}

NewChain make_chain(const ChainContext& context, ArenaOffset tree, ByteView key, std::uint64_t hash,
                    const Payload& payload) noexcept {
    const std::uint64_t chain_bytes = Chain::bytes_for(key.size());
    const Allocation place =
        context.blocks.allocate_for(context.mapping.offset_of(&context.slot.made_chain), context.slot, chain_bytes);
    if (is_null(place.offset)) return {ArenaOffset::kNull, outcome_of(place.status)};
    auto* chain = context.mapping.at<Chain>(place.offset);  // zero, as the allocator gives it
    if (ArenaHeader& header = context.mapping.header(); header.spill_files_at != 0) {
        // relaxed: the chain is published by the index
        chain->identity.store(identity_of(hand_out_generation(header), 0), std::memory_order_relaxed);
    }
    chain->key_bytes = static_cast<std::uint32_t>(key.size());
    chain->hash = hash;
    if (!key.empty()) std::memcpy(chain->key_data(), key.data(), key.size());
    crash_point(CrashPoint::kChainTaken);
    context.slot.made_in.store(raw(tree), std::memory_order_relaxed);             // relaxed: published by the next
    context.slot.made_chain.store(raw(place.offset), std::memory_order_release);  // pairs with undo_making
    if (chain_bytes > kLargestBlockBytes)
        context.blocks.keep(context.slot);  // for its long key: it is in `made` now
    crash_point(CrashPoint::kChainRemembered);
    const NewSegment root = make_next(context, *chain, ArenaOffset::kNull, payload, true);
    if (is_null(root.offset)) {
        discard_chain(context.mapping, context.blocks, context.slot);
        return {ArenaOffset::kNull, root.failure};
    }
    // relaxed: published by the index's insert
    chain->tail.store(raw(root.offset), std::memory_order_relaxed);
    chain->root = raw(root.offset);
    crash_point(CrashPoint::kChainRooted);
    forget_made(context.slot, 0);
    return {place.offset};
}

AppendOutcome append_slowly(const ChainContext& context, Chain& chain, const Payload& payload) noexcept {
    const bool own = needs_own_segment(context, payload);
    for (int turn = 0; turn < kMostTurns; ++turn) {
        const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));  // as in append_to
        Segment& segment = *context.mapping.at<Segment>(tail);
        if (!own && claim_and_write(context.mapping, segment, tail, payload, context.slot, context.slot_number,
                                    chain.hash) == ClaimOutcome::kWritten) {
            return AppendOutcome::kAppended;
        }
        std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link below
        bool ours = false;
        if (next == 0) {
            if (own) close(context.mapping, segment);
            const NewSegment made = make_next(context, chain, tail, payload, false);
            if (is_null(made.offset)) return made.failure;
            log_change(context.mapping, chain.hash);
            // release: the segment is whole when it can be reached; a failed try: another linked, or erased
            ours = segment.next.compare_exchange_strong(next, raw(made.offset), std::memory_order_acq_rel,
                                                        std::memory_order_acquire);
            if (ours) {
                next = raw(made.offset);
                crash_point(CrashPoint::kSegmentLinked);
                forget_made(context.slot, 0);
            } else {
                crash_point(CrashPoint::kSegmentNotNeeded);
                discard_segment(context.mapping, context.blocks, context.slot, made.offset);
            }
        }
        if (is_erased(next)) return AppendOutcome::kErased;
        crash_point(CrashPoint::kTailLags);
        move_tail(chain, tail, next);
        crash_point(CrashPoint::kTailMoved);
        if (ours && own) return AppendOutcome::kAppended;
    }
    return AppendOutcome::kDamaged;
}

Cut take_cut(const Mapping& mapping, const Chain& chain) noexcept {
    // acquire: whoever acknowledged before this get began has moved the tail this far, or further
    const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));
    const Segment& segment = *mapping.at<Segment>(tail);
    const SegmentExtent end = extent_of(segment);
    // After the end was taken: not erased now, so not erased then. acquire: pairs with mark_erased
    if (is_erased(segment.next.load(std::memory_order_acquire))) return {};
    return {static_cast<ArenaOffset>(chain.root), tail, end};
}

std::optional<Reserve> measure(const Mapping& mapping, const Cut& cut, const WrittenSegments& written,
                               std::uint64_t& room) noexcept {
    const std::byte* arena = mapping.at<std::byte>(std::uint64_t{0});
    const auto offset_of = [&](const Segment& segment) {
        return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&segment) - arena);
    };
    Reserve total;
    const auto add = [&](const Reserve& part) {
        total.units += part.units;
        total.records += part.records;
        total.pad += part.pad;
    };
    const bool sound = each_segment(mapping, cut, room, [&](const Segment& segment, const SegmentExtent& extent) {
        if (extent.stored() || (extent.exact && (written.empty() || !written.may_have(offset_of(segment))))) {
            add(extent.reserve);
            return can_be(extent.reserve);
        }
        const AtomicWord* frames = frames_of(mapping, extent);
        return frames != nullptr && walk(frames, extent.units, [&](const std::byte*, std::uint64_t bytes) {
                   add({frame_units(bytes), 1, pad_bytes(bytes)});
               });
    });
    if (!sound) return std::nullopt;
    return total;
}

std::optional<std::uint64_t> payload_bound(const Mapping& mapping, const Cut& cut) noexcept {
    std::uint64_t bytes = 0;
    const bool sound = each_segment(mapping, cut, [&](const Segment&, const SegmentExtent& extent) {
        bytes += extent.exact ? extent.reserve.payload_bytes() : extent.units * kUnitBytes;
        return !extent.exact || can_be(extent.reserve);
    });
    if (!sound) return std::nullopt;
    return bytes;
}

bool mark_erased(const ChainContext& context, Chain& chain) noexcept {
    const std::uint64_t mark =  // relaxed: our own slot's word
        erased_mark(context.slot_number, context.slot.generation.load(std::memory_order_relaxed));
    log_change(context.mapping, chain.hash);
    for (int turn = 0; turn < kMostTurns; ++turn) {
        const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));  // as in append_to
        Segment& segment = *context.mapping.at<Segment>(tail);
        close(context.mapping, segment);
        crash_point(CrashPoint::kEraseClosed);
        std::uint64_t next = 0;
        // release: what we did before the erase is seen by who sees it; a failed try: another linked, or erased
        if (segment.next.compare_exchange_strong(next, mark, std::memory_order_acq_rel,
                                                 std::memory_order_acquire)) {
            return true;
        }
        if (is_erased(next)) return false;
        move_tail(chain, tail, next);
    }
    return false;  // the segments of a damaged arena, in a circle
}

bool is_marked_erased(const Mapping& mapping, const Chain& chain) noexcept {
    const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));  // as in append_to
    return is_erased(mapping.at<Segment>(tail)->next.load(std::memory_order_acquire));  // pairs with mark_erased
}

void empty_chain(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    Chain& chain = *mapping.at<Chain>(offset);
    // relaxed throughout: nobody else can reach the chain, and the epoch has ordered us after all who could
    std::uint64_t left = mapping.bytes() / sizeof(Segment);  // no chain has more, or it runs in a circle
    for (std::uint64_t at = chain.root; at != 0 && !is_erased(at) && left != 0; --left) {
        const std::uint64_t next = mapping.at<Segment>(at)->next.load(std::memory_order_relaxed);
        const auto segment = static_cast<ArenaOffset>(at);
        // Each is forgotten before it is free: a crash can leak the one, but not free it twice.
        release_block(mapping, blocks, slot, segment);
        chain.root = is_erased(next) ? 0 : next;
        crash_point(CrashPoint::kChainRootMoved);
        blocks.release(slot, segment, sizeof(Segment), sizeof(Segment));
        at = next;
    }
}

void give_up_chain(const Mapping& mapping, Blocks& blocks, Slot& slot, const Atomic<std::uint64_t>& name,
                   ArenaOffset chain) noexcept {
    blocks.give_up(mapping.offset_of(&name), slot, chain, Chain::bytes_for(mapping.at<Chain>(chain)->key_bytes));
}

void free_chain(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    const std::uint64_t bytes = Chain::bytes_for(mapping.at<Chain>(offset)->key_bytes);
    blocks.release(slot, offset, bytes, bytes);
}

}  // namespace shoal
