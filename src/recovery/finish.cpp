#include "recovery/finish.hpp"

#include "arena/crash_point.hpp"
#include "index/remembered_chain.hpp"
#include "segment/hand_over.hpp"

namespace shoal {
namespace {

// Of a chain that its maker may have begun to empty, or not have finished: the segment at the tail may be another's
// by now, and hold anything, unless the root is there.
bool was_erased(const Mapping& mapping, const Chain& chain) noexcept {
    // relaxed: the dead one's word, or published by whoever linked the chain
    const bool whole = chain.root != 0 && chain.tail.load(std::memory_order_relaxed) != 0;
    return whole && is_marked_erased(mapping, chain);
}

// Of each run that the dead was merging: the old segments are to be freed where the merged one is linked, else that
// one is. Begun anew it finds the same.
void settle_merges(const Mapping& mapping, SpilledBlocks& journal, std::uint64_t count) {
    for (std::uint64_t at = 0; at < count; ++at) {
        SpilledBlocks::Entry& merged = journal.entries[at];
        if (merged.written != SpilledBlocks::kMerged) continue;
        // relaxed: only the merger stores there, which is dead and whose slot is ours
        const bool linked =
            merged.block == 0 ||
            mapping.at<Segment>(merged.segment)->next.load(std::memory_order_relaxed) == merged.block;
        if (linked) {
            merged.block = 0;
            crash_point(CrashPoint::kDeadMergeSettled);
            continue;
        }
        for (std::uint64_t old = at + 1; old < count && journal.entries[old].written != SpilledBlocks::kMerged;
             ++old)
            journal.entries[old].block = 0;
        crash_point(CrashPoint::kDeadMergeSettled);
        merged.written = merged.units;  // last: a block like any other from here on
    }
}

// Of one batch: what its segments do not name any more is to be freed, the others stay as they are. True when its
// journal is retired; else it is in nobody's list, and empty.
bool finish_batch(const Mapping& mapping, Epochs& epochs, const Slots& slots, Slot& dead, ArenaOffset offset) {
    SpilledBlocks& batch = *mapping.at<SpilledBlocks>(offset);
    if (batch.entries_now() == 0) return false;  // between two batches
    // Inside an epoch from here on, if the dead was not: so that who dies after the retiring below, and before the
    // journal is forgotten, leaves a list that nobody drains. False: destroyed, and nobody reuses anything.
    if (dead.epoch.load(std::memory_order_relaxed) == 0) static_cast<void>(epochs.enter(dead));  // relaxed: dead's
    if (epochs.is_retired(RetiredKind::kBlocks, offset)) return true;
    // relaxed: as above. Published, its segments may be gone: they are not looked at.
    const bool published = batch.published_in.load(std::memory_order_relaxed) != 0;
    const std::uint64_t count = published ? 0 : batch.entries_now();
    settle_merges(mapping, batch, count);
    for (std::uint64_t at = 0; at < count; ++at) {
        SpilledBlocks::Entry& entry = batch.entries[at];
        Segment& segment = *mapping.at<Segment>(entry.segment);
        // relaxed: by the dead alone, whose slot is ours. Each is in its hand (I1 of arena/spilled_blocks.hpp).
        if (entry.block == 0 || is_stored(entry.block) ||
            segment.block.load(std::memory_order_relaxed) != entry.block) {
            continue;
        }
        // As it was before it was counted, so that whoever dies here too leaves it in nobody's hand.
        segment.spill.store(in_hand(slots.number(dead), dead.generation.load(std::memory_order_relaxed)),
                            std::memory_order_relaxed);
        entry.block = 0;  // first: once let go it is another's
        let_go(segment);
    }
    crash_point(CrashPoint::kDeadSpillLetGo);
    epochs.retire(RetiredKind::kBlocks, offset);
    crash_point(CrashPoint::kDeadSpillRetired);
    return true;
}

}  // namespace

void finish_work(const Mapping& mapping, Blocks& blocks, Index& index, Epochs& epochs, const Slots& slots,
                 Slot& dead) {
    blocks.free_taken(dead);
    crash_point(CrashPoint::kDeadPagesFree);
    finish_claims(mapping, slots, dead);
    undo_making(mapping, blocks, index, dead);
    index.finish_replacement(dead);
    crash_point(CrashPoint::kDeadLeafReplaced);
    finish_erase(mapping, index, epochs, slots, dead);
    finish_drop(mapping, index, epochs, slots, dead);
    finish_spilling(mapping, blocks, epochs, slots, dead);
    epochs.finish_draining(dead);
    crash_point(CrashPoint::kDeadDrainForgotten);
}

void finish_claims(const Mapping& mapping, const Slots& slots, Slot& dead) {
    const std::uint64_t word = dead.segment.load(std::memory_order_acquire);  // pairs: claim_and_write
    if (word == 0) return;
    const std::uint64_t offset = word & ~kClaimsDone;
    Segment& segment = *mapping.at<Segment>(offset);
    // relaxed: the slot is ours while its byte is locked
    pad_claims(mapping, segment, slots.number(dead), dead.generation.load(std::memory_order_relaxed));
    crash_point(CrashPoint::kClaimsPadded);
    // The end first, then who is there: whoever claimed before that end is seen, or is done. seq_cst: of two who
    // recover two dead slots of one segment, the later sees that the other's is out of it.
    const SegmentExtent extent = extent_of(segment);
    dead.segment.store(offset | kClaimsDone, std::memory_order_seq_cst);
    crash_point(CrashPoint::kDeadClaimsDone);
    if (!slots.anyone_writes_to(offset)) pad_holes(mapping, extent);
    crash_point(CrashPoint::kHolesPadded);
    dead.segment.store(0, std::memory_order_relaxed);  // relaxed: published by the slot's release
}

void undo_making(const Mapping& mapping, Blocks& blocks, Index& index, Slot& dead) {
    // acquire: pairs with the release in remember_made and forget_made
    const std::uint64_t first = dead.made[0].load(std::memory_order_acquire);
    const std::uint64_t rest =
        dead.made[1].load(std::memory_order_acquire) | dead.made[2].load(std::memory_order_acquire);
    const auto chain =
        static_cast<ArenaOffset>(dead.made_chain.load(std::memory_order_acquire));  // pairs: make_chain
    const std::uint64_t word = dead.made_for.load(std::memory_order_relaxed);       // relaxed: published by made
    const auto target = static_cast<ArenaOffset>(word & ~kMadeKindBits);
    // What was made is linked if what it was made for names it: only the dead could have linked it there.
    if ((first | rest) != 0) {
        switch (static_cast<MadeKind>(word & kMadeKindBits)) {
            case MadeKind::kSegment: {
                const std::uint64_t link = is_null(target)
                                               ? mapping.at<Chain>(chain)->root  // acquire: append_slowly
                                               : mapping.at<Segment>(target)->next.load(std::memory_order_acquire);
                if (link != first) discard_segment(mapping, blocks, dead, static_cast<ArenaOffset>(first));
                break;
            }
            case MadeKind::kLeaves:
                if (index.is_replacement_linked(target, dead)) {
                    index.forget_replacement(dead);
                } else {
                    index.discard_replacement(dead);
                }
                break;
            case MadeKind::kTree: {
                // acquire: pairs with replace_tree
                const std::uint64_t successor = mapping.at<Tree>(target)->successor.load(std::memory_order_acquire);
                if (raw(successor_of(successor)) != first) index.discard_tree(dead);
                break;
            }
        }
        crash_point(CrashPoint::kMadeUndone);
        for (std::size_t part = 0; part < kMade; ++part) forget_made(dead, part);
    }
    if (is_null(chain)) return;
    const auto tree = static_cast<ArenaOffset>(dead.made_in.load(std::memory_order_relaxed));  // as made_for
    // In this order: what was linked, and then unlinked by others, is marked.
    const bool linked = index.names(tree, chain) || was_erased(mapping, *mapping.at<Chain>(chain));
    if (!linked) discard_chain(mapping, blocks, dead);
    crash_point(CrashPoint::kChainUndone);
    forget_made_chain(dead);
}

void finish_erase(const Mapping& mapping, Index& index, Epochs& epochs, const Slots& slots, Slot& dead) {
    const auto offset =
        static_cast<ArenaOffset>(dead.erasing_chain.load(std::memory_order_acquire));  // pairs: erase
    if (is_null(offset)) return;
    const Chain& chain = *mapping.at<Chain>(offset);
    const std::uint64_t mark =  // relaxed: the slot is ours while its byte is locked
        erased_mark(slots.number(dead), dead.generation.load(std::memory_order_relaxed));
    const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));  // as in append_to
    if (mapping.at<Segment>(tail)->next.load(std::memory_order_acquire) == mark) {  // else it was not the one
        const auto tree = static_cast<ArenaOffset>(dead.erasing_tree.load(std::memory_order_relaxed));  // as above
        if (index.unlink(tree, offset, dead) && !epochs.is_retired(RetiredKind::kChain, offset)) {
            crash_point(CrashPoint::kDeadEraseUnlinked);
            count_retirement(mapping.header());
            crash_point(CrashPoint::kDeadEraseCounted);
            epochs.retire(RetiredKind::kChain, offset);
            crash_point(CrashPoint::kDeadEraseRetired);
        }
    }
    dead.erasing_chain.store(0, std::memory_order_relaxed);  // relaxed: published by the slot's release
}

