// Look-up, insert, unlink and growth of the index (index/layout.hpp).
//
// Thread safety: every function, from any process, inside an epoch. find() is wait-free but for the depth of the
// trie; insert and unlink are lock-free: a failed turn means that another changed that very slot or leaf. Only
// insert and make_tree take memory.
// A crash anywhere leaves an index that others use and grow as before; it leaks at most what was not yet linked.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "arena/epoch.hpp"
#include "chain/chain.hpp"
#include "index/layout.hpp"

namespace shoal {

class Index {
public:
    Index(const Mapping& mapping, Blocks& blocks, Epochs& epochs) noexcept
        : mapping_(&mapping), blocks_(&blocks), epochs_(&epochs) {}
    // To read only, by tree_to_read and const functions, in a glance (arena/glance.hpp).
    explicit Index(const Mapping& mapping) noexcept : mapping_(&mapping), blocks_(nullptr), epochs_(nullptr) {}

    // The tree of this moment. An operation reads it once and stays with it. A drop takes effect when its tree
    // becomes the successor: so it does while its process lives, or never.
    [[nodiscard]] ArenaOffset tree() const noexcept {
        // acquire: pairs with the release that published it
        const auto tree = static_cast<ArenaOffset>(mapping_->header().tree.load(std::memory_order_acquire));
        // acquire: pairs with replace_tree
        if (mapping_->at<Tree>(tree)->successor.load(std::memory_order_acquire) == 0) [[likely]]
            return tree;
        return tree_behind(tree);
    }

    // The same, and nothing is helped on.
    [[nodiscard]] ArenaOffset tree_to_read() const noexcept;

    // Makes the next make_tree take pages at the top of the arena, where it breaks up no room.
    void prefer_top(Slot& slot) noexcept;
    // An empty tree that nobody can see yet, to replace `old`: null on failure. It stands in Slot::made until it is
    // linked and the caller says so (forget_made), or discards it.
    [[nodiscard]] Allocation make_tree(ArenaOffset old, Slot& slot) noexcept;
    void discard_tree(Slot& slot) noexcept;
    // Puts `fresh` in the place of `old`, for the slot of that number, or helps the one who was quicker; true for
    // the winner, which retires the old.
    [[nodiscard]] bool replace_tree(ArenaOffset old, ArenaOffset fresh, std::uint32_t slot_number) noexcept;
    // Carries through what replace_tree began; true when it was begun by that slot.
    bool finish_replacing(ArenaOffset old, std::uint32_t slot_number) const noexcept;
    void publish_first_tree(ArenaOffset tree) noexcept;

    [[nodiscard]] const Leaf& leaf_for(ArenaOffset tree, std::uint64_t hash) const noexcept {
        std::uint64_t consumed = 0;
        return *mapping_->at<Leaf>(find_leaf(tree, hash, &consumed));
    }

    // The second entry on the way to the hash's leaf, or the first where there is but one: to be asked for ahead.
    [[nodiscard]] const Entry* second_entry(ArenaOffset tree, std::uint64_t hash) const noexcept {
        const Entry* entry = &mapping_->at<Entry>(mapping_->at<Tree>(tree)->root)[hash >> (64 - kRootBits)];
        const std::uint64_t word = entry->load(std::memory_order_acquire);  // pairs with install's release
        if ((word & kNodeTag) == 0) return entry;
        return &mapping_->at<Entry>(word &
                                    ~kNodeTag)[hash >> (64 - kRootBits - kNodeBits) & ((1U << kNodeBits) - 1)];
    }

    // The key's chain, or null. kFirst takes the first that is there, erased or not, without a look at its
    // segments: the caller finds out, and asks again for the one that is kLive.
    enum class Which : std::uint8_t { kFirst, kLive };
    [[nodiscard]] ArenaOffset find(ArenaOffset tree, ByteView key, std::uint64_t hash, Which which) const noexcept {
        const Leaf& leaf = leaf_for(tree, hash);
        std::uint32_t at = home_slot(hash);
        for (std::uint32_t probed = 0; probed < kLeafSlots; ++probed) {
            const std::uint64_t word =
                leaf.slots[at].load(std::memory_order_acquire);  // pairs with insert's release
            if (is_empty_slot(word)) return ArenaOffset::kNull;
            if (tag_matches(word, hash) && is_chain(word)) {
                const auto* chain = mapping_->at<Chain>(slot_chain(word));
                if (chain->has_key(hash, key) && (which == Which::kFirst || !is_marked_erased(*mapping_, *chain))) {
                    return slot_chain(word);
                }
            }
            at = next_slot(at);
        }
        return ArenaOffset::kNull;
    }

