// What lies in a checkpoint, the file that says what a sync has made durable: one header, then blocks of chains,
// each with the places of its bytes in spill files. Part of the format (src/FORMAT.md): little-endian, read for
// ever.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <shoal/key.hpp>

#include "spill/layout.hpp"

namespace shoal {

// Version 1, then "SHOALCK" and "SHOALCB".
inline constexpr std::uint64_t kCheckpointMagic = 0x4b43'4c41'4f48'5301;
// Version 2: of an arena that was restored, whose spill files' names bear the number of the restore.
inline constexpr std::uint64_t kRestoredCheckpointMagic = kCheckpointMagic + 1;
// Version 3: of an arena of either kind, and places may be in bundles.
inline constexpr std::uint64_t kBundlesCheckpointMagic = kCheckpointMagic + 2;
// Version 4: a CheckpointTail follows the blocks, and the checkpoint may be a delta: of what changed since another.
// A segment may be one that was merged.
inline constexpr std::uint64_t kDeltaCheckpointMagic = kCheckpointMagic + 3;
inline constexpr std::uint64_t kNewestCheckpointMagic = kDeltaCheckpointMagic;
inline constexpr std::uint64_t kCheckpointBlockMagic = 0x4243'4c41'4f48'5301;
inline constexpr std::uint64_t kCheckpointTailMagic = 0x5443'4c41'4f48'5301;

// At offset 0, written last. body_bytes and blocks are of this file; chains, segments, records and payload_bytes of
// the store as it was, those of a delta too.
struct CheckpointHeader {
    std::uint64_t magic;     // kCheckpointMagic, or of a later version
    std::uint64_t checksum;  // XXH3-64 of what follows, to the end of the struct
    SpillStoreId store_id;
    std::uint64_t written_unix_s;
    std::uint64_t hash_seed;    // of the arena, and so of the hashes below
    std::uint64_t generations;  // of chains, handed out until then
    std::uint64_t codec;        // packed, as in the arena's header
    std::uint64_t arena_bytes;  // the memory limit
    std::uint32_t first_segment_bytes;
    std::uint32_t max_segment_bytes;
    std::uint64_t body_bytes;  // of all blocks
    std::uint64_t blocks;
    std::uint64_t chains;
    std::uint64_t segments;
    std::uint64_t records;
    std::uint64_t payload_bytes;
};

// Right behind it, and each behind the one before: chains in the order of their hashes, then generations.
struct CheckpointBlock {
    std::uint64_t magic;     // kCheckpointBlockMagic
    std::uint64_t checksum;  // XXH3-64 of what follows, to the end of the block
    std::uint64_t number;    // of the block, from 0
    std::uint64_t bytes;     // that follow this struct, up to kMostCheckpointBlockBytes
};

// In a block. The key follows, zeroes up to a multiple of 8, and then `segments` CheckpointSegments. A chain that
// one block has no room for goes on in the next, with its key again. A delta has, of each hash that it speaks of,
// all chains; where there is none any more, one CheckpointChain without a key and without segments.
struct CheckpointChain {
    std::uint64_t hash;      // XXH3 of the key with hash_seed
    std::uint64_t identity;  // generation and codec, as in the chain
    std::uint32_t key_bytes;
    std::uint32_t segments;       // that follow here
    std::uint64_t first_segment;  // segments of the chain that came before
};

struct CheckpointSegment {
    std::uint64_t place;    // a packed StoredAt: the extent that holds the segment of this ordinal
    std::uint64_t counts;   // pack(SpilledCounts): of what it holds of the segment
    std::uint64_t units;    // of the segment's block, 8 B each; kSingleBit where one large record fills it; from
                            // kOrdinalsShift on how many ordinals a merged segment stands for, 0 for one
    std::uint64_t reserve;  // of the segment when it was written, while that may change; 0: do not compare
};

// Behind the blocks, from version 4 on. `freed` places follow: what the checkpoints before name and this one does
// not, where this is a delta, each a packed StoredAt. A reader of a delta reads `before` too, which may be one
// itself.
struct CheckpointTail {
    std::uint64_t magic;     // kCheckpointTailMagic
    std::uint64_t checksum;  // XXH3-64 of what follows, to the end of the struct
    std::uint64_t before;    // number of the checkpoint of which this is a delta; 0: it is a base
    std::uint64_t
        changes;  // position in the arena's log of changes, from which on they are not all in it; 0: unknown
    std::uint64_t chains;                 // in this file, a hash without chains counting as one
    std::uint64_t deltas;                 // that a reader reads with the base, this one included; 0: it is a base
    std::uint64_t base_bytes;             // of the base
    std::uint64_t delta_bytes;            // of those deltas
    std::uint64_t freed;                  // places that follow
    std::uint64_t freed_checksum;         // XXH3-64 of them
    std::array<std::uint64_t, 32> files;  // a bit per spill file in which the base or a delta names something
};

inline constexpr std::uint64_t kSingleBit = 1ULL << 63;
inline constexpr unsigned kOrdinalsShift = 44;
inline constexpr std::uint64_t kMostOrdinals = (1ULL << (63 - kOrdinalsShift)) - 1;  // of one segment
[[nodiscard]] constexpr std::uint64_t units_of(const CheckpointSegment& segment) noexcept {
    return segment.units & ((1ULL << kOrdinalsShift) - 1);
}
[[nodiscard]] constexpr bool is_merged(const CheckpointSegment& segment) noexcept {
    return (segment.units & ~kSingleBit) >> kOrdinalsShift != 0;
}
[[nodiscard]] constexpr std::uint64_t ordinals_of(const CheckpointSegment& segment) noexcept {
    return is_merged(segment) ? (segment.units & ~kSingleBit) >> kOrdinalsShift : 1;
}
inline constexpr std::uint64_t kMostCheckpointSegments = 16 * 1024;  // of a chain in one block
inline constexpr std::uint64_t kCheckpointBlockBytes = 1 << 20;      // from which on a block is full

[[nodiscard]] constexpr std::uint64_t checkpoint_chain_bytes(std::uint64_t key_bytes,
                                                             std::uint64_t segments) noexcept {
    return sizeof(CheckpointChain) + (key_bytes + 7) / 8 * 8 + segments * sizeof(CheckpointSegment);
}
inline constexpr std::uint64_t kMostCheckpointBlockBytes =
    kCheckpointBlockBytes + checkpoint_chain_bytes(kMaxKeyBytes, kMostCheckpointSegments);

static_assert(sizeof(CheckpointHeader) == 128 && sizeof(CheckpointBlock) == 32);
static_assert(sizeof(CheckpointChain) == 32 && sizeof(CheckpointSegment) == 32);
static_assert(offsetof(CheckpointHeader, store_id) == 16 && offsetof(CheckpointHeader, written_unix_s) == 32);
static_assert(offsetof(CheckpointHeader, hash_seed) == 40 && offsetof(CheckpointHeader, generations) == 48);
static_assert(offsetof(CheckpointHeader, codec) == 56 && offsetof(CheckpointHeader, arena_bytes) == 64);
static_assert(offsetof(CheckpointHeader, first_segment_bytes) == 72);
static_assert(offsetof(CheckpointHeader, body_bytes) == 80 && offsetof(CheckpointHeader, payload_bytes) == 120);
static_assert(offsetof(CheckpointChain, key_bytes) == 16 && offsetof(CheckpointChain, first_segment) == 24);
static_assert(sizeof(CheckpointTail) == 336 && offsetof(CheckpointTail, files) == 80);
static_assert(offsetof(CheckpointSegment, counts) == 8 && offsetof(CheckpointSegment, units) == 16);
static_assert(std::is_standard_layout_v<CheckpointHeader> && std::is_trivially_copyable_v<CheckpointHeader>);

}  // namespace shoal
