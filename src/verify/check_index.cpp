#include "verify/check_index.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <shoal/key.hpp>

namespace shoal {
namespace {

constexpr std::uint64_t kSlotFlags = 63 & ~(kFrozen | kTombstoneSlot);  // bits of a slot that mean nothing

bool is_malformed(std::uint64_t word) noexcept {
    if ((word & kSlotFlags) != 0) return true;
    return (word & kTombstoneSlot) != 0 ? (word & ~kFrozen) != kTombstoneSlot
                                        : !is_chain(word) && !is_empty_slot(word);
}

// relaxed, both: at rest
bool is_frozen_wholly(const Leaf& leaf) noexcept {
    return std::all_of(leaf.slots.begin(), leaf.slots.end(),
                       [](const auto& slot) { return is_frozen(slot.load(std::memory_order_relaxed)); });
}
bool has_frozen(const Leaf& leaf) noexcept {
    return std::any_of(leaf.slots.begin(), leaf.slots.end(),
                       [](const auto& slot) { return is_frozen(slot.load(std::memory_order_relaxed)); });
}

std::uint64_t top_bits(std::uint64_t hash, unsigned count) noexcept {
    return count == 0 ? 0 : hash >> (64 - count) << (64 - count);
}

}  // namespace

void IndexCheck::check_tree(std::uint64_t at, std::uint64_t from) {
    if (inspection_.reach(at, sizeof(Tree), from, "a tree", holder_) != Reached::kNew) return;
    const Tree& tree = *inspection_.mapping().at<Tree>(at);
    const std::uint64_t root = snapshot(tree.root);
    if (root == 0 && state_ == State::kPartly) return;
    const std::uint64_t named_by = at + offsetof(Tree, root);
    switch (inspection_.reach(root, kRootBytes, named_by, "a root node", holder_)) {
        case Reached::kNever:
            return;
        case Reached::kAgain:
            inspection_.damage("blocks I3", named_by,
                               fmt::format("names a root node at {:#x} that something else names", root));
            return;
        case Reached::kNew:
            break;
    }
    check_node(root, kRootBits, kRootBits, 0);
    if (inspection_.at_rest()) check_copies();
}

bool IndexCheck::check_node(std::uint64_t node, unsigned bits, unsigned consumed, std::uint64_t prefix) {
    inspection_.report().index_nodes += 1;
    const auto* entries = inspection_.mapping().at<Entry>(node);
    Group group;
    for (std::uint64_t index = 0; index < 1ULL << bits; ++index) {
        if (bits == kRootBits && !pause_()) return false;
        if (!inspection_.spend()) {
            inspection_.not_checked("the rest of the index: it changes faster than it can be read");
            return false;
        }
        const std::uint64_t word = entries[index].load(std::memory_order_acquire);  // pairs with install's release
        const std::uint64_t from = node + index * sizeof(Entry);
        const std::uint64_t here = prefix | index << (64 - consumed);
        if (word == 0 && state_ == State::kPartly) continue;
        if ((word & kNodeTag) == 0) {
            check_entry(word, from, consumed, index, here, &group);
            continue;
        }
        const std::uint64_t child = word & ~kNodeTag;
        if (consumed + kNodeBits > kMaxDepth) {
            inspection_.damage("index I6", from, fmt::format("names a node below {} bits of hash", consumed));
            continue;
        }
        const Reached reached = inspection_.reach(child, kNodeBytes, from, "a node", holder_);
        if (reached == Reached::kAgain && !side_by_side_.contains(child)) {
            inspection_.damage("blocks I3", from,
                               fmt::format("names a node at {:#x} that something else names", child));
        }
        if (reached != Reached::kNew) continue;
        if (!check_node(child, kNodeBits, consumed + kNodeBits, here)) return false;
    }
    return true;
}

// Several entries, side by side, name one leaf; a leaf of `depth` bits has 2^(consumed - depth) of them.
void IndexCheck::check_entry(std::uint64_t leaf, std::uint64_t from, unsigned consumed, std::uint64_t index,
                             std::uint64_t prefix, Group* group) {
    if (leaf == group->leaf) {
        if (index == group->end && state_ == State::kWhole) {  // once, for all that follow
            inspection_.damage("index I6", from, fmt::format("names {:#x}, behind the entries of that leaf", leaf));
        }
        return;
    }
    if (index < group->end && group->settled && leaf != group->parent && state_ == State::kWhole &&
        inspection_.at_rest()) {
        inspection_.damage(
            "index I6", from,
            fmt::format("names {:#x}, in the midst of entries of the leaf {:#x}", leaf, group->leaf));
    }
    const bool seen = inspection_.at_rest() && leaf % 64 == 0 && inspection_.bytes().inside(leaf, sizeof(Leaf)) &&
                      inspection_.was_reached(leaf);
    if (seen && !side_by_side_.contains(leaf)) {
        inspection_.damage("blocks I3", from, fmt::format("names a leaf at {:#x} that something else names", leaf));
        *group = {leaf, ~0ULL, false, 0};
        return;
    }
    const unsigned least = consumed == kRootBits ? 0 : consumed - kNodeBits + 1;
    if (!seen && !check_leaf(leaf, from, prefix, least, consumed)) {
        *group = {leaf, ~0ULL, false, 0};
        return;
    }
    const Leaf& here = *inspection_.mapping().at<Leaf>(leaf);
    const unsigned depth = snapshot(here.depth);
    if (depth > consumed) {  // seen, and not by way of entries
        inspection_.damage("index I6", leaf, fmt::format("depth {} where {} bits of hash lead", depth, consumed));
        return;
    }
    const std::uint64_t count = 1ULL << (consumed - depth);
    const std::uint64_t first = index & ~(count - 1);
    const bool replaced = is_replaced(here.successor.load(std::memory_order_acquire));  // pairs with carry_through
    if (first != index && !replaced && state_ == State::kWhole && inspection_.at_rest()) {
        inspection_.damage(
            "index I6", from,
            fmt::format("names the leaf {:#x} of depth {}, and the entry before it does not", leaf, depth));
    }
    *group = {leaf, first + count, !replaced, here.parent.load(std::memory_order_acquire)};  // pairs with install
}

bool IndexCheck::check_leaf(std::uint64_t at, std::uint64_t from, std::uint64_t prefix, unsigned least,
                            unsigned most) {
    if (inspection_.reach(at, sizeof(Leaf), from, "a leaf", holder_) != Reached::kNew) return false;
    inspection_.report().index_leaves += 1;
    const Leaf& leaf = *inspection_.mapping().at<Leaf>(at);
    const unsigned depth = snapshot(leaf.depth);
    if (depth < least || depth > most || depth > kMaxDepth) {
        inspection_.damage("index I6", at, fmt::format("depth {} where {} to {} are possible", depth, least, most));
        return false;
    }
    const Place place{top_bits(prefix, depth), depth};
    if (inspection_.at_rest()) {
        check_parent(leaf, at, place);
        // acquire: pairs with carry_through
        const std::uint64_t successor = leaf.successor.load(std::memory_order_acquire);
        if (is_replaced(successor)) {  // its chains are in the successors as well
            side_by_side_.insert(at);
            check_successor(leaf, at, place, successor);
            return true;
        }
        if (is_pending(successor)) {
            check_pending(leaf, at, place, successor);
        } else if (state_ == State::kWhole && has_frozen(leaf)) {
            inspection_.damage("index I4", at, "a slot is frozen, and nothing is to replace the leaf");
        }
    }
    check_slots(leaf, at, place);
    return true;
}

void IndexCheck::check_slots(const Leaf& leaf, std::uint64_t at, Place place) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> chains;  // hash, offset, of those not erased
    for (std::uint32_t slot = 0; slot < kLeafSlots; ++slot) {
        // acquire: pairs with insert's release
        const std::uint64_t word = leaf.slots[slot].load(std::memory_order_acquire);
        const std::uint64_t from = at + offsetof(Leaf, slots) + slot * 8;
        if (is_malformed(word)) {
            inspection_.damage("index I1", from, fmt::format("{:#x} is no word of a slot", word));
            continue;
        }
        if (!is_chain(word)) continue;
        if (!inspection_.spend()) {
            inspection_.not_checked("the rest of the index: it changes faster than it can be read");
            return;
        }
        const CheckedChain chain = check_chain(inspection_, raw(slot_chain(word)), from, holder_, state_);
        if (!chain.readable || state_ == State::kPartly) continue;
        if (top_bits(chain.hash, place.depth) != place.prefix || !tag_matches(word, chain.hash)) {
            inspection_.damage("index I2", from,
                               fmt::format("names a chain of hash {:#x}, which belongs elsewhere", chain.hash));
            continue;
        }
        for (std::uint32_t before = home_slot(chain.hash); before != slot; before = next_slot(before)) {
            // acquire: what was filled before this slot was is seen
            if (!is_empty_slot(leaf.slots[before].load(std::memory_order_acquire))) continue;
            inspection_.damage(
                "index I2", from,
                fmt::format("names a chain that no look-up finds: slot {} before it is empty", before));
            break;
        }
        if (!chain.erased) chains.emplace_back(chain.hash, raw(slot_chain(word)));
    }
    check_for_twins(chains);
}

