// A chain's life: made with its first record, grown by segments, cut for readers, erased, freed.
//
// Thread safety: every function but free_chain, from any process, inside an epoch. Lock-free: in each loop a failed
// turn means that another's append, link or erase got through.
// A crash at any point leaves a chain that others go on with: an unlinked new segment (leaked), a linked one that
// the tail does not name yet (anyone helps), an erased chain still in the index (anyone unlinks it).
// Invariants: those of chain/layout.hpp.
#pragma once

#include <cstdint>
#include <optional>

#include "arena/blocks.hpp"
#include "arena/made.hpp"
#include "arena/slots.hpp"
#include "chain/layout.hpp"
#include "segment/walk.hpp"

namespace shoal {

enum class AppendOutcome : std::uint8_t { kAppended, kErased, kLimit, kNoSpace, kDamaged };

// Turns of a loop that only others' progress makes longer, after which the arena is called damaged: each of them
// takes a segment filled, or a leaf split, by somebody else.
inline constexpr int kMostTurns = 1 << 14;

[[nodiscard]] constexpr AppendOutcome outcome_of(AllocationStatus status) noexcept {
    return status == AllocationStatus::kNoSpace ? AppendOutcome::kNoSpace : AppendOutcome::kLimit;
}

// What the functions below work with: one process's view of the arena, and the calling thread's slot.
struct ChainContext {
    const Mapping& mapping;
    Blocks& blocks;
    Slot& slot;
    std::uint32_t slot_number;
};

struct NewChain {
    ArenaOffset offset = ArenaOffset::kNull;  // null on failure
    AppendOutcome failure = AppendOutcome::kLimit;
};

// A chain that holds one record (or group) and that nobody can see yet, on its way into `tree`. It stands in
// Slot::made_chain until the caller has linked it and says so (forget_made_chain), or discards it.
[[nodiscard]] NewChain make_chain(const ChainContext& context, ArenaOffset tree, ByteView key, std::uint64_t hash,
                                  const Payload& payload) noexcept;

// The chain's generation; one is given to it first where it has none yet, in a store that does not spill. So a
// thread that leaves its epoch can tell, in a later one, that the key still has the same chain.
[[nodiscard]] std::uint64_t give_generation(ArenaHeader& header, Chain& chain) noexcept;

// Give back what the slot's thread has made and nobody has linked: a segment, its chain under way. Begun anew after
// a crash they leak one block of up to 32 KiB.
void discard_segment(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset segment) noexcept;
void discard_chain(const Mapping& mapping, Blocks& blocks, Slot& slot) noexcept;

// Moves the tail on to the segment that is linked behind it: by the thread that linked it, or any other, since that
// one may be dead.
inline void move_tail(Chain& chain, ArenaOffset tail, std::uint64_t next) noexcept {
    // release: pairs with the acquire of whoever loads the tail; a failed try: another thread moved it on already
    std::uint64_t expected = raw(tail);
    chain.tail.compare_exchange_strong(expected, next, std::memory_order_acq_rel, std::memory_order_relaxed);
}

// What claim_and_write could not do in the tail: close, link, move on, until the payload is in.
[[nodiscard]] AppendOutcome append_slowly(const ChainContext& context, Chain& chain,
                                          const Payload& payload) noexcept;

[[nodiscard]] inline AppendOutcome append_to(const ChainContext& context, Chain& chain,
                                             const Payload& payload) noexcept {
    if (payload.claim.units <= kMaxClaimUnits) [[likely]] {
        // acquire: pairs with the release that moved the tail here: the segment is whole
        const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));
        Segment& segment = *context.mapping.at<Segment>(tail);
        if (claim_and_write(context.mapping, segment, tail, payload, context.slot, context.slot_number,
                            chain.hash) == ClaimOutcome::kWritten) [[likely]] {
            return AppendOutcome::kAppended;
        }
    }
    return append_slowly(context, chain, payload);
}

// A closed cut of a chain: everything acknowledged before it was taken lies before its end.
struct Cut {
    ArenaOffset root = ArenaOffset::kNull;  // null: the chain is erased
    ArenaOffset tail = ArenaOffset::kNull;
    SegmentExtent end;  // of the tail
};
[[nodiscard]] Cut take_cut(const Mapping& mapping, const Chain& chain) noexcept;

