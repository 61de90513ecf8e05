#include "backup/writer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <xxhash.h>

#include "backup/varint.hpp"

namespace shoal {
namespace {

template <class Struct>
std::uint64_t checksum_from(const Struct& value, std::size_t from) noexcept {
    return XXH3_64bits(reinterpret_cast<const std::byte*>(&value) + from, sizeof value - from);
}

template <class Struct>
ByteView bytes_of(const Struct& value) noexcept {
    return {reinterpret_cast<const std::byte*>(&value), sizeof value};
}

void add(std::vector<std::byte>& to, ByteView bytes) {
    to.insert(to.end(), bytes.data(), bytes.data() + bytes.size());
}

}  // namespace

std::uint64_t checksum_of(const BackupHeader& header) noexcept {
    return checksum_from(header, offsetof(BackupHeader, store_id));
}

std::uint64_t checksum_of(const BackupChunk& chunk) noexcept {
    return checksum_from(chunk, offsetof(BackupChunk, number));
}

std::uint64_t chunk_digest(std::uint64_t before, const BackupChunk& chunk) noexcept {
    return XXH3_64bits_withSeed(&chunk, sizeof chunk, before);
}

Result<void> BackupWriter::begin(const BackupHeader& header) {
    if (auto written = (*sink_)(bytes_of(header)); !written) return written;
    position_ = {};
    position_.file_bytes = sizeof header;
    return {};
}

void BackupWriter::add_part(ByteView key, std::uint32_t codec, std::uint32_t flags,
                            std::span<const std::uint64_t> lengths) {
    BackupPart part{lengths.size(), 0, static_cast<std::uint32_t>(key.size()), codec | flags};
    bool even = true;
    for (const std::uint64_t length : lengths) {
        part.payload_bytes += length;
        even &= length == lengths.front();
    }
    if (even) part.codec_flags |= kPartEven;
    add(table_, bytes_of(part));
    add(table_, key);
    if (!even) {
        for (const std::uint64_t length : lengths) add_length(table_, length);
    }
    parts_ += 1;
    position_.keys += (flags & kPartBegins) != 0 ? 1 : 0;
    position_.records += part.records;
    position_.payload_bytes += part.payload_bytes;
}

void BackupWriter::add_void(ByteView key, std::uint64_t records, std::uint64_t payload_bytes) {
    add(table_, bytes_of(BackupPart{0, 0, static_cast<std::uint32_t>(key.size()), kPartVoids | kPartEven}));
    add(table_, key);
    parts_ += 1;
    position_.keys -= 1;
    position_.records -= records;
    position_.payload_bytes -= payload_bytes;
}

Result<void> BackupWriter::end_chunk(std::vector<std::byte>& body, std::optional<std::uint64_t> resume_at) {
    BackupChunk chunk{};
    chunk.table_bytes = table_.size();
    chunk.parts = std::exchange(parts_, 0);
    add(body, table_);
    table_.clear();
    chunk.body_bytes = body.size();
    if (resume_at) {
        chunk.resume_at = *resume_at;
        chunk.flags = kResumable;
        position_.resume_at = *resume_at;
    }
    ByteView stored = body;
    if (codec_.id != CodecId::kNone && body.size() <= kMostPackedBody) {
        packed_.resize(body.size());
        const std::size_t packed = compressor_.compress(codec_, body, packed_);
        if (packed != 0) {
            stored = {packed_.data(), packed};
            chunk.codec = static_cast<std::uint8_t>(codec_.id);
        }
    }
    chunk.stored_checksum = XXH3_64bits(stored.data(), stored.size());
    return write_chunk(chunk, stored);
}

Result<void> BackupWriter::finish() {
    BackupChunk chunk{};
    chunk.kind = BackupChunkKind::kEnd;
    chunk.stored_checksum = position_.digest;
    return write_chunk(chunk, {});
}

Result<void> BackupWriter::write_chunk(BackupChunk& chunk, ByteView stored) {
    chunk.magic = kBackupChunkMagic;
    chunk.number = position_.chunks;
    chunk.stored_bytes = stored.size();
    chunk.keys = position_.keys;
    chunk.records = position_.records;
    chunk.payload_bytes = position_.payload_bytes;
    chunk.checksum = checksum_of(chunk);
    if (auto written = (*sink_)(bytes_of(chunk)); !written) return written;
    if (!stored.empty()) {
        if (auto written = (*sink_)(stored); !written) return written;
    }
    position_.chunks += 1;
    position_.file_bytes += sizeof chunk + stored.size();
    position_.digest = chunk_digest(position_.digest, chunk);
    return {};
}

}  // namespace shoal