// The tail again, which has been found to be one of the chain's segments, and may be another by now.
bool IndexCheck::is_erased_now(const Chain& chain) {
    const std::uint64_t tail = chain.tail.load(std::memory_order_acquire);  // as in append_to
    if (!inspection_.bytes().allocated(tail, sizeof(Segment)) || tail % 64 != 0) return true;
    return is_erased(inspection_.mapping().at<Segment>(tail)->next.load(std::memory_order_acquire));  // mark_erased
}

void IndexCheck::check_for_twins(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& found) {
    auto chains = found;
    std::sort(chains.begin(), chains.end());
    for (std::size_t next = 1; next < chains.size(); ++next) {
        if (chains[next - 1].first != chains[next].first) continue;
        const Chain& one = *inspection_.mapping().at<Chain>(chains[next - 1].second);
        const Chain& other = *inspection_.mapping().at<Chain>(chains[next].second);
        const std::uint64_t bytes = snapshot(other.key_bytes);
        if (bytes != snapshot(one.key_bytes) || bytes > kMaxKeyBytes ||
            std::memcmp(one.key_data(), other.key_data(), bytes) != 0) {
            continue;
        }
        // Beside others one of the two may have been erased, and the other made, since it was looked at.
        if (!inspection_.at_rest() && (is_erased_now(one) || is_erased_now(other))) continue;
        inspection_.damage("index I3", chains[next].second,
                           fmt::format("its key has another chain at {:#x}", chains[next - 1].second));
    }
}