    // The first chain in the hash's home bucket whose tag matches, which it most often is; null: look with find().
    [[nodiscard]] ArenaOffset candidate(ArenaOffset tree, std::uint64_t hash) const noexcept {
        const Leaf& leaf = leaf_for(tree, hash);
        const std::uint32_t home = home_slot(hash);
        for (std::uint32_t at = home; at < home + kBucketSlots; ++at) {
            const std::uint64_t word =
                leaf.slots[at].load(std::memory_order_acquire);  // pairs with insert's release
            if (tag_matches(word, hash) && is_chain(word)) return slot_chain(word);
        }
        return ArenaOffset::kNull;
    }

    enum class InsertOutcome : std::uint8_t { kInserted, kFound, kLimit, kNoSpace, kDamaged };
    struct Inserted {
        InsertOutcome outcome;
        ArenaOffset chain;  // kInserted: the new one; kFound: the one that was there
    };
    // Links `fresh`, unless the key has a chain that is not erased.
    [[nodiscard]] Inserted insert(ArenaOffset tree, ArenaOffset fresh, Slot& slot) noexcept;

    // Gives back what the slot's thread has made to replace a leaf and nobody has linked. As discard_tree.
    void discard_replacement(Slot& slot) noexcept;
    // It is linked: out of the journal with it.
    void forget_replacement(Slot& maker) noexcept;
    // Whether the leaf's successor is what `maker` has made.
    [[nodiscard]] bool is_replacement_linked(ArenaOffset leaf, const Slot& maker) const noexcept;
    // Carries through the replacement of a leaf that `dead` was about, and retires the leaf if that was left to it.
    void finish_replacement(Slot& dead) noexcept;
    // Whether that very chain is in the tree.
    [[nodiscard]] bool names(ArenaOffset tree, ArenaOffset chain) const noexcept;

    // Takes an erased chain out, and needs no memory for it. False in a damaged arena alone: then the chain stays
    // linked, and is passed over. `maker` is inside the epoch, and its recoverer finishes what is left half-done:
    // the caller's slot, or a dead one that it recovers.
    [[nodiscard]] bool unlink(ArenaOffset tree, ArenaOffset chain, Slot& maker) noexcept;

    // Calls visit for every chain of the tree that is not marked erased; keys that are there throughout come once.
    // The calls happen inside the caller's epoch. False when the arena is damaged, and then perhaps not for all.
    bool for_each(ArenaOffset tree, const std::function<void(ArenaOffset)>& visit) const;

    // As for_each, for the one leaf that holds the hash `from`, and its chains of that hash or above, until visit
    // returns false. The hash at which the next leaf begins, 0 after the last; nothing when the arena is damaged.
    std::optional<std::uint64_t> visit_leaf(ArenaOffset tree, std::uint64_t from,
                                            const std::function<bool(ArenaOffset)>& visit) const;
    // As for_each, for the chains of that hash.
    void visit_hash(ArenaOffset tree, std::uint64_t hash, const std::function<void(ArenaOffset)>& visit) const;
    // The hash at which the leaf behind that of `from` begins, as visit_leaf.
    [[nodiscard]] std::optional<std::uint64_t> next_leaf(ArenaOffset tree, std::uint64_t from) const;

    // Frees all that hangs from a tree that nobody can reach. May be broken off by a crash and begun anew: it leaks
    // one block then. The Tree itself is left.
    void empty_tree(ArenaOffset tree, Slot& slot) noexcept;
    void free_tree(ArenaOffset tree, Slot& slot) noexcept {
        blocks_->release(slot, tree, sizeof(Tree), sizeof(Tree));
    }
    void free_leaf(ArenaOffset leaf, Slot& slot) noexcept {
        blocks_->release(slot, leaf, sizeof(Leaf), sizeof(Leaf));
    }

    [[nodiscard]] std::uint64_t bytes(ArenaOffset tree) const;

private:
    // The words of a leaf that nobody can see yet.
    using Words = std::array<std::uint64_t, kLeafSlots>;

