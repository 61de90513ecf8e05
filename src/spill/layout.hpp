// What lies in a spill file: one file header, then extents and bundles at multiples of 64 B. Part of the format
// (src/FORMAT.md): little-endian, and read for ever.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <shoal/codec.hpp>
#include <shoal/key.hpp>

namespace shoal {

static_assert(std::endian::native == std::endian::little, "a big-endian build would have to swap what it reads");

using SpillStoreId = std::array<std::uint8_t, 16>;

// Of every magic of a format: the lowest byte is its version.
inline constexpr std::uint64_t kVersionMask = 0xff;
// Version 1, then "SHOALEX" and "SHOALSP".
inline constexpr std::uint64_t kExtentMagic = 0x5845'4c41'4f48'5301;
inline constexpr std::uint64_t kSpillFileMagic = 0x5053'4c41'4f48'5301;

inline constexpr std::uint64_t kExtentAlignment = 64;
inline constexpr std::uint64_t kPartBytes = 1 << 20;  // of a record that is larger than that

// An extent that goes over any of them is damaged, whatever its checksums say: so a reader's memory is bounded.
inline constexpr std::uint64_t kMostExtentPayloadBytes = 8 << 20;
inline constexpr std::uint32_t kMostExtentSegments = 4096;
inline constexpr std::uint32_t kMostExtentRecords = 1 << 20;
inline constexpr std::uint32_t kMostLengthBytes = 4;  // of one record's length, a varint

enum class ExtentKind : std::uint8_t {
    kData = 0,       // a run of segments
    kTombstone = 1,  // the chain of this key and generation is erased
    kPart = 2,       // of one large record, which is a segment by itself
};

inline constexpr std::uint8_t kMayGrowFlag = 1;  // its last segment was still open: a longer extent may follow

struct ExtentHeader {
    std::uint64_t magic;            // kExtentMagic
    std::uint64_t header_checksum;  // XXH3-64 of what follows, to the end of the prefix
    std::uint64_t stored_checksum;  // XXH3-64 of the stored bytes
    SpillStoreId store_id;
    std::uint64_t generation;     // of the chain: a key that was erased and made again has another
    std::uint64_t stored_bytes;   // of the payload as it stands in the file
    std::uint64_t payload_bytes;  // of the payload
    std::uint64_t record_bytes;   // part: of the whole record; else 0
    std::uint32_t key_bytes;
    std::uint32_t first_segment;  // its ordinal in the chain
    std::uint32_t segments;       // 0 in a tombstone
    std::uint32_t records;        // part: 1 in part 0, 0 in the others
    std::uint32_t lengths_bytes;  // 0: all records are of one length; none is listed
    std::uint32_t part;           // part: from 0; else 0
    std::uint32_t parts;          // part: 2 at least; else 0
    ExtentKind kind;
    CodecId codec;
    std::uint8_t flags;  // kMayGrowFlag
    std::uint8_t reserved;
};

static_assert(sizeof(ExtentHeader) == 104, "no padding; the key follows");
static_assert(offsetof(ExtentHeader, magic) == 0 && offsetof(ExtentHeader, header_checksum) == 8);
static_assert(offsetof(ExtentHeader, stored_checksum) == 16, "from here on the header's checksum counts");
static_assert(offsetof(ExtentHeader, store_id) == 24 && offsetof(ExtentHeader, generation) == 40);
static_assert(offsetof(ExtentHeader, stored_bytes) == 48 && offsetof(ExtentHeader, payload_bytes) == 56);
static_assert(offsetof(ExtentHeader, record_bytes) == 64 && offsetof(ExtentHeader, key_bytes) == 72);
static_assert(offsetof(ExtentHeader, first_segment) == 76 && offsetof(ExtentHeader, segments) == 80);
static_assert(offsetof(ExtentHeader, records) == 84 && offsetof(ExtentHeader, lengths_bytes) == 88);
static_assert(offsetof(ExtentHeader, part) == 92 && offsetof(ExtentHeader, parts) == 96);
static_assert(offsetof(ExtentHeader, kind) == 100 && offsetof(ExtentHeader, codec) == 101);
static_assert(offsetof(ExtentHeader, flags) == 102 && offsetof(ExtentHeader, reserved) == 103);
static_assert(std::is_standard_layout_v<ExtentHeader> && std::is_trivially_copyable_v<ExtentHeader>);

// After the key, one a segment. Unaligned.
struct SegmentEntry {
    std::uint32_t records;
    std::uint32_t payload_bytes;
};

static_assert(sizeof(SegmentEntry) == 8 && offsetof(SegmentEntry, payload_bytes) == 4, "part of the format");

// Small extents of many chains, in one: this header, then `entries` of a chain each, back to back:
//   varints      generation, first segment, segments << 1 | whether lengths are listed
//   varints      of each segment: records, payload bytes
//   varints      where they are listed: the length of each record; else all are of one length
//   the payload, plain
inline constexpr std::uint64_t kBundleMagic = 0x4c42'4c41'4f48'5301;  // version 1, then "SHOALBL"
inline constexpr std::uint32_t kBundleBytes = 4096;                   // the most that one has

struct BundleHeader {
    std::uint64_t magic;     // kBundleMagic
    std::uint64_t checksum;  // XXH3-64 of what follows, to the end of the bundle
    SpillStoreId store_id;
    std::uint32_t bytes;  // of the bundle, with this header
    std::uint32_t entries;
};

static_assert(sizeof(BundleHeader) == 40, "no padding; the first entry follows");
static_assert(offsetof(BundleHeader, checksum) == 8 && offsetof(BundleHeader, store_id) == 16);
static_assert(offsetof(BundleHeader, bytes) == 32 && offsetof(BundleHeader, entries) == 36);
static_assert(std::is_standard_layout_v<BundleHeader> && std::is_trivially_copyable_v<BundleHeader>);

// At offset 0 of a spill file; zeroes follow, to kSpillFileHeaderBytes.
struct SpillFileHeader {
    std::uint64_t magic;     // kSpillFileMagic
    std::uint64_t checksum;  // XXH3-64 of what follows, to kSpillFileHeaderBytes
    SpillStoreId store_id;
    std::uint64_t created_unix_s;
    std::uint32_t file_number;
    std::uint32_t restore;  // of the arena that made it (spill/restores.hpp)
};

inline constexpr std::size_t kSpillFileHeaderBytes = 4096;  // a page, so that extents may be aligned to pages

static_assert(sizeof(SpillFileHeader) == 48);
static_assert(offsetof(SpillFileHeader, magic) == 0 && offsetof(SpillFileHeader, checksum) == 8);
static_assert(offsetof(SpillFileHeader, store_id) == 16 && offsetof(SpillFileHeader, created_unix_s) == 32);
static_assert(offsetof(SpillFileHeader, file_number) == 40 && offsetof(SpillFileHeader, restore) == 44);
static_assert(std::is_standard_layout_v<SpillFileHeader> && std::is_trivially_copyable_v<SpillFileHeader>);

[[nodiscard]] constexpr std::uint64_t padded_to_extent(std::uint64_t bytes) noexcept {
    return (bytes + kExtentAlignment - 1) / kExtentAlignment * kExtentAlignment;
}

// Header, key, segment table, lengths and zeroes: the payload begins there.
[[nodiscard]] constexpr std::uint64_t prefix_bytes(std::uint64_t key_bytes, std::uint64_t segments,
                                                   std::uint64_t lengths_bytes) noexcept {
    return padded_to_extent(sizeof(ExtentHeader) + key_bytes + segments * sizeof(SegmentEntry) + lengths_bytes);
}
[[nodiscard]] constexpr std::uint64_t prefix_bytes(const ExtentHeader& header) noexcept {
    return prefix_bytes(header.key_bytes, header.segments, header.lengths_bytes);
}
[[nodiscard]] constexpr std::uint64_t extent_bytes(const ExtentHeader& header) noexcept {
    return prefix_bytes(header) + padded_to_extent(header.stored_bytes);
}

// What no extent exceeds.
inline constexpr std::uint64_t kMostPrefixBytes =
    prefix_bytes(kMaxKeyBytes, kMostExtentSegments, std::uint64_t{kMostExtentRecords} * kMostLengthBytes);
inline constexpr std::uint64_t kMostExtentBytes = kMostPrefixBytes + padded_to_extent(kMostExtentPayloadBytes);

static_assert(kMostExtentPayloadBytes < 1ULL << 7 * kMostLengthBytes, "any record's length is a varint of 4 bytes");
static_assert(kMostExtentPayloadBytes >= kPartBytes);

}  // namespace shoal
