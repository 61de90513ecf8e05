#include "index/index.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <new>

#include "arena/crash_point.hpp"
#include "arena/prefetch.hpp"

namespace shoal {

namespace {

constexpr int kMostReplacements = 1 << 10;  // as kMostTurns: of one hash's leaf, during one insert

bool has_tombstone(const Leaf& leaf) noexcept {
    return std::any_of(leaf.slots.begin(), leaf.slots.end(), [](const auto& leaf_slot) {
        return (leaf_slot.load(std::memory_order_relaxed) & kTombstoneSlot) != 0;  // relaxed: what is one stays one
    });
}

}  // namespace

std::uint64_t Index::offset_of(const Leaf& leaf) const noexcept {
    return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&leaf) -
                                      reinterpret_cast<const std::byte*>(&mapping_->header()));
}

std::uint32_t Index::number_of(const Slot& slot) const noexcept {
    return static_cast<std::uint32_t>(&slot - mapping_->at<Slot>(kSlotsAt));
}

void Index::prefer_top(Slot& slot) noexcept {
    for (const std::uint64_t bytes : {sizeof(Tree), sizeof(Leaf), kRootBytes})
        blocks_->move_source_to_top(slot, bytes);
}

Allocation Index::make_tree(ArenaOffset old, Slot& slot) noexcept {
    const Allocation made = blocks_->allocate(slot, sizeof(Tree));
    if (is_null(made.offset)) return made;
    auto* tree = new (mapping_->at<Tree>(made.offset)) Tree{};
    crash_point(CrashPoint::kTreeTaken);
    remember_made(slot, MadeKind::kTree, old, 0, made.offset);
    crash_point(CrashPoint::kTreeRemembered);
    const Allocation root = blocks_->allocate(slot, kRootBytes);
    tree->root = raw(root.offset);
    crash_point(CrashPoint::kTreePartlyMade);
    const Allocation leaf = is_null(root.offset) ? root : blocks_->allocate(slot, sizeof(Leaf));
    if (is_null(leaf.offset)) {
        discard_tree(slot);
        return leaf;
    }
    make_leaf(leaf.offset, 0);
    auto* entries = mapping_->at<Entry>(root.offset);
    for (std::uint64_t index = 0; index < 1ULL << kRootBits; ++index) {
        entries[index].store(raw(leaf.offset), std::memory_order_relaxed);  // relaxed: published by replace_tree
    }
    return made;
}

void Index::discard_tree(Slot& slot) noexcept {
    // relaxed: our own slot's word, or that of a dead one whose byte we have locked
    const auto tree = static_cast<ArenaOffset>(slot.made[0].load(std::memory_order_relaxed));
    empty_tree(tree, slot);
    forget_made(slot, 0);  // before the block is another's: a crash here can leak it, but not free it twice
    crash_point(CrashPoint::kTreeForgotten);
    free_tree(tree, slot);
}

void Index::publish_first_tree(ArenaOffset tree) noexcept {
    mapping_->header().tree.store(raw(tree), std::memory_order_release);  // pairs with tree()
}

ArenaOffset Index::tree_behind(ArenaOffset tree) const noexcept {
    for (;;) {  // a turn ends with a tree replaced by a drop
        static_cast<void>(finish_replacing(tree, 0));
        // acquire, both: as in tree()
        tree = static_cast<ArenaOffset>(mapping_->header().tree.load(std::memory_order_acquire));
        if (mapping_->at<Tree>(tree)->successor.load(std::memory_order_acquire) == 0) return tree;
    }
}

ArenaOffset Index::tree_to_read() const noexcept {
    // acquire, both: as in tree(). A successor counts from when it is there, whatever the header says yet.
    auto tree = static_cast<ArenaOffset>(mapping_->header().tree.load(std::memory_order_acquire));
    for (int turn = 0; turn < kMostReplacements; ++turn) {  // a turn ends with a tree replaced by a drop
        const std::uint64_t word = mapping_->at<Tree>(tree)->successor.load(std::memory_order_acquire);
        if (word == 0) break;
        tree = successor_of(word);
    }
    return tree;
}

bool Index::replace_tree(ArenaOffset old, ArenaOffset fresh, std::uint32_t slot_number) noexcept {
    std::uint64_t expected = 0;
    turn_changes_off(mapping_->header());
    // release: the fresh tree is whole when it can be reached; a failed try: another drop was quicker
    const bool won = mapping_->at<Tree>(old)->successor.compare_exchange_strong(
        expected, dropped_by(slot_number, fresh), std::memory_order_acq_rel, std::memory_order_acquire);
    crash_point(CrashPoint::kDropSucceeded);
    static_cast<void>(finish_replacing(old, slot_number));
    return won;
}