void IndexCheck::check_pending(const Leaf& leaf, std::uint64_t at, Place place, std::uint64_t successor) {
    const std::uint64_t from = at + offsetof(Leaf, successor);
    const SuccessorKind kind = kind_of(successor);
    const bool split = kind == SuccessorKind::kSplit || kind == SuccessorKind::kNode;
    if (!split && kind != SuccessorKind::kRebuilt) {
        inspection_.damage("index I4", from, fmt::format("{:#x} is no successor of a leaf", successor));
        return;
    }
    const auto take = [&](std::uint64_t block, std::uint64_t bytes, std::uint64_t named_by) {
        const Reached reached = inspection_.reach(block, bytes, named_by, "what is to replace a leaf", holder_);
        if (reached == Reached::kAgain) {
            inspection_.damage("blocks I3", named_by,
                               fmt::format("names {:#x}, which something else names", block));
        }
        return reached == Reached::kNew;
    };
    const std::uint64_t lower = lower_of(successor);
    if (!take(lower, sizeof(Leaf), from)) return;
    const unsigned depth = place.depth + (split ? 1 : 0);
    const std::uint64_t parent = kind == SuccessorKind::kNode ? 0 : at;
    check_pending_half(leaf, lower, parent, depth);
    if (!split) return;
    const Leaf& first = *inspection_.mapping().at<Leaf>(lower);
    const std::uint64_t upper = snapshot(first.sibling);
    if (take(upper, sizeof(Leaf), lower + offsetof(Leaf, sibling))) check_pending_half(leaf, upper, parent, depth);
    if (kind == SuccessorKind::kNode)
        static_cast<void>(take(snapshot(first.node), kNodeBytes, lower + offsetof(Leaf, node)));
}

void IndexCheck::check_pending_half(const Leaf& leaf, std::uint64_t half, std::uint64_t parent, unsigned depth) {
    const Leaf& fresh = *inspection_.mapping().at<Leaf>(half);
    // relaxed, all: at rest
    if (snapshot(fresh.depth) != depth || fresh.parent.load(std::memory_order_relaxed) != parent) {
        inspection_.damage("index I4", half,
                           fmt::format("is to replace a leaf at {:#x} of depth {}, and says depth {} and {:#x}",
                                       inspection_.offset_of(&leaf), depth, snapshot(fresh.depth),
                                       fresh.parent.load(std::memory_order_relaxed)));
    }
    std::unordered_set<std::uint64_t> frozen;
    for (const auto& slot : leaf.slots) {
        const std::uint64_t word = slot.load(std::memory_order_relaxed);
        if (is_frozen(word) && is_chain(word)) frozen.insert(word & ~kFrozen);
    }
    const bool whole = is_frozen_wholly(leaf);
    for (std::uint32_t slot = 0; slot < kLeafSlots; ++slot) {
        const std::uint64_t word = fresh.slots[slot].load(std::memory_order_relaxed);
        if (word == 0 || (whole && frozen.contains(word))) continue;
        inspection_.damage("index I4", half + offsetof(Leaf, slots) + slot * 8,
                           fmt::format("{:#x} is no copy of a frozen slot of the leaf that is replaced", word));
    }
}

