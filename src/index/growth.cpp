// How a leaf without room is replaced: frozen, copied into one or two new ones, and put out of the entries that
// named it. Anyone may do, or finish, each step (index/layout.hpp).
#include <algorithm>

#include "arena/crash_point.hpp"
#include "arena/prefetch.hpp"
#include "index/index.hpp"

namespace shoal {

AllocationStatus Index::make_replacement(const Leaf& leaf, std::uint64_t consumed, Slot& maker,
                                         Slot& slot) noexcept {
    const std::size_t parts = leaf.depth == consumed ? 3 : 2;  // it has one entry: two need a node below
    for (std::size_t part = 0; part < parts; ++part) {
        const Allocation block = blocks_->allocate(slot, part == kNodePart ? kNodeBytes : sizeof(Leaf));
        if (is_null(block.offset)) {
            discard_replacement(maker, slot);
            return block.status;
        }
        crash_point(CrashPoint::kLeafPartTaken);
        remember_made(maker, MadeKind::kLeaves, static_cast<ArenaOffset>(offset_of(leaf)), part, block.offset);
        crash_point(CrashPoint::kLeafPartRemembered);
    }
    return AllocationStatus::kDone;
}

void Index::discard_replacement(Slot& maker, Slot& slot) noexcept {
    for (const std::size_t part : {kLowerPart, kUpperPart, kNodePart}) discard_part(maker, part, slot);
}

void Index::forget_replacement(Slot& maker) noexcept {
    // The part that the leaf's successor names goes last, as recovery tells by it that all are linked. relaxed: as
    // in discard_part
    const bool by_node = maker.made[kNodePart].load(std::memory_order_relaxed) != 0;
    forget_made(maker, kUpperPart);
    forget_made(maker, by_node ? kLowerPart : kNodePart);
    forget_made(maker, by_node ? kNodePart : kLowerPart);
}

void Index::discard_part(Slot& maker, std::size_t part, Slot& slot) noexcept {
    // relaxed: our own slot's word, or that of a dead one whose byte we have locked
    const auto block = static_cast<ArenaOffset>(maker.made[part].load(std::memory_order_relaxed));
    if (is_null(block)) return;
    const std::uint64_t bytes = part == kNodePart ? kNodeBytes : sizeof(Leaf);
    forget_made(maker, part);  // as in discard_tree
    crash_point(CrashPoint::kLeafPartForgotten);
    blocks_->release(slot, block, bytes, bytes);
}

bool Index::is_replacement_linked(ArenaOffset leaf, const Slot& maker) const noexcept {
    // acquire: pairs with replace_leaf
    const std::uint64_t successor = mapping_->at<Leaf>(leaf)->successor.load(std::memory_order_acquire);
    const bool node = static_cast<SuccessorKind>(successor & kSuccessorKindBits) == SuccessorKind::kNode;
    // relaxed: the maker is dead, and recovery has acquired its last words
    return successor != 0 && (successor & ~kSuccessorKindBits) ==
                                 maker.made[node ? kNodePart : kLowerPart].load(std::memory_order_relaxed);
}

void Index::put(Leaf& leaf, std::uint64_t word, std::uint64_t hash) const noexcept {
    std::uint32_t at = home_slot(hash);
    // relaxed: nobody sees the leaf yet. All of it taken: what the arena called free was not.
    for (std::uint32_t probed = 0; probed < kLeafSlots; ++probed) {
        if (leaf.slots[at].load(std::memory_order_relaxed) == 0) break;
        at = next_slot(at);
    }
    leaf.slots[at].store(word, std::memory_order_relaxed);
}

AllocationStatus Index::replace_leaf(ArenaOffset tree, Leaf& leaf, std::uint64_t hash, Slot& maker,
                                     Slot& slot) noexcept {
    if (leaf.successor.load(std::memory_order_acquire) == 0) {  // pairs with the release below
        // Memory first: a leaf frozen without it would have to wait for some.
        std::uint64_t consumed = 0;
        if (mapping_->at<Leaf>(find_leaf(tree, hash, &consumed)) != &leaf) return AllocationStatus::kDone;
        const AllocationStatus status = make_replacement(leaf, consumed, maker, slot);
        if (status != AllocationStatus::kDone) return status;
        crash_point(CrashPoint::kLeafAllocated);
        for (auto& leaf_slot : leaf.slots) {
            // acq_rel: what was inserted before is seen by the copy below
            leaf_slot.fetch_or(kFrozen, std::memory_order_acq_rel);
            crash_point(CrashPoint::kLeafFreezing);
        }
        crash_point(CrashPoint::kLeafFrozen);
        const std::uint64_t successor = fill_replacement(leaf, maker, slot);
        crash_point(CrashPoint::kLeafCopied);
        std::uint64_t expected = 0;
        // release: the new leaves are whole when they can be reached; a failed try: another was first
        if (leaf.successor.compare_exchange_strong(expected, successor, std::memory_order_acq_rel,
                                                   std::memory_order_acquire)) {
            crash_point(CrashPoint::kLeafSucceeded);
            forget_replacement(maker);
        } else {
            crash_point(CrashPoint::kLeafNotNeeded);
            discard_replacement(maker, slot);
        }
    }
    crash_point(CrashPoint::kLeafReplaced);
    install(tree, leaf, hash, maker);
    return AllocationStatus::kDone;
}

// Copies what lives in a frozen leaf; gives back the parts of the replacement that are not needed.
std::uint64_t Index::fill_replacement(const Leaf& leaf, Slot& maker, Slot& slot) noexcept {
    std::uint32_t live = 0;
    std::uint32_t tombstones = 0;
    for (const auto& leaf_slot : leaf.slots) {
        // relaxed: frozen, so it never changes; our fetch_or acquired it
        const std::uint64_t word = leaf_slot.load(std::memory_order_relaxed);
        tombstones += (word & kTombstoneSlot) != 0;
        if (!is_chain(word)) continue;
        prefetch_to_read(mapping_->at<Chain>(slot_chain(word)));
        ++live;
    }
    // Without many tombstones a copy would be no less crowded where it matters: split then, however few live.
    const std::uint32_t old_depth = snapshot(leaf.depth);
    const bool split = old_depth < kMaxDepth && (live > kLeafSlots / 2 || tombstones < kProbeSlots);
    if (!split) {
        discard_part(maker, kUpperPart, slot);
        discard_part(maker, kNodePart, slot);
    }
    const auto made = [&](std::size_t part) {  // relaxed: as in discard_part
        return static_cast<ArenaOffset>(maker.made[part].load(std::memory_order_relaxed));
    };
    const std::uint32_t depth = old_depth + (split ? 1 : 0);
    Leaf* lower = make_leaf(made(kLowerPart), depth);
    Leaf* upper = split ? make_leaf(made(kUpperPart), depth) : nullptr;
    lower->sibling = raw(made(kUpperPart));
    const bool by_node = split && !is_null(made(kNodePart));  // one exchange of one entry: installed or not
    const std::uint64_t parent = by_node ? 0 : offset_of(leaf);
    lower->parent.store(parent, std::memory_order_relaxed);  // relaxed, both: published by the successor's release
    if (upper != nullptr) upper->parent.store(parent, std::memory_order_relaxed);
    for (const auto& leaf_slot : leaf.slots) {
        const std::uint64_t word = leaf_slot.load(std::memory_order_relaxed);  // relaxed: as above
        if (!is_chain(word)) continue;
        const std::uint64_t hash = snapshot(mapping_->at<Chain>(slot_chain(word))->hash);
        const bool goes_up = split && (hash >> (64 - depth) & 1) != 0;
        put(goes_up ? *upper : *lower, word & ~kFrozen, hash);
    }
    if (!split) return raw(made(kLowerPart)) | static_cast<std::uint64_t>(SuccessorKind::kRebuilt);
    if (is_null(made(kNodePart))) return raw(made(kLowerPart)) | static_cast<std::uint64_t>(SuccessorKind::kSplit);
    auto* entries = mapping_->at<Entry>(made(kNodePart));
    for (std::uint64_t index = 0; index < 1ULL << kNodeBits; ++index) {
        const bool upper_half = index >= 1ULL << (kNodeBits - 1);
        // relaxed: published by the successor's release
        entries[index].store(raw(upper_half ? made(kUpperPart) : made(kLowerPart)), std::memory_order_relaxed);
    }
    return raw(made(kNodePart)) | static_cast<std::uint64_t>(SuccessorKind::kNode);
}

// Before a leaf is changed: carries the replacement through that it came from. Else it could itself be replaced and
// freed while the half-done replacement still hands it out.
void Index::settle(ArenaOffset tree, const Leaf& leaf, std::uint64_t hash, Slot& maker) noexcept {
    // acquire: pairs with install. Not 0: the parent is not retired yet, or was after we came into this epoch.
    const std::uint64_t parent = leaf.parent.load(std::memory_order_acquire);
    if (parent != 0) [[unlikely]]
        install(tree, *mapping_->at<Leaf>(parent), hash, maker);
}

Entry* Index::entries_of_leaf(ArenaOffset tree, std::uint64_t hash, unsigned depth,
                              std::uint64_t* count) const noexcept {
    // A leaf hangs from the highest node that can tell its depth: nodes below came after it.
    auto* entries = mapping_->at<Entry>(mapping_->at<Tree>(tree)->root);
    unsigned consumed = kRootBits;
    depth = std::min(depth, kMaxDepth);
    std::uint64_t index = hash >> (64 - consumed);
    while (consumed < depth) {
        entries =
            mapping_->at<Entry>(entries[index].load(std::memory_order_acquire) & ~kNodeTag);  // pairs: install
        consumed += kNodeBits;
        index = hash >> (64 - consumed) & ((1U << kNodeBits) - 1);
    }
    *count = 1ULL << (consumed - depth);
    return &entries[index & ~(*count - 1)];
}

// Puts a leaf's successor into every entry that names the leaf. Anyone may; a failed exchange means that another
// did this entry. One of those who have come to the end retires the leaf; who is killed before that is seen by the
// recoverer of the slot, which names the leaf from before the first exchange until it is retired.
void Index::install(ArenaOffset tree, Leaf& leaf, std::uint64_t hash, Slot& maker) noexcept {
    const std::uint64_t successor = leaf.successor.load(std::memory_order_acquire);  // pairs with replace_leaf
    const auto kind = static_cast<SuccessorKind>(successor & kSuccessorKindBits);
    const std::uint64_t offset = successor & ~kSuccessorKindBits;
    if (offset == 0) return;  // a damaged arena: nothing replaces this leaf
    const std::uint64_t lower = kind == SuccessorKind::kNode ? offset | kNodeTag : offset;
    const std::uint64_t upper = kind == SuccessorKind::kSplit ? mapping_->at<Leaf>(offset)->sibling : lower;

    std::uint64_t count = 0;
    Entry* entry = entries_of_leaf(tree, hash, snapshot(leaf.depth), &count);
    const std::uint64_t old = offset_of(leaf);
    maker.replacing_in.store(raw(tree), std::memory_order_relaxed);  // relaxed, both: published by the next
    maker.replacing_hash.store(hash, std::memory_order_relaxed);
    maker.replacing_leaf.store(old, std::memory_order_release);  // pairs with finish_replacement
    crash_point(CrashPoint::kLeafNamed);
    for (std::uint64_t index = 0; index < count; ++index) {
        std::uint64_t expected = old;
        // release: pairs with find_leaf's acquire
        entry[index].compare_exchange_strong(expected, index < (count + 1) / 2 ? lower : upper,
                                             std::memory_order_acq_rel, std::memory_order_relaxed);
        crash_point(CrashPoint::kLeafInstalling);
    }
    crash_point(CrashPoint::kLeafInstalled);
    // No entry names the leaf any more: the new ones may change from here on (I5). release: pairs with settle
    if (kind != SuccessorKind::kNode) mapping_->at<Leaf>(lower)->parent.store(0, std::memory_order_release);
    crash_point(CrashPoint::kLeafHalfSettled);
    if (kind == SuccessorKind::kSplit) mapping_->at<Leaf>(upper)->parent.store(0, std::memory_order_release);
    crash_point(CrashPoint::kLeafSettled);
    const std::uint32_t self = number_of(maker) + 1;
    std::uint32_t retirer = 0;
    // relaxed: decides who, nothing else. A failed try: another retires it; or it is our own that did, or set out
    // to before it died.
    const bool first =
        leaf.retirer.compare_exchange_strong(retirer, self, std::memory_order_relaxed, std::memory_order_relaxed);
    crash_point(CrashPoint::kLeafRetiring);
    if (first || (retirer == self && !epochs_->is_retired(RetiredKind::kLeaf, static_cast<ArenaOffset>(old)))) {
        epochs_->retire(RetiredKind::kLeaf, static_cast<ArenaOffset>(old));
    }
    crash_point(CrashPoint::kLeafRetired);
    maker.replacing_leaf.store(0, std::memory_order_release);  // pairs with finish_replacement
}

void Index::finish_replacement(Slot& dead) noexcept {
    // acquire: pairs with install
    const auto leaf = static_cast<ArenaOffset>(dead.replacing_leaf.load(std::memory_order_acquire));
    if (is_null(leaf)) return;
    const auto tree = static_cast<ArenaOffset>(dead.replacing_in.load(std::memory_order_relaxed));
    install(tree, *mapping_->at<Leaf>(leaf), dead.replacing_hash.load(std::memory_order_relaxed), dead);
    dead.replacing_leaf.store(0, std::memory_order_relaxed);  // relaxed: published by the slot's release
}

}  // namespace shoal