bool Index::finish_replacing(ArenaOffset old, std::uint32_t slot_number) const noexcept {
    const std::uint64_t word = mapping_->at<Tree>(old)->successor.load(std::memory_order_acquire);  // as above
    if (word == 0) return false;
    std::uint64_t expected = raw(old);
    // release: pairs with tree(); a failed try: another has carried it through
    mapping_->header().tree.compare_exchange_strong(expected, raw(successor_of(word)), std::memory_order_acq_rel,
                                                    std::memory_order_relaxed);
    return dropper_of(word) == slot_number;
}

Leaf* Index::make_leaf(ArenaOffset offset, std::uint32_t depth) const noexcept {
    auto* leaf = mapping_->at<Leaf>(offset);  // zero, as the allocator gives it
    leaf->depth = depth;
    return leaf;
}

Index::Inserted Index::insert(ArenaOffset tree, ArenaOffset fresh, Slot& slot) noexcept {
    const Chain& chain = *mapping_->at<Chain>(fresh);
    const std::uint64_t hash = snapshot(chain.hash);
    log_change(*mapping_, hash);
    for (int turn = 0; turn < kMostReplacements; ++turn) {  // it ends here, or with the leaf replaced
        Leaf& leaf = const_cast<Leaf&>(leaf_for(tree, hash));
        settle(tree, leaf, hash, slot);
        std::uint32_t at = home_slot(hash);
        std::uint32_t probed = 0;
        bool replace = false;
        while (!replace) {
            std::uint64_t word = leaf.slots[at].load(std::memory_order_acquire);  // pairs with the release below
            if (is_empty_slot(word)) {
                if (is_frozen(word) || (probed >= kProbeSlots && leaf.depth < kMaxDepth)) {
                    replace = true;
                    break;
                }
                // release: the chain is whole when it can be reached. A failed try: another filled or froze the
                // slot
                if (leaf.slots[at].compare_exchange_strong(word, slot_word(hash, fresh), std::memory_order_acq_rel,
                                                           std::memory_order_acquire)) {
                    return {InsertOutcome::kInserted, fresh};
                }
                continue;  // look at what is there now
            }
            if (tag_matches(word, hash) && is_chain(word)) {
                const Chain& other = *mapping_->at<Chain>(slot_chain(word));
                if (other.has_key(hash, chain.key()) && !is_marked_erased(*mapping_, other)) {
                    return {InsertOutcome::kFound, slot_chain(word)};
                }
            }
            at = next_slot(at);
            if (++probed == kLeafSlots) replace = true;  // not one empty slot
        }
        const bool hopeless = probed == kLeafSlots && leaf.depth >= kMaxDepth && !has_tombstone(leaf);
        const AllocationStatus status = hopeless ? AllocationStatus::kLimit : replace_leaf(tree, leaf, hash, slot);
        if (status != AllocationStatus::kDone) {
            return {status == AllocationStatus::kLimit ? InsertOutcome::kLimit : InsertOutcome::kNoSpace,
                    ArenaOffset::kNull};
        }
        if (&leaf_for(tree, hash) == &leaf) break;  // a replaced leaf is named by no entry
    }
    return {InsertOutcome::kDamaged, ArenaOffset::kNull};
}

bool Index::unlink(ArenaOffset tree, ArenaOffset erased, Slot& maker) noexcept {
    const std::uint64_t hash = snapshot(mapping_->at<Chain>(erased)->hash);
    for (int turn = 0; turn < kMostReplacements; ++turn) {  // it ends here, or with the leaf replaced
        Leaf& leaf = const_cast<Leaf&>(leaf_for(tree, hash));
        settle(tree, leaf, hash, maker);
        std::uint32_t at = home_slot(hash);
        std::uint64_t word = 0;
        for (std::uint32_t probed = 0; probed < kLeafSlots; ++probed, at = next_slot(at)) {
            word = leaf.slots[at].load(std::memory_order_acquire);  // pairs with insert's release
            if (is_empty_slot(word)) return true;
            if (slot_chain(word) == erased) break;
        }
        if (slot_chain(word) != erased) return true;  // another took it out
        if (!is_frozen(word)) {
            // release: pairs with find's acquire; a failed try: another took it out, or froze it
            if (leaf.slots[at].compare_exchange_strong(word, kTombstoneSlot, std::memory_order_acq_rel,
                                                       std::memory_order_acquire)) {
                return true;
            }
            continue;
        }
        carry_through(tree, leaf, hash, maker);     // frozen: its replacement is published (I4)
        if (&leaf_for(tree, hash) == &leaf) break;  // as in insert
    }
    return false;
}

bool Index::names(ArenaOffset tree, ArenaOffset chain) const noexcept {
    const std::uint64_t hash = snapshot(mapping_->at<Chain>(chain)->hash);
    const Leaf& leaf = leaf_for(tree, hash);
    std::uint32_t at = home_slot(hash);
    for (std::uint32_t probed = 0; probed < kLeafSlots; ++probed, at = next_slot(at)) {
        const std::uint64_t word = leaf.slots[at].load(std::memory_order_acquire);  // pairs with insert's release
        if (is_empty_slot(word)) return false;
        if (slot_chain(word) == chain) return true;
    }
    return false;
}

