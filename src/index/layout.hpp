// The index: a hash trie of nodes over leaves of buckets. Key → hash → entry → bucket → chain: beyond the nodes,
// which stay in cache, two misses.
//
//   Tree     names the root node; replaced as a whole by drop
//   node     entries by the next bits of the hash from the top: 12 bits in the root, 6 in every other
//   leaf     63 buckets of 8 slots; holds the keys whose top `depth` bits are the same; several entries of a node
//            may name one leaf, as in extendible hashing
//   slot     a word: chain offset, and 16 bits of the hash above it
//
// Growth is by leaf. A thread that finds no room takes the blocks of one or two new leaves and publishes them in
// the old leaf, as its pending successor. Only then is the old leaf frozen slot by slot, copied, and replaced in
// the entries. A thread that meets a frozen slot and must change it carries all of that through in the blocks that
// are published, and so needs no memory. A thread that only reads does not care.
//
// Thread safety: every word is atomic. A crash while splitting leaves a pending successor, or one that is not yet
// in every entry. The next thread that must change the leaf goes on (index/growth.cpp). Invariants: I1 a slot goes
// from empty to a chain to a tombstone, and never back; frozen, it never changes;
//             I2 a key's chain is in the first slot of its probe sequence that was empty when it was inserted, so
//                all who insert one key meet at one slot;
//             I3 a key has at most one chain that is not marked erased;
//             I4 a leaf's successor is published once, pending, before the first of its slots is frozen; it is no
//                longer pending only when every slot is frozen and the new leaves hold the copy of each;
//             I5 a leaf is changed only when no entry names the leaf that it replaced (Index::settle), and retired
//                only when nothing does;
//             I6 the 2^(bits - depth) entries of a node for the hashes of a leaf name that leaf, or while it is
//             being
//                replaced what replaces it; no node lies below kMaxDepth bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arena/atomic.hpp"
#include "arena/offset.hpp"
#include "index/geometry.hpp"

namespace shoal {

struct Tree {
    std::uint64_t root;                  // offset of the root node; immutable, but for who frees the tree
    Atomic<std::uint64_t> next_retired;  // link of arena/epoch
    Atomic<std::uint64_t> successor;     // 0, or the tree that a drop puts in its place, and whose drop: dropped_by
};
static_assert(sizeof(Tree) == 24 && std::is_standard_layout_v<Tree>);

// Tree::successor: the slot that dropped the tree, which is the one to retire it, and the tree that follows.
[[nodiscard]] constexpr std::uint64_t dropped_by(std::uint32_t slot_number, ArenaOffset successor) noexcept {
    return static_cast<std::uint64_t>(slot_number) << 48 | raw(successor);
}
[[nodiscard]] constexpr std::uint32_t dropper_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 48);
}
[[nodiscard]] constexpr ArenaOffset successor_of(std::uint64_t word) noexcept {
    return static_cast<ArenaOffset>(word & 0x0000'ffff'ffff'ffffULL);
}

inline constexpr std::uint64_t kRootBytes = 8ULL << kRootBits;
inline constexpr std::uint64_t kNodeBytes = 8ULL << kNodeBits;
inline constexpr unsigned kMaxDepth =
    60;  // bits of hash that tell leaves apart; then a leaf fills to its last slot

// Node entries: an offset, and in bit 0 whether it names a node (else a leaf).
using Entry = Atomic<std::uint64_t>;
inline constexpr std::uint64_t kNodeTag = 1;

inline constexpr std::uint32_t kLeafSlots = kLeafBuckets * kBucketSlots;

struct Leaf {
    alignas(64) std::uint32_t depth;     // bits of hash that all of its keys share; immutable
    Atomic<std::uint32_t> retirer;       // slot number + 1 of the one who retires the leaf, 0 before
    std::uint64_t sibling;               // the other half, in the lower leaf of a split; immutable
    Atomic<std::uint64_t> successor;     // offset of the (lower) new leaf | SuccessorKind | kPending, 0 before
    Atomic<std::uint64_t> next_retired;  // link of arena/epoch
    Atomic<std::uint64_t> parent;        // offset of the leaf it replaces, while an entry may still name that one
    std::uint64_t node;                  // the node over both halves, in the lower leaf of kNode; immutable
    alignas(64) std::array<Atomic<std::uint64_t>, kLeafSlots> slots;
};
static_assert(sizeof(Leaf) == kLeafBytes, "one block of 4 KiB");
static_assert(offsetof(Leaf, slots) == 64, "a bucket is a cache line");
static_assert(std::is_standard_layout_v<Leaf>, "offsets must mean the same in every build");

// What replaces a leaf, and so of how many blocks that is: a leaf; two halves; two halves and a node over them.
enum class SuccessorKind : std::uint64_t { kRebuilt = 1, kSplit = 2, kNode = 3 };
inline constexpr std::uint64_t kSuccessorKindBits = 3;
inline constexpr std::uint64_t kPending = 4;  // the blocks are there; what the leaf holds is not in them yet

[[nodiscard]] constexpr bool is_pending(std::uint64_t successor) noexcept { return (successor & kPending) != 0; }
[[nodiscard]] constexpr bool is_replaced(std::uint64_t successor) noexcept {
    return successor != 0 && !is_pending(successor);
}
[[nodiscard]] constexpr SuccessorKind kind_of(std::uint64_t successor) noexcept {
    return static_cast<SuccessorKind>(successor & kSuccessorKindBits);
}
[[nodiscard]] constexpr std::uint64_t lower_of(std::uint64_t successor) noexcept {
    return successor & ~(kSuccessorKindBits | kPending);
}

// Slot words. Chains are 64 B aligned, so the low bits are free for flags.
inline constexpr std::uint64_t kFrozen = 1;
inline constexpr std::uint64_t kTombstoneSlot = 2;
inline constexpr std::uint64_t kOffsetBits = 0x0000'ffff'ffff'ffc0ULL;

[[nodiscard]] constexpr std::uint64_t slot_word(std::uint64_t hash, ArenaOffset chain) noexcept {
    return hash << 48 | raw(chain);
}
[[nodiscard]] constexpr ArenaOffset slot_chain(std::uint64_t word) noexcept {
    return static_cast<ArenaOffset>(word & kOffsetBits);
}
[[nodiscard]] constexpr bool is_empty_slot(std::uint64_t word) noexcept { return (word & ~kFrozen) == 0; }
[[nodiscard]] constexpr bool is_frozen(std::uint64_t word) noexcept { return (word & kFrozen) != 0; }
[[nodiscard]] constexpr bool is_chain(std::uint64_t word) noexcept { return (word & kOffsetBits) != 0; }
[[nodiscard]] constexpr bool tag_matches(std::uint64_t word, std::uint64_t hash) noexcept {
    return (word ^ hash << 48) >> 48 == 0;
}
// The slot at which a key's probe sequence begins: from the low half of the hash, as nodes use the upper.
[[nodiscard]] constexpr std::uint32_t home_slot(std::uint64_t hash) noexcept {
    return static_cast<std::uint32_t>(((hash & 0xffff'ffffULL) * kLeafBuckets >> 32) * kBucketSlots);
}
[[nodiscard]] constexpr std::uint32_t next_slot(std::uint32_t at) noexcept {
    return at + 1 == kLeafSlots ? 0 : at + 1;
}

}  // namespace shoal
