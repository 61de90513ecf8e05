// What lies in a backup: a header, chunks of keys with their records, and a chunk that ends it. Part of the format
// (src/FORMAT.md): little-endian, read for ever, and independent of how an arena or a spill file is laid out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arena/store_id.hpp"

namespace shoal {

// Version 1, then "SHOALBU" and "SHOALBC".
inline constexpr std::uint64_t kBackupMagic = 0x5542'4c41'4f48'5301;
inline constexpr std::uint64_t kBackupChunkMagic = 0x4342'4c41'4f48'5301;
inline constexpr std::uint64_t kBackupVersionMask = 0xff;

// At offset 0.
struct BackupHeader {
    std::uint64_t magic;     // kBackupMagic
    std::uint64_t checksum;  // XXH3-64 of what follows, to the end of the struct
    StoreId store_id;        // of the store that was backed up; a restored store has another
    std::uint64_t begun_unix_s;
    std::uint64_t hash_seed;     // of the store's keys, and so of `resume_at` below
    std::uint64_t restore;       // of the store's arena (ArenaHeader::restore)
    std::uint64_t memory_limit;  // of the store, bytes
    std::uint32_t codec;         // of the store's spilled data, packed (spill/codec_word.hpp)
    std::uint32_t flags;         // kBackupSpills
    std::uint32_t first_segment_bytes;
    std::uint32_t max_segment_bytes;
    std::uint64_t reserved[4];  // 0
};

inline constexpr std::uint32_t kBackupSpills = 1;  // the store had a spill folder

enum class BackupChunkKind : std::uint8_t { kParts = 0, kEnd = 1 };

// Right behind the header, and each behind the one before. The stored bytes follow.
struct BackupChunk {
    std::uint64_t magic;            // kBackupChunkMagic
    std::uint64_t checksum;         // XXH3-64 of what follows, to the end of the struct
    std::uint64_t number;           // of the chunk, from 0
    std::uint64_t stored_bytes;     // that follow this struct
    std::uint64_t stored_checksum;  // XXH3-64 of them; of the end: of all chunks before (chunk_digest)
    std::uint64_t body_bytes;       // of the body: what was stored, when it is unpacked
    std::uint64_t table_bytes;      // of them, at its end: the table of parts; before it their payload
    std::uint64_t resume_at;        // kResumable: all keys of lower hashes are in this chunk, or before
    std::uint64_t keys;             // of the whole backup, up to the end of this chunk
    std::uint64_t records;
    std::uint64_t payload_bytes;
    std::uint32_t parts;  // in the table
    BackupChunkKind kind;
    std::uint8_t codec;  // CodecId of what is stored; kNone where it is the body itself
    std::uint8_t flags;  // kResumable
    std::uint8_t reserved;
};

inline constexpr std::uint8_t kResumable = 1;

// In the table of a chunk, one behind the other: records of one key, in order. The key follows, then the length of
// each record as a varint (backup/varint.hpp), but for kEven. A record is never in two parts.
struct BackupPart {
    std::uint64_t records;
    std::uint64_t payload_bytes;
    std::uint32_t key_bytes;
    std::uint32_t codec_flags;  // 0..23: codec of the key, packed, 0 for the store's · 24..31: as below
};
inline constexpr unsigned kPartFlagsAt = 24;

inline constexpr std::uint32_t kPartBegins = 1U << kPartFlagsAt;  // the first part of its key
inline constexpr std::uint32_t kPartEnds = 2U << kPartFlagsAt;    // the last part of its key
inline constexpr std::uint32_t kPartVoids =
    4U << kPartFlagsAt;  // nothing but: the parts of this key before mean nothing
inline constexpr std::uint32_t kPartEven = 8U << kPartFlagsAt;  // all records are of one length

// From which on a chunk is full; it is longer where one record is.
inline constexpr std::uint64_t kBackupChunkBytes = 8 << 20;
// A longer body is stored as it is.
inline constexpr std::uint64_t kMostPackedBody = 256 << 20;
// Of one part: far more than a chunk that is full has, where a record counts eight bytes beside its payload.
inline constexpr std::uint64_t kMostPartRecords = 16 << 20;

static_assert(sizeof(BackupHeader) == 112 && sizeof(BackupChunk) == 96 && sizeof(BackupPart) == 24);
static_assert(offsetof(BackupHeader, store_id) == 16 && offsetof(BackupHeader, begun_unix_s) == 32);
static_assert(offsetof(BackupHeader, hash_seed) == 40 && offsetof(BackupHeader, restore) == 48);
static_assert(offsetof(BackupHeader, memory_limit) == 56 && offsetof(BackupHeader, codec) == 64);
static_assert(offsetof(BackupHeader, flags) == 68 && offsetof(BackupHeader, first_segment_bytes) == 72);
static_assert(offsetof(BackupHeader, max_segment_bytes) == 76 && offsetof(BackupHeader, reserved) == 80);
static_assert(offsetof(BackupChunk, number) == 16 && offsetof(BackupChunk, stored_bytes) == 24);
static_assert(offsetof(BackupChunk, stored_checksum) == 32 && offsetof(BackupChunk, body_bytes) == 40);
static_assert(offsetof(BackupChunk, table_bytes) == 48 && offsetof(BackupChunk, resume_at) == 56);
static_assert(offsetof(BackupChunk, keys) == 64 && offsetof(BackupChunk, payload_bytes) == 80);
static_assert(offsetof(BackupChunk, parts) == 88 && offsetof(BackupChunk, kind) == 92);
static_assert(offsetof(BackupChunk, codec) == 93 && offsetof(BackupChunk, flags) == 94);
static_assert(std::is_standard_layout_v<BackupHeader> && std::is_trivially_copyable_v<BackupHeader>);
static_assert(std::is_standard_layout_v<BackupChunk> && std::is_trivially_copyable_v<BackupChunk>);

}  // namespace shoal