bool Index::for_each(ArenaOffset tree, const std::function<void(ArenaOffset)>& visit) const {
    std::uint64_t left = mapping_->bytes() / sizeof(Leaf);  // no arena has room for more
    // By ranges of the hash: a leaf that splits behind us is not seen twice.
    for (std::uint64_t prefix = 0; left != 0; --left) {
        const std::optional<std::uint64_t> next = visit_leaf(tree, prefix, [&](ArenaOffset chain) {
            visit(chain);
            return true;
        });
        if (!next) return false;
        prefix = *next;
        if (prefix == 0) return true;
    }
    return false;
}

std::optional<std::uint64_t> Index::visit_leaf(ArenaOffset tree, std::uint64_t from,
                                               const std::function<bool(ArenaOffset)>& visit) const {
    const Leaf& leaf = leaf_for(tree, from);
    // All words first, then a look at each chain: a key that is erased and made again between two words is in both,
    // and by then its first chain is marked.
    std::array<ArenaOffset, kLeafSlots> chains;
    std::size_t count = 0;
    for (const auto& leaf_slot : leaf.slots) {
        const std::uint64_t word = leaf_slot.load(std::memory_order_acquire);  // pairs with insert's release
        if (!is_chain(word)) continue;
        prefetch_to_read(mapping_->at<Chain>(slot_chain(word)));
        chains[count++] = slot_chain(word);
    }
    // Then each chain's tail, which says whether it is erased, while the chains come: two misses of each overlap.
    for (std::size_t at = 0; at < count; ++at) {
        const Chain& chain = *mapping_->at<Chain>(chains[at]);
        // relaxed: a guess at what will be read
        prefetch_to_read(mapping_->at<Segment>(chain.tail.load(std::memory_order_relaxed)));
    }
    for (std::size_t at = 0; at < count; ++at) {
        const Chain& chain = *mapping_->at<Chain>(chains[at]);
        if (chain.hash < from) continue;  // of a leaf that was replaced in the entries behind us, and seen there
        if (!is_marked_erased(*mapping_, chain) && !visit(chains[at])) break;
    }
    return leaf_behind(leaf, from);
}

void Index::visit_hash(ArenaOffset tree, std::uint64_t hash, const std::function<void(ArenaOffset)>& visit) const {
    const Leaf& leaf = leaf_for(tree, hash);
    std::array<ArenaOffset, kLeafSlots> chains;  // first, as in visit_leaf
    std::size_t count = 0;
    std::uint32_t at = home_slot(hash);
    for (std::uint32_t probed = 0; probed < kLeafSlots; ++probed, at = next_slot(at)) {
        const std::uint64_t word = leaf.slots[at].load(std::memory_order_acquire);  // pairs with insert's release
        if (is_empty_slot(word)) break;
        if (tag_matches(word, hash) && is_chain(word)) chains[count++] = slot_chain(word);
    }
    for (std::size_t each = 0; each < count; ++each) {
        const Chain& chain = *mapping_->at<Chain>(chains[each]);
        if (chain.hash == hash && !is_marked_erased(*mapping_, chain)) visit(chains[each]);
    }
}

std::optional<std::uint64_t> Index::next_leaf(ArenaOffset tree, std::uint64_t from) const {
    return leaf_behind(leaf_for(tree, from), from);
}

std::optional<std::uint64_t> Index::leaf_behind(const Leaf& leaf, std::uint64_t from) {
    const std::uint32_t depth = snapshot(leaf.depth);
    if (depth == 0) return 0;
    if (depth > kMaxDepth) return std::nullopt;
    const std::uint64_t step = 1ULL << (64 - depth);
    return (from & ~(step - 1)) + step;
}

void Index::empty_tree(ArenaOffset offset, Slot& slot) noexcept {
    Tree& tree = *mapping_->at<Tree>(offset);
    if (tree.root == 0) return;
    std::uint64_t left = mapping_->bytes() / sizeof(Leaf);  // as for_each: half-done replacements to carry through
    empty_node(offset, tree.root, kRootBits, kRootBits, 0, &left, slot);
    crash_point(CrashPoint::kTreeRootEmptied);
    const auto root = static_cast<ArenaOffset>(tree.root);
    tree.root = 0;  // first, here and below: a crash can leak what follows, and not free it twice
    crash_point(CrashPoint::kTreeRootForgotten);
    blocks_->release(slot, root, kRootBytes, kRootBytes);
}

