#include "verify/check_slots.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "arena/epoch.hpp"
#include "arena/spilled_blocks.hpp"
#include "verify/check_index.hpp"
#include "verify/check_spill.hpp"

namespace shoal {
namespace {

bool was_reached(Inspection& inspection, std::uint64_t offset) {
    return inspection.bytes().inside(offset, 64) && inspection.was_reached(offset);
}

void follow_tree(Inspection& inspection, std::uint64_t tree, std::uint64_t from, Holder holder) {
    IndexCheck(inspection, holder, State::kPartly, [] { return true; }).check_tree(tree, from);
}

// A dropped tree, and what is to take its place.
void follow_dropped(Inspection& inspection, std::uint64_t tree, std::uint64_t from) {
    if (!was_reached(inspection, tree)) follow_tree(inspection, tree, from, Holder::kDead);
    if (!was_reached(inspection, tree)) return;  // it was no tree, and is reported
    const Tree& dropped = *inspection.mapping().at<Tree>(tree);
    const std::uint64_t next =
        raw(successor_of(dropped.successor.load(std::memory_order_acquire)));  // replace_tree
    if (next == 0 || was_reached(inspection, next)) return;
    follow_tree(inspection, next, tree + offsetof(Tree, successor), Holder::kDead);
}

void follow_journal(Inspection& inspection, const Slot& slot, std::uint64_t at) {
    // relaxed, all: at rest. The chain first: it may name the segment that was made for it.
    const std::uint64_t chain = slot.made_chain.load(std::memory_order_relaxed);
    if (chain != 0 && !was_reached(inspection, chain)) {
        static_cast<void>(
            check_chain(inspection, chain, at + offsetof(Slot, made_chain), Holder::kDead, State::kPartly));
    }
    const std::uint64_t target = slot.made_for.load(std::memory_order_relaxed);
    for (std::size_t part = 0; part < kMade; ++part) {
        const std::uint64_t made = slot.made[part].load(std::memory_order_relaxed);
        if (made != 0 && (target & kMadeKindBits) > static_cast<std::uint64_t>(MadeKind::kTree)) {
            inspection.damage("slots I3", at + offsetof(Slot, made_for), fmt::format("{:#x} is no target", target));
            break;
        }
        if (made == 0 || was_reached(inspection, made)) continue;  // linked, before its owner said so
        const std::uint64_t from = at + offsetof(Slot, made) + part * 8;
        switch (static_cast<MadeKind>(target & kMadeKindBits)) {
            case MadeKind::kSegment:
                static_cast<void>(check_segment(inspection, made, from, Holder::kDead, State::kPartly));
                break;
            case MadeKind::kLeaves:
                static_cast<void>(inspection.reach(made, part == 2 ? kNodeBytes : sizeof(Leaf), from,
                                                   "what replaces a leaf", Holder::kDead));
                break;
            case MadeKind::kTree:
                follow_tree(inspection, made, from, Holder::kDead);
                break;
        }
    }
}

// Where its link to the next one is; 0 where it is none, which is reported.
std::uint64_t follow_retired(Inspection& inspection, std::uint64_t word, std::uint64_t from, Holder holder) {
    const std::uint64_t object = word & ~kRetiredKindBits;
    if (was_reached(inspection, object)) {
        inspection.damage("epoch I1", from, fmt::format("{:#x} is retired, and something else names it", object));
        return 0;
    }
    std::uint64_t link = 0;
    switch (static_cast<RetiredKind>(word & kRetiredKindBits)) {
        case RetiredKind::kChain:
            static_cast<void>(check_chain(inspection, object, from, holder, State::kPartly));
            link = object + offsetof(Chain, next_retired);
            break;
        case RetiredKind::kLeaf:
            IndexCheck::check_retired_leaf(inspection, object, from, holder);
            link = object + offsetof(Leaf, next_retired);
            break;
        case RetiredKind::kTree:
            follow_tree(inspection, object, from, holder);
            link = object + offsetof(Tree, next_retired);
            break;
        case RetiredKind::kBlocks:
            check_spilled_blocks(inspection, object, from, holder);
            link = object + offsetof(SpilledBlocks, next_retired);
            break;
    }
    if (was_reached(inspection, object)) return link;
    inspection.damage("epoch I1", from, fmt::format("{:#x} names no retired object", word));
    return 0;
}

void check_dead(Inspection& inspection, const Slot& slot, std::uint64_t at) {
    const std::uint64_t erasing = slot.erasing_chain.load(std::memory_order_relaxed);
    if (erasing != 0 && !was_reached(inspection, erasing)) {
        static_cast<void>(
            check_chain(inspection, erasing, at + offsetof(Slot, erasing_chain), Holder::kDead, State::kPartly));
    }
    if (const std::uint64_t tree = slot.dropping_tree.load(std::memory_order_relaxed); tree != 0) {
        follow_dropped(inspection, tree, at + offsetof(Slot, dropping_tree));
    }
    const std::uint64_t replacing = slot.replacing_leaf.load(std::memory_order_relaxed);  // relaxed: at rest
    if (replacing != 0 && !was_reached(inspection, replacing)) {
        IndexCheck::check_retired_leaf(inspection, replacing, at + offsetof(Slot, replacing_leaf), Holder::kDead);
    }
    follow_journal(inspection, slot, at);
    std::uint64_t from = at + offsetof(Slot, spilling);
    std::uint64_t journal = slot.spilling.load(std::memory_order_relaxed);  // relaxed: at rest
    for (std::uint64_t left = kMostJournals; journal != 0 && left != 0; --left) {
        if (!was_reached(inspection, journal)) check_spilled_blocks(inspection, journal, from, Holder::kDead);
        if (!was_reached(inspection, journal)) break;  // damaged, and said so
        from = journal + offsetof(SpilledBlocks, next_of_slot);
        journal = inspection.bytes().word(from);
    }
    // What it only names is in its list still, or another's. What it owns may be retired anew already, or be in its
    // list still.
    const std::uint64_t draining = slot.draining.load(std::memory_order_relaxed);
    if ((draining & kDrainOwned) != 0 && !was_reached(inspection, draining & kRetiredOffsetBits)) {
        static_cast<void>(follow_retired(inspection, draining & kRetiredObjectBits, at + offsetof(Slot, draining),
                                         Holder::kDead));
    }
    const std::uint64_t taking = slot.taking.load(std::memory_order_relaxed);  // relaxed: at rest
    if (taking != 0 && !inspection.reach_taken(taking, slot_number_of(inspection.mapping(), slot))) {
        inspection.damage("slots I3", at + offsetof(Slot, taking), fmt::format("{:#x} names no pages", taking));
    }
}

bool holds_nothing(const Slot& slot) {
    std::uint64_t held =
        slot.epoch.load(std::memory_order_relaxed) | slot.segment.load(std::memory_order_relaxed) |
        slot.erasing_chain.load(std::memory_order_relaxed) | slot.dropping_tree.load(std::memory_order_relaxed) |
        slot.made_chain.load(std::memory_order_relaxed) | slot.replacing_leaf.load(std::memory_order_relaxed) |
        slot.taking.load(std::memory_order_relaxed) | slot.spilling.load(std::memory_order_relaxed) |
        slot.draining.load(std::memory_order_relaxed);
    for (const auto& made : slot.made) held |= made.load(std::memory_order_relaxed);
    for (const auto& source : slot.sources) held |= source.page.load(std::memory_order_relaxed);
    return held == 0;
}

}  // namespace

void check_slots(Inspection& inspection) {
    const ArenaHeader& header = inspection.header();
    const std::uint32_t real = header.slots_real.load(std::memory_order_relaxed);
    if (real == 0 || real > kSlots || real % kSlotsAChunk != 0) {
        inspection.damage("slots I4", offsetof(ArenaHeader, slots_real),
                          fmt::format("memory is there for {} slots: no such number of them grows", real));
    } else if (const std::uint32_t high = header.slots_high_water.load(std::memory_order_relaxed); high > real) {
        inspection.damage("slots I4", offsetof(ArenaHeader, slots_high_water),
                          fmt::format("{} slots have been taken, and memory is there for {}", high, real));
    }
    const std::uint64_t epoch = header.epoch.load(std::memory_order_relaxed) & ~kDestroyedBit;
    const Slot* slots = inspection.mapping().at<Slot>(kSlotsAt);
    for (std::uint32_t number = 0; number < kSlots; ++number) {
        const std::uint64_t at = kSlotsAt + number * sizeof(Slot);
        if (!inspection.bytes().allocated(at, sizeof(Slot))) {  // all zero, up to the next that is not
            const std::uint64_t next = inspection.bytes().next_data(at, kSlotsAt + kSlots * sizeof(Slot));
            number = std::max(number, static_cast<std::uint32_t>((next - kSlotsAt) / sizeof(Slot)) - 1);
            continue;
        }
        const Slot& slot = slots[number];
        const std::uint32_t state = slot.state.load(std::memory_order_relaxed);
        if (state == static_cast<std::uint32_t>(SlotState::kFree)) {
            if (!holds_nothing(slot)) {
                inspection.damage("slots I2", at, fmt::format("slot {} is free, and holds something", number));
            }
            continue;
        }
        inspection.report().slots_dead += 1;
        if (state > static_cast<std::uint32_t>(SlotState::kRecovering)) {
            inspection.damage("slots I3", at + offsetof(Slot, state),
                              fmt::format("slot {} has state {}", number, state));
        }
        if (slot.epoch.load(std::memory_order_relaxed) > epoch) {
            inspection.damage("epoch I2", at,
                              fmt::format("slot {} is in epoch {}, and the arena in {}", number,
                                          slot.epoch.load(std::memory_order_relaxed), epoch));
        }
        for (std::uint32_t size_class = 0; size_class < kSizeClasses; ++size_class) {
            const std::uint32_t page = slot.sources[size_class].page.load(std::memory_order_relaxed);
            if (page == 0) continue;
            if (page > inspection.pages()) {
                inspection.damage(
                    "slots I3", at + offsetof(Slot, sources) + size_class * sizeof(Slot::Source),
                    fmt::format("slot {} allocates from page {} of {}", number, page - 1, inspection.pages()));
            } else if (inspection.page_owner(page - 1) == page_of_class(size_class)) {
                inspection.sources.insert(page - 1);
            }
        }
        check_dead(inspection, slot, at);
    }
}

void check_retired(Inspection& inspection) {
    for (std::uint32_t list = 0; list < kEpochBuckets; ++list) {
        const std::uint64_t head = offsetof(ArenaHeader, retired) + list * 8;
        const std::uint64_t first = inspection.header().retired[list].load(std::memory_order_relaxed);
        const std::uint64_t claimer = first >> kRetiredClaimShift;
        if (claimer > kSlots || (claimer != 0 && (first & kRetiredOffsetBits) == 0)) {
            inspection.damage("epoch I3", head, fmt::format("{:#x} is no claim of a slot to an object", first));
        }
        const std::uint64_t epoch = inspection.header().epoch.load(std::memory_order_relaxed) & ~kDestroyedBit;
        std::uint64_t retired_in = epoch;  // in this epoch or one of the two before, what is in that list
        while (retired_in % kEpochBuckets != list) --retired_in;
        if ((first & kRetiredOffsetBits) != 0 && (first & kRetiredTagBits) != retired_tag(retired_in)) {
            inspection.damage("epoch I2", head,
                              fmt::format("{:#x} is not of a list of epoch {}", first, retired_in));
        }
        std::uint64_t from = head;
        std::uint64_t word = first & kRetiredObjectBits;
        while ((word & kRetiredOffsetBits) != 0) {
            const std::uint64_t link = follow_retired(inspection, word, from, Holder::kRetired);
            if (link == 0) break;
            from = link;
            word = inspection.bytes().word(link);
        }
    }
}

}  // namespace shoal