void IndexCheck::check_successor(const Leaf& leaf, std::uint64_t at, Place place, std::uint64_t successor) {
    const bool strict = state_ == State::kWhole;
    const bool frozen = is_frozen_wholly(leaf);
    const std::uint64_t from = at + offsetof(Leaf, successor);
    if (strict && !frozen)
        inspection_.damage("index I4", from, "the leaf has a successor and is not wholly frozen");
    if (strict && leaf.retirer.load(std::memory_order_relaxed) != 0) {  // relaxed: at rest
        inspection_.damage("index I5", at, "the leaf is retired, and can still be reached");
    }
    if (strict) replaced_.push_back(at);
    const std::uint64_t next = lower_of(successor);
    const auto follow = [&](std::uint64_t offset, std::uint64_t named_by, unsigned depth, std::uint64_t prefix) {
        if (inspection_.bytes().inside(offset, sizeof(Leaf)) && inspection_.was_reached(offset)) return;
        if (check_leaf(offset, named_by, prefix, depth, depth)) side_by_side_.insert(offset);
    };
    switch (kind_of(successor)) {
        case SuccessorKind::kRebuilt:
            return follow(next, from, place.depth, place.prefix);
        case SuccessorKind::kSplit: {
            const unsigned depth = place.depth + 1;
            follow(next, from, depth, place.prefix);
            if (!inspection_.bytes().inside(next, sizeof(Leaf)) || !inspection_.was_reached(next)) return;
            const Leaf& lower = *inspection_.mapping().at<Leaf>(next);
            return follow(snapshot(lower.sibling), next + offsetof(Leaf, sibling), depth,
                          place.prefix | 1ULL << (64 - depth));
        }
        case SuccessorKind::kNode: {
            const unsigned consumed = place.depth + kNodeBits;
            if (consumed > kMaxDepth || !inspection_.readable(next, sizeof(Leaf), from, "a leaf")) break;
            const std::uint64_t node = snapshot(inspection_.mapping().at<Leaf>(next)->node);
            const std::uint64_t named_by = next + offsetof(Leaf, node);
            if (inspection_.reach(node, kNodeBytes, named_by, "a node", holder_) != Reached::kNew) return;
            side_by_side_.insert(node);
            static_cast<void>(check_node(node, kNodeBits, consumed, place.prefix));
            return;
        }
    }
    inspection_.damage("index I4", from, fmt::format("{:#x} is no successor of a leaf", successor));
}

void IndexCheck::check_parent(const Leaf& leaf, std::uint64_t at, Place place) {
    const std::uint64_t parent = leaf.parent.load(std::memory_order_acquire);  // pairs with install
    if (parent == 0) return;
    const std::uint64_t from = at + offsetof(Leaf, parent);
    const bool seen = inspection_.bytes().inside(parent, sizeof(Leaf)) && inspection_.was_reached(parent);
    if (!seen && inspection_.reach(parent, sizeof(Leaf), from, "a replaced leaf", holder_) != Reached::kNew) return;
    if (seen && !side_by_side_.contains(parent)) {
        inspection_.damage("index I5", from, fmt::format("names {:#x}, which is no replaced leaf", parent));
        return;
    }
    if (seen) return;
    side_by_side_.insert(parent);
    const Leaf& old = *inspection_.mapping().at<Leaf>(parent);
    const unsigned depth = snapshot(old.depth);
    const std::uint64_t successor = old.successor.load(std::memory_order_acquire);  // pairs with carry_through
    if (!is_replaced(successor) || depth > place.depth || depth + 1 < place.depth) {
        inspection_.damage("index I5", from, fmt::format("names {:#x}, which this leaf does not replace", parent));
        return;
    }
    side_by_side_.insert(at);
    check_successor(old, parent, {top_bits(place.prefix, depth), depth}, successor);
}

void IndexCheck::check_copies() {
    for (const std::uint64_t at : replaced_) {
        const Leaf& leaf = *inspection_.mapping().at<Leaf>(at);
        for (std::uint32_t slot = 0; slot < kLeafSlots; ++slot) {
            const std::uint64_t word = leaf.slots[slot].load(std::memory_order_relaxed);  // relaxed: frozen
            const std::uint64_t chain = raw(slot_chain(word));
            if (!is_chain(word) ||
                (inspection_.bytes().inside(chain, sizeof(Chain)) && inspection_.was_reached(chain)))
                continue;
            inspection_.damage("index I4", at + offsetof(Leaf, slots) + slot * 8,
                               fmt::format("the chain {:#x} of a replaced leaf is not in its successor", chain));
        }
    }
}

void IndexCheck::check_retired_leaf(Inspection& inspection, std::uint64_t leaf, std::uint64_t from, Holder holder) {
    if (inspection.reach(leaf, sizeof(Leaf), from, "a leaf", holder) == Reached::kAgain) {
        inspection.damage("epoch I1", from, fmt::format("the retired leaf {:#x} can still be reached", leaf));
    }
}

}  // namespace shoal