void Index::empty_node(ArenaOffset tree, std::uint64_t node, unsigned bits, unsigned consumed, std::uint64_t prefix,
                       std::uint64_t* left, Slot& slot) noexcept {
    auto* entries = mapping_->at<Entry>(node);
    // relaxed throughout: nobody else can reach the tree
    for (std::uint64_t index = 0; index < 1ULL << bits;) {
        const std::uint64_t word = entries[index].load(std::memory_order_relaxed);
        const std::uint64_t here = prefix | index << (64 - consumed);
        if (word == 0 || ((word & kNodeTag) != 0 && consumed + kNodeBits > kMaxDepth)) {
            ++index;
        } else if ((word & kNodeTag) != 0) {
            empty_node(tree, word & ~kNodeTag, kNodeBits, consumed + kNodeBits, here, left, slot);
            crash_point(CrashPoint::kTreeNodeEmptied);
            entries[index++].store(0, std::memory_order_relaxed);
            crash_point(CrashPoint::kTreeNodeForgotten);
            blocks_->release(slot, static_cast<ArenaOffset>(word & ~kNodeTag), kNodeBytes, kNodeBytes);
        } else {
            Leaf& leaf = *mapping_->at<Leaf>(word);
            const bool half_done = *left != 0 && (leaf.parent.load(std::memory_order_relaxed) != 0 ||
                                                  leaf.successor.load(std::memory_order_relaxed) != 0);
            if (half_done) {  // what a dead process did not carry through
                *left -= 1;
                settle(tree, leaf, here, slot);
                if (leaf.successor.load(std::memory_order_relaxed) != 0) {
                    carry_through(tree, leaf, here, slot);
                    continue;
                }
            }
            empty_leaf(leaf, slot);
            crash_point(CrashPoint::kTreeLeafEmptied);
            while (index < 1ULL << bits && entries[index].load(std::memory_order_relaxed) == word) {
                entries[index++].store(0, std::memory_order_relaxed);  // entries of one leaf lie side by side
            }
            crash_point(CrashPoint::kTreeLeafForgotten);
            free_leaf(static_cast<ArenaOffset>(word), slot);
        }
    }
}

void Index::empty_leaf(Leaf& leaf, Slot& slot) noexcept {
    for (auto& leaf_slot : leaf.slots) {
        const std::uint64_t word = leaf_slot.load(std::memory_order_relaxed);  // relaxed: as in empty_node
        if (!is_chain(word)) continue;
        empty_chain(*mapping_, *blocks_, slot, slot_chain(word));
        give_up_chain(*mapping_, *blocks_, slot, leaf_slot, slot_chain(word));
        crash_point(CrashPoint::kTreeChainEmptied);
        leaf_slot.store(kTombstoneSlot, std::memory_order_relaxed);  // relaxed: as above
        crash_point(CrashPoint::kTreeChainForgotten);
        free_chain(*mapping_, *blocks_, slot, slot_chain(word));
    }
}

std::uint64_t Index::bytes_of_node(std::uint64_t node, unsigned bits, unsigned consumed,
                                   std::uint64_t* left) const {
    const auto* entries = mapping_->at<Entry>(node);
    std::uint64_t total = Blocks::block_bytes(8ULL << bits);
    std::uint64_t last = 0;
    for (std::uint64_t index = 0; index < 1ULL << bits; ++index) {
        const std::uint64_t word = entries[index].load(std::memory_order_acquire);  // pairs with install's release
        if (word == last || *left == 0) continue;
        last = word;
        *left -= 1;
        const bool is_node = (word & kNodeTag) != 0 && consumed < kMaxDepth;
        total +=
            is_node ? bytes_of_node(word & ~kNodeTag, kNodeBits, consumed + kNodeBits, left) : bytes_of_leaf(word);
    }
    return total;
}

// With what is to replace it; once that is installed, the old leaf is retired memory.
std::uint64_t Index::bytes_of_leaf(std::uint64_t leaf) const noexcept {
    // relaxed: an answer of one moment
    const std::uint64_t successor = mapping_->at<Leaf>(leaf)->successor.load(std::memory_order_relaxed);
    if (!is_pending(successor)) return sizeof(Leaf);
    switch (kind_of(successor)) {
        case SuccessorKind::kRebuilt:
            return 2 * sizeof(Leaf);
        case SuccessorKind::kSplit:
            return 3 * sizeof(Leaf);
        case SuccessorKind::kNode:
            break;
    }
    return 3 * sizeof(Leaf) + Blocks::block_bytes(kNodeBytes);
}

std::uint64_t Index::bytes(ArenaOffset tree) const {
    std::uint64_t left = mapping_->bytes() / kNodeBytes;  // nodes and leaves: no arena has room for more
    return Blocks::block_bytes(sizeof(Tree)) +
           bytes_of_node(mapping_->at<Tree>(tree)->root, kRootBits, kRootBits, &left);
}

}  // namespace shoal