// Calls visit(segment, extent) for the segments of the cut in order, until it returns false; what it last returned.
// False too where the segments cannot be right: a next that leads nowhere, or more of them than fit into the arena.
// `room`: units of 8 B that all of it may take, and what is left of them; for who goes through several chains.
template <class Visit>
bool each_segment(const Mapping& mapping, const Cut& cut, std::uint64_t& room, Visit&& visit) {
    for (ArenaOffset at = cut.root;;) {
        const Segment& segment = *mapping.at<Segment>(at);
        const bool last = at == cut.tail;
        const SegmentExtent extent = last ? cut.end : extent_of(segment);
        constexpr std::uint64_t kOwnUnits = sizeof(Segment) / kUnitBytes;
        const std::uint64_t units = extent.stored() ? 0 : extent.units;  // that it takes of the arena
        if (room < kOwnUnits || units > room - kOwnUnits) return false;
        if (extent.stored() && extent.reserve.payload_bytes() > segment.data_units * kUnitBytes) return false;
        room -= kOwnUnits + units;
        if (!visit(segment, extent)) return false;
        if (last) return true;
        at = static_cast<ArenaOffset>(segment.next.load(std::memory_order_acquire));  // pairs with the link
        if (is_null(at) || is_erased(raw(at))) return false;
    }
}

template <class Visit>
bool each_segment(const Mapping& mapping, const Cut& cut, Visit&& visit) {
    std::uint64_t room = mapping.bytes() / kUnitBytes;
    return each_segment(mapping, cut, room, visit);
}

// Records and payload bytes of a cut, from counters. Walks the segments of `written`, in which claims may be
// counted that are not committed; those in which a writer died; and one whose closing writer has not said yet how
// far it came. Where `written` was gathered after the cut was taken, the result is what a walk of the cut finds.
// Nothing: the arena is damaged. `room`: as of each_segment.
[[nodiscard]] std::optional<Reserve> measure(const Mapping& mapping, const Cut& cut, const WrittenSegments& written,
                                             std::uint64_t& room) noexcept;
[[nodiscard]] inline std::optional<Reserve> measure(const Mapping& mapping, const Cut& cut,
                                                    const WrittenSegments& written) noexcept {
    std::uint64_t room = mapping.bytes() / kUnitBytes;
    return measure(mapping, cut, written, room);
}

// Bytes that no walk of the cut can exceed. Nothing: the arena is damaged.
[[nodiscard]] std::optional<std::uint64_t> payload_bound(const Mapping& mapping, const Cut& cut) noexcept;

// Calls visit(payload, bytes) for each record of the cut that is in the arena, and visit_stored(extent, ordinal)
// for each segment that is in a file, the chain's `ordinal`th from 0, in order. False: a frame cannot be right, the
// arena is damaged.
template <class Visit, class VisitStored>
bool walk_cut(const Mapping& mapping, const Cut& cut, Visit&& visit, VisitStored&& visit_stored) {
    std::uint64_t ordinal = 0;
    return each_segment(mapping, cut, [&](const Segment& segment, const SegmentExtent& extent) {
        if (extent.stored()) {
            visit_stored(extent, ordinal);
            ordinal += ordinals_of(segment);
            return true;
        }
        ordinal += 1;
        const AtomicWord* frames = frames_of(mapping, extent);
        return frames != nullptr && walk(frames, extent.units, visit);
    });
}

// Marks the chain erased. True for the one caller that did; that one unlinks and retires it.
[[nodiscard]] bool mark_erased(const ChainContext& context, Chain& chain) noexcept;
[[nodiscard]] bool is_marked_erased(const Mapping& mapping, const Chain& chain) noexcept;

// The two halves of freeing a chain that nobody can reach: its segments one by one, which may be broken off by a
// crash and begun anew, leaking one block of up to 32 KiB; then the chain itself. In between, before `name` names
// the chain no more: one with a long key is a run of pages (Blocks::give_up).
void empty_chain(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset chain) noexcept;
void give_up_chain(const Mapping& mapping, Blocks& blocks, Slot& slot, const Atomic<std::uint64_t>& name,
                   ArenaOffset chain) noexcept;
void free_chain(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset chain) noexcept;

}  // namespace shoal
