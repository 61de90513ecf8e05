// The reader of backups: the input as a backup, as it is and with the checksums that it should have. Whatever the
// bytes, each part is within its chunk, its lengths are its payload, and the counts are those of the chunks.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <xxhash.h>

#include "backup/reader.hpp"

namespace {

using shoal::BackupChunk;
using shoal::BackupHeader;
using shoal::BackupReader;
using shoal::ByteView;

void require(bool holds) {
    if (!holds) std::abort();
}

void read_backup(const std::string& bytes) {
    std::size_t taken = 0;
    const shoal::BackupSource source = [&](std::span<std::byte> room) -> shoal::Result<std::size_t> {
        const std::size_t some = std::min(room.size(), bytes.size() - taken);
        if (some != 0) std::memcpy(room.data(), bytes.data() + taken, some);
        taken += some;
        return some;
    };
    BackupReader reader(source, "the input");
    if (!reader.begin()) return;
    std::uint64_t seen = 0;  // so that the payload is looked at
    for (;;) {
        const auto more = reader.next_chunk();
        if (!more) return;
        if (!*more) break;
        for (BackupReader::Part part;;) {
            const auto has_part = reader.next_part(part);
            if (!has_part) return;
            if (!*has_part) break;
            std::uint64_t bytes_of_records = 0;
            for (const std::uint64_t length : part.lengths) bytes_of_records += length;
            require(bytes_of_records == part.payload.size());
            if (!part.key.empty()) seen += XXH3_64bits(part.key.data(), part.key.size());
            if (!part.payload.empty()) seen += XXH3_64bits(part.payload.data(), part.payload.size());
        }
    }
    if (!reader.finish()) return;
    require(reader.position().file_bytes == bytes.size());
    require(seen != 1);
}

// The checksums, numbers and digest that the bytes should have, as far as chunks can be told.
std::string mended(std::string bytes) {
    if (bytes.size() < sizeof(BackupHeader)) return bytes;
    BackupHeader header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    header.magic = shoal::kBackupMagic;
    header.checksum = checksum_of(header);
    std::memcpy(bytes.data(), &header, sizeof header);
    std::uint64_t digest = 0;
    std::uint64_t number = 0;
    for (std::size_t at = sizeof header; bytes.size() - at >= sizeof(BackupChunk); ++number) {
        BackupChunk chunk{};
        std::memcpy(&chunk, bytes.data() + at, sizeof chunk);
        const std::size_t left = bytes.size() - at - sizeof chunk;
        chunk.magic = shoal::kBackupChunkMagic;
        chunk.number = number;
        if (chunk.kind == shoal::BackupChunkKind::kEnd) {
            chunk.stored_checksum = digest;
        } else {
            chunk.stored_bytes = std::min<std::uint64_t>(chunk.stored_bytes, left);
            chunk.stored_checksum = XXH3_64bits(bytes.data() + at + sizeof chunk, chunk.stored_bytes);
            if (chunk.codec == 0) chunk.body_bytes = chunk.stored_bytes;
        }
        chunk.checksum = checksum_of(chunk);
        std::memcpy(bytes.data() + at, &chunk, sizeof chunk);
        digest = shoal::chunk_digest(digest, chunk);
        if (chunk.kind == shoal::BackupChunkKind::kEnd) break;
        at += sizeof chunk + chunk.stored_bytes;
    }
    return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    read_backup(bytes);
    read_backup(mended(bytes));
    return 0;
}
