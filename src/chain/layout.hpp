// A chain: one key, and the segments that hold its value. The key's bytes follow the struct.
//
// Thread safety: `tail` is atomic, `next_retired` belongs to arena/epoch; the rest is immutable once in the index.
// A crash before the chain is in the index leaks it.
// Invariants: I1 a chain in the index has at least one committed record (it is made with one);
//             I2 tail only moves along `next`, and only from a closed segment;
//             I3 claims are made only in the segment that the tail names, after it names it;
//             I4 once the last segment's next is an erased mark, the chain takes no record, for ever;
//             I5 key_bytes is at most kMaxKeyBytes, and hash that of the key;
//             I6 identity's generation is one of those handed out; in a store that does not spill it is 0 until a
//                backup needs one (give_generation), and never changes from then on.
//
// Generations begin anew behind 2^40, which a million new keys a second reach in two weeks. That does no harm. They
// tell an extent, or a place that a reader has in hand, from one of the same key's chain before: such a reader
// would have to be at it while 2^40 chains are made. Nothing else may take two living chains of one generation for
// one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <shoal/bytes.hpp>
#include <shoal/key.hpp>

#include "arena/atomic.hpp"
#include "arena/offset.hpp"
#include "arena/snapshot.hpp"

namespace shoal {

struct Chain {
    Atomic<std::uint64_t> tail;          // offset of the segment that takes claims; moved on by anyone
    std::uint64_t root;                  // offset of the first segment; immutable, but for who frees the chain
    std::uint64_t hash;                  // XXH3 of the key with the arena's seed
    Atomic<std::uint64_t> next_retired;  // link of arena/epoch
    Atomic<std::uint64_t> identity;      // identity_of(): which chain of all that the store ever had, and its codec
    std::uint32_t key_bytes;

    [[nodiscard]] std::byte* key_data() noexcept { return reinterpret_cast<std::byte*>(this) + kKeyAt; }
    [[nodiscard]] const std::byte* key_data() const noexcept {
        return reinterpret_cast<const std::byte*>(this) + kKeyAt;
    }
    [[nodiscard]] ByteView key() const noexcept {  // never longer than a key is, whatever stands there
        return {key_data(), std::min<std::uint64_t>(snapshot(key_bytes), kMaxKeyBytes)};
    }
    [[nodiscard]] bool has_key(std::uint64_t key_hash, ByteView key) const noexcept {
        return hash == key_hash && key_bytes == key.size() &&
               (key.empty() || std::memcmp(key_data(), key.data(), key.size()) == 0);
    }

    static constexpr std::uint64_t kKeyAt = 44;  // right behind key_bytes: keys up to 20 bytes share the line
    [[nodiscard]] static constexpr std::uint64_t bytes_for(std::uint64_t key_bytes) noexcept {
        return kKeyAt + key_bytes;
    }
};

static_assert(sizeof(Chain) == 48 && alignof(Chain) == 8);
static_assert(offsetof(Chain, tail) == 0 && offsetof(Chain, root) == 8 && offsetof(Chain, hash) == 16);
static_assert(offsetof(Chain, next_retired) == 24 && offsetof(Chain, identity) == 32);
static_assert(offsetof(Chain, key_bytes) == 40);
static_assert(Chain::kKeyAt == offsetof(Chain, key_bytes) + sizeof(std::uint32_t), "the key follows its length");
static_assert(std::is_standard_layout_v<Chain>, "offsets must mean the same in every build");

// A chain's identity: its generation, 1 for the store's first chain, by which extents tell a
// key that was erased and made again from what it was before (0 in a store that does not spill, until a backup
// reads the chain over several epochs); and the packed codec of its extents, 0 where it is the store's.
inline constexpr unsigned kGenerationBits = 40;
[[nodiscard]] constexpr std::uint64_t identity_of(std::uint64_t generation, std::uint32_t codec) noexcept {
    return generation | static_cast<std::uint64_t>(codec) << kGenerationBits;
}
[[nodiscard]] constexpr std::uint64_t generation_of(std::uint64_t identity) noexcept {
    return identity & ((1ULL << kGenerationBits) - 1);
}
// Of the chain that is made when so many have been; 0 is none, and the next one is to be taken.
[[nodiscard]] constexpr std::uint64_t generation_after(std::uint64_t handed_out) noexcept {
    return generation_of(handed_out + 1);
}
[[nodiscard]] constexpr std::uint32_t codec_of(std::uint64_t identity) noexcept {
    return static_cast<std::uint32_t>(identity >> kGenerationBits);
}

}  // namespace shoal