void finish_spilling(const Mapping& mapping, Blocks& blocks, Epochs& epochs, const Slots& slots, Slot& dead) {
    for (std::uint64_t left = kMostJournals; left != 0; --left) {
        // acquire: pairs with name_journal and forget_journal
        const auto offset = static_cast<ArenaOffset>(dead.spilling.load(std::memory_order_acquire));
        if (is_null(offset)) return;
        const bool retired = finish_batch(mapping, epochs, slots, dead, offset);
        // relaxed: by the dead alone. First, as a crash here can leak it, but not free it twice. A journal that is
        // retired stays as it is: the dead is inside.
        const std::uint64_t next = mapping.at<SpilledBlocks>(offset)->next_of_slot.load(std::memory_order_relaxed);
        dead.spilling.store(next, std::memory_order_relaxed);
        crash_point(CrashPoint::kDeadJournalForgotten);
        if (!retired) free_spilled_blocks(mapping, blocks, dead, offset);
    }
    dead.spilling.store(0, std::memory_order_relaxed);  // no spiller has more: another process has damaged them
}

void finish_drop(const Mapping& mapping, Index& index, Epochs& epochs, const Slots& slots, Slot& dead) {
    const auto tree = static_cast<ArenaOffset>(dead.dropping_tree.load(std::memory_order_acquire));  // pairs: drop
    if (is_null(tree)) return;
    if (index.finish_replacing(tree, slots.number(dead)) && !epochs.is_retired(RetiredKind::kTree, tree)) {
        crash_point(CrashPoint::kDeadDropInstalled);
        count_retirement(mapping.header());
        crash_point(CrashPoint::kDeadDropCounted);
        epochs.retire(RetiredKind::kTree, tree);
        crash_point(CrashPoint::kDeadDropRetired);
    }
    dead.dropping_tree.store(0, std::memory_order_relaxed);  // relaxed: published by the slot's release
}

}  // namespace shoal