    // What a leaf is replaced by, in Slot::made.
    static constexpr std::size_t kLowerPart = 0;
    static constexpr std::size_t kUpperPart = 1;
    static constexpr std::size_t kNodePart = 2;

    // The hash behind those of the leaf that holds `from`, as next_leaf.
    [[nodiscard]] static std::optional<std::uint64_t> leaf_behind(const Leaf& leaf, std::uint64_t from);

    // The same where a drop has put another in its place.
    [[nodiscard]] ArenaOffset tree_behind(ArenaOffset tree) const noexcept;

    // The hash's leaf; *consumed: bits of hash that lead to its node's entry. The entry is loaded once: after the
    // load that finds a leaf there, the entry may name a node.
    [[nodiscard]] std::uint64_t find_leaf(ArenaOffset tree, std::uint64_t hash,
                                          std::uint64_t* consumed) const noexcept {
        const Entry* entries = mapping_->at<Entry>(mapping_->at<Tree>(tree)->root);
        unsigned shift = 64 - kRootBits;
        const Entry* entry = &entries[hash >> shift];
        for (;;) {
            const std::uint64_t word = entry->load(std::memory_order_acquire);  // pairs with install's release
            *consumed = 64 - shift;
            if ((word & kNodeTag) == 0 || shift < kNodeBits) return word;  // the latter in a damaged arena
            shift -= kNodeBits;
            entry = &mapping_->at<Entry>(word & ~kNodeTag)[hash >> shift & ((1U << kNodeBits) - 1)];
        }
    }

    // The first of the entries that name, or named, the leaf of this depth that holds the hash, and their count.
    [[nodiscard]] Entry* entries_of_leaf(ArenaOffset tree, std::uint64_t hash, unsigned depth,
                                         std::uint64_t* count) const noexcept;

    // Without memory for a replacement, and none published: nothing is frozen, and the leaf is as it was.
    [[nodiscard]] AllocationStatus replace_leaf(ArenaOffset tree, Leaf& leaf, std::uint64_t hash,
                                                Slot& slot) noexcept;
    [[nodiscard]] AllocationStatus publish_replacement(ArenaOffset tree, Leaf& leaf, std::uint64_t hash,
                                                       Slot& slot) noexcept;
    [[nodiscard]] SuccessorKind choose_kind(const Leaf& leaf, std::uint64_t consumed) const noexcept;
    [[nodiscard]] AllocationStatus make_replacement(const Leaf& leaf, SuccessorKind kind, Slot& slot) noexcept;
    [[nodiscard]] std::uint64_t link_replacement(const Leaf& leaf, SuccessorKind kind,
                                                 const Slot& slot) const noexcept;
    void discard_part(std::size_t part, Slot& slot) noexcept;
    // These need no memory. `maker`: as in unlink.
    void carry_through(ArenaOffset tree, Leaf& leaf, std::uint64_t hash, Slot& maker) noexcept;
    void copy_leaf(Leaf& leaf, std::uint64_t successor) const noexcept;
    void install(ArenaOffset tree, Leaf& leaf, std::uint64_t hash, Slot& maker) noexcept;
    [[nodiscard]] std::uint64_t offset_of(const Leaf& leaf) const noexcept;
    [[nodiscard]] std::uint32_t number_of(const Slot& slot) const noexcept;
    void settle(ArenaOffset tree, const Leaf& leaf, std::uint64_t hash, Slot& maker) noexcept;
    void empty_node(ArenaOffset tree, std::uint64_t node, unsigned bits, unsigned consumed, std::uint64_t prefix,
                    std::uint64_t* left, Slot& slot) noexcept;
    void empty_leaf(Leaf& leaf, Slot& slot) noexcept;
    [[nodiscard]] std::uint64_t bytes_of_node(std::uint64_t node, unsigned bits, unsigned consumed,
                                              std::uint64_t* left) const;
    [[nodiscard]] std::uint64_t bytes_of_leaf(std::uint64_t leaf) const noexcept;
    Leaf* make_leaf(ArenaOffset offset, std::uint32_t depth) const noexcept;

    const Mapping* mapping_;
    Blocks* blocks_;
    Epochs* epochs_;
};

}  // namespace shoal
