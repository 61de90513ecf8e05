// How a leaf without room is replaced: its replacement is made and published, the leaf frozen and copied, and put
// out of the entries that named it. Any thread may do, or finish, each step behind the first; only that one needs
// memory (index/layout.hpp).
#include <algorithm>

#include "arena/crash_point.hpp"
#include "arena/prefetch.hpp"
#include "index/index.hpp"

namespace shoal {

// A leaf that is not frozen yet may fill or empty further: the copy is more crowded then, or less, and no less
// right.
SuccessorKind Index::choose_kind(const Leaf& leaf, std::uint64_t consumed) const noexcept {
    std::uint32_t live = 0;
    std::uint32_t tombstones = 0;
    for (const auto& leaf_slot : leaf.slots) {
        const std::uint64_t word = leaf_slot.load(std::memory_order_relaxed);  // relaxed: a count of one moment
        tombstones += (word & kTombstoneSlot) != 0;
        live += is_chain(word);
    }
    // Without many tombstones a copy would be no less crowded where it matters: split then, however few live.
    const std::uint32_t depth = snapshot(leaf.depth);
    const bool split = depth < kMaxDepth && (live > kLeafSlots / 2 || tombstones < kProbeSlots);
    if (!split) return SuccessorKind::kRebuilt;
    return depth == consumed ? SuccessorKind::kNode : SuccessorKind::kSplit;  // it has one entry: two need a node
}

AllocationStatus Index::make_replacement(const Leaf& leaf, SuccessorKind kind, Slot& slot) noexcept {
    const auto parts = static_cast<std::size_t>(kind);
    for (std::size_t part = 0; part < parts; ++part) {
        const Allocation block = blocks_->allocate(slot, part == kNodePart ? kNodeBytes : sizeof(Leaf));
        if (is_null(block.offset)) {
            discard_replacement(slot);
            return block.status;
        }
        crash_point(CrashPoint::kLeafPartTaken);
        remember_made(slot, MadeKind::kLeaves, static_cast<ArenaOffset>(offset_of(leaf)), part, block.offset);
        crash_point(CrashPoint::kLeafPartRemembered);
    }
    return AllocationStatus::kDone;
}

void Index::discard_replacement(Slot& slot) noexcept {
    for (const std::size_t part : {kLowerPart, kUpperPart, kNodePart}) discard_part(part, slot);
}

void Index::forget_replacement(Slot& maker) noexcept {
    // The part that the leaf's successor names goes last, as recovery tells by it that all are linked.
    for (const std::size_t part : {kUpperPart, kNodePart, kLowerPart}) forget_made(maker, part);
}

void Index::discard_part(std::size_t part, Slot& slot) noexcept {
    // relaxed: our own slot's word, or that of a dead one whose byte we have locked
    const auto block = static_cast<ArenaOffset>(slot.made[part].load(std::memory_order_relaxed));
    if (is_null(block)) return;
    const std::uint64_t bytes = part == kNodePart ? kNodeBytes : sizeof(Leaf);
    forget_made(slot, part);  // as in discard_tree
    crash_point(CrashPoint::kLeafPartForgotten);
    blocks_->release(slot, block, bytes, bytes);
}

bool Index::is_replacement_linked(ArenaOffset leaf, const Slot& maker) const noexcept {
    // acquire: pairs with publish_replacement
    const std::uint64_t successor = mapping_->at<Leaf>(leaf)->successor.load(std::memory_order_acquire);
    // relaxed: the maker is dead, and recovery has acquired its last words
    return successor != 0 && lower_of(successor) == maker.made[kLowerPart].load(std::memory_order_relaxed);
}

AllocationStatus Index::replace_leaf(ArenaOffset tree, Leaf& leaf, std::uint64_t hash, Slot& slot) noexcept {
    if (leaf.successor.load(std::memory_order_acquire) == 0) {  // pairs with publish_replacement
        const AllocationStatus status = publish_replacement(tree, leaf, hash, slot);
        if (status != AllocationStatus::kDone) return status;
    }
    carry_through(tree, leaf, hash, slot);
    return AllocationStatus::kDone;
}

// Memory first: whoever meets a frozen slot finds the blocks that its copy goes to, and needs none (I4).
AllocationStatus Index::publish_replacement(ArenaOffset tree, Leaf& leaf, std::uint64_t hash, Slot& slot) noexcept {
    std::uint64_t consumed = 0;
    // Another has replaced it: the caller looks anew.
    if (mapping_->at<Leaf>(find_leaf(tree, hash, &consumed)) != &leaf) return AllocationStatus::kDone;
    const SuccessorKind kind = choose_kind(leaf, consumed);
    const AllocationStatus status = make_replacement(leaf, kind, slot);
    if (status != AllocationStatus::kDone) return status;
    crash_point(CrashPoint::kLeafAllocated);
    const std::uint64_t successor = link_replacement(leaf, kind, slot);
    std::uint64_t expected = 0;
    // release: what the blocks say of themselves is seen with them; a failed try: another was first
    if (leaf.successor.compare_exchange_strong(expected, successor, std::memory_order_acq_rel,
                                               std::memory_order_acquire)) {
        crash_point(CrashPoint::kLeafPublished);
        forget_replacement(slot);
    } else {
        crash_point(CrashPoint::kLeafNotNeeded);
        discard_replacement(slot);
    }
    return AllocationStatus::kDone;
}

// Writes all of the new leaves and their node but what the old one holds; the successor to publish.
std::uint64_t Index::link_replacement(const Leaf& leaf, SuccessorKind kind, const Slot& slot) const noexcept {
    const auto made = [&](std::size_t part) {  // relaxed: our own slot's words
        return static_cast<ArenaOffset>(slot.made[part].load(std::memory_order_relaxed));
    };
    const bool split = kind != SuccessorKind::kRebuilt;
    const std::uint32_t depth = snapshot(leaf.depth) + (split ? 1 : 0);
    // By a node it is one exchange of one entry, installed or not: no entry names the old leaf beside the new ones.
    const std::uint64_t parent = kind == SuccessorKind::kNode ? 0 : offset_of(leaf);
    Leaf* lower = make_leaf(made(kLowerPart), depth);
    lower->sibling = raw(made(kUpperPart));
    lower->node = raw(made(kNodePart));
    lower->parent.store(parent, std::memory_order_relaxed);  // relaxed, as all here: published by the successor
    if (split) make_leaf(made(kUpperPart), depth)->parent.store(parent, std::memory_order_relaxed);
    if (kind == SuccessorKind::kNode) {
        auto* entries = mapping_->at<Entry>(made(kNodePart));
        for (std::uint64_t index = 0; index < 1ULL << kNodeBits; ++index) {
            const bool upper_half = index >= 1ULL << (kNodeBits - 1);
            entries[index].store(raw(upper_half ? made(kUpperPart) : made(kLowerPart)), std::memory_order_relaxed);
        }
    }
    return raw(made(kLowerPart)) | static_cast<std::uint64_t>(kind) | kPending;
}

// From a published replacement to one that is in every entry. Any number of threads may do so at once, each all of
// it, and any of them may be stopped or killed on the way.
void Index::carry_through(ArenaOffset tree, Leaf& leaf, std::uint64_t hash, Slot& maker) noexcept {
    const std::uint64_t successor = leaf.successor.load(std::memory_order_acquire);  // pairs: publish_replacement
    if (is_pending(successor)) {
        copy_leaf(leaf, successor);
        // release: pairs with install; the new leaves hold every copy when they can be reached (I4). Done by
        // another before, it changes nothing.
        leaf.successor.fetch_and(~kPending, std::memory_order_acq_rel);
        crash_point(CrashPoint::kLeafSucceeded);
    }
    crash_point(CrashPoint::kLeafReplaced);
    install(tree, leaf, hash, maker);
}

// Freezes the leaf and puts what lives in it into the new ones. A frozen slot never changes, so all who copy come
// to the same words in the same slots; and each word is exchanged for 0. One who is late, and finds the new leaves
// in use, changes nothing there: all slots that the copy fills were filled before, and none becomes empty again
// (I1).
void Index::copy_leaf(Leaf& leaf, std::uint64_t successor) const noexcept {
    for (auto& leaf_slot : leaf.slots) {
        // acquire: what was inserted before is seen by the copy; release: one who meets a frozen slot sees the
        // successor
        const std::uint64_t word = leaf_slot.fetch_or(kFrozen, std::memory_order_acq_rel);
        crash_point(CrashPoint::kLeafFreezing);
        if (is_chain(word)) prefetch_to_read(mapping_->at<Chain>(slot_chain(word)));
    }
    crash_point(CrashPoint::kLeafFrozen);
    const bool split = kind_of(successor) != SuccessorKind::kRebuilt;
    Leaf& lower = *mapping_->at<Leaf>(lower_of(successor));
    const unsigned told_apart = snapshot(leaf.depth) % 64;  // by which bit of the hash; in a damaged arena any
    std::array<Words, 2> halves{};
    for (const auto& leaf_slot : leaf.slots) {
        const std::uint64_t word =
            leaf_slot.load(std::memory_order_relaxed);  // relaxed: frozen, and acquired above
        if (!is_chain(word)) continue;
        const std::uint64_t hash = snapshot(mapping_->at<Chain>(slot_chain(word))->hash);
        Words& words = halves[split ? hash >> (63 - told_apart) & 1 : 0];
        std::uint32_t at = home_slot(hash);
        while (words[at] != 0) at = next_slot(at);  // it ends: so many slots have no more words
        words[at] = word & ~kFrozen;
    }
    const auto fill = [](Leaf& fresh, const Words& words) {
        for (std::uint32_t at = 0; at < kLeafSlots; ++at) {
            if (words[at] == 0) continue;
            std::uint64_t empty = 0;
            // relaxed: those who reach the leaf acquire what one released who had acquired each chain, and had
            // filled this slot or seen it filled. A failed try: another has filled it.
            fresh.slots[at].compare_exchange_strong(empty, words[at], std::memory_order_relaxed,
                                                    std::memory_order_relaxed);
            crash_point(CrashPoint::kLeafCopying);
        }
    };
    fill(lower, halves[0]);
    if (split) fill(*mapping_->at<Leaf>(lower.sibling), halves[1]);
    crash_point(CrashPoint::kLeafCopied);
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
    const std::uint64_t successor = leaf.successor.load(std::memory_order_acquire);  // pairs with carry_through
    if (!is_replaced(successor)) return;  // a damaged arena: nothing replaces this leaf
    const SuccessorKind kind = kind_of(successor);
    const Leaf& fresh = *mapping_->at<Leaf>(lower_of(successor));
    const std::uint64_t lower = kind == SuccessorKind::kNode ? fresh.node | kNodeTag : lower_of(successor);
    const std::uint64_t upper = kind == SuccessorKind::kSplit ? fresh.sibling : lower;

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
