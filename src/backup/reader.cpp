#include "backup/reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include <shoal/key.hpp>

#include "backup/varint.hpp"

namespace shoal {
namespace {

constexpr std::size_t kFirstRead = 16 << 20;  // memory is taken as bytes come, where a chunk is longer

std::uint64_t version_of(std::uint64_t magic) noexcept { return magic & kBackupVersionMask; }

}  // namespace

tl::unexpected<Error> BackupReader::damaged(const std::string& what) const {
    return tl::unexpected(Error{Code::kDamaged, fmt::format("{} is damaged: {}", what_, what), 0, 0});
}

Result<std::size_t> BackupReader::read(std::byte* to, std::size_t bytes) {
    std::size_t done = 0;
    while (done < bytes) {
        auto some = (*source_)({to + done, bytes - done});
        if (!some) return some;
        if (*some == 0) break;
        done += *some;
    }
    return done;
}

Result<BackupHeader> BackupReader::begin() {
    BackupHeader header{};
    auto got = read(reinterpret_cast<std::byte*>(&header), sizeof header);
    if (!got) return tl::unexpected(std::move(got.error()));
    if (*got < sizeof header.magic || version_of(header.magic) == 0 ||
        (header.magic & ~kBackupVersionMask) != (kBackupMagic & ~kBackupVersionMask)) {
        return tl::unexpected(Error{
            Code::kDamaged, fmt::format("{} is no backup of a store: it does not begin as one", what_), 0, 0});
    }
    if (header.magic != kBackupMagic) {
        return tl::unexpected(
            Error{Code::kIncompatible,
                  fmt::format(
                      "{} is of version {} of the format, and this build reads version {}: restore it by the build "
                      "that wrote it, or a later one",
                      what_, version_of(header.magic), version_of(kBackupMagic)),
                  0, 0});
    }
    if (*got < sizeof header) return damaged(fmt::format("it is cut off after {} bytes", *got));
    if (checksum_of(header) != header.checksum) return damaged("the checksum of its header does not match");
    position_ = {};
    position_.file_bytes = sizeof header;
    return header;
}

Result<bool> BackupReader::next_chunk() {
    if (chunk_.kind == BackupChunkKind::kEnd) return false;
    chunk_at_ = position_.file_bytes;
    parts_left_ = 0;
    BackupChunk chunk{};
    auto got = read(reinterpret_cast<std::byte*>(&chunk), sizeof chunk);
    if (!got) return tl::unexpected(std::move(got.error()));
    if (*got < sizeof chunk) {
        return damaged(
            fmt::format("it is cut off at byte {}, before its end: the backup was interrupted, or the "
                        "file was not copied whole",
                        chunk_at_ + *got));
    }
    if (chunk.magic != kBackupChunkMagic || checksum_of(chunk) != chunk.checksum) {
        return damaged(fmt::format("no chunk begins at byte {}", chunk_at_));
    }
    if (chunk.number != position_.chunks) {
        return damaged(fmt::format("chunk {} is at byte {}, where chunk {} should be", chunk.number, chunk_at_,
                                   position_.chunks));
    }
    chunk_ = chunk;
    if (chunk_.kind == BackupChunkKind::kEnd) {
        const bool counts_match = chunk.keys == position_.keys && chunk.records == position_.records &&
                                  chunk.payload_bytes == position_.payload_bytes;
        if (chunk.stored_bytes != 0 || chunk.stored_checksum != position_.digest || !counts_match) {
            return damaged(fmt::format("its end, at byte {}, is not that of its chunks", chunk_at_));
        }
        position_.file_bytes += sizeof chunk;
        return false;
    }
    if (chunk_.kind != BackupChunkKind::kParts) {
        return damaged(fmt::format("chunk {}, at byte {}, is of an unknown kind", chunk.number, chunk_at_));
    }
    if (auto done = read_body(); !done) return tl::unexpected(std::move(done.error()));
    position_.file_bytes += sizeof chunk + chunk.stored_bytes;
    position_.chunks += 1;
    position_.digest = chunk_digest(position_.digest, chunk);
    position_.keys = chunk.keys;
    position_.records = chunk.records;
    position_.payload_bytes = chunk.payload_bytes;
    if (is_resumable()) position_.resume_at = chunk.resume_at;
    return true;
}

Result<void> BackupReader::read_body() {
    stored_.clear();
    while (stored_.size() < chunk_.stored_bytes) {
        const std::size_t begin = stored_.size();
        const std::uint64_t more =
            std::min<std::uint64_t>(chunk_.stored_bytes - begin, std::max(begin, kFirstRead));
        stored_.resize(begin + more);
        auto got = read(stored_.data() + begin, more);
        if (!got) return tl::unexpected(std::move(got.error()));
        if (*got < more) {
            return damaged(
                fmt::format("it is cut off at byte {}, within chunk {}: the backup was interrupted, or the "
                            "file was not copied whole",
                            chunk_at_ + sizeof chunk_ + begin + *got, chunk_.number));
        }
    }
    const auto wrong = [&](const char* what) {
        return damaged(fmt::format("{} of chunk {}, at byte {}", what, chunk_.number, chunk_at_));
    };
    if (XXH3_64bits(stored_.data(), stored_.size()) != chunk_.stored_checksum) {
        return wrong("the checksum does not match");
    }
    body_ = stored_;
    if (chunk_.codec != static_cast<std::uint8_t>(CodecId::kNone)) {
        if (chunk_.codec > static_cast<std::uint8_t>(CodecId::kBlosc) || chunk_.body_bytes > kMostPackedBody) {
            return wrong("the codec is unknown");
        }
        unpacked_.resize(chunk_.body_bytes);
        if (!decompressor_.decompress(static_cast<CodecId>(chunk_.codec), stored_, unpacked_)) {
            return wrong("the payload cannot be decompressed");
        }
        body_ = unpacked_;
    }
    if (body_.size() != chunk_.body_bytes || chunk_.table_bytes > chunk_.body_bytes) {
        return wrong("the size does not match");
    }
    table_at_ = body_.data() + (chunk_.body_bytes - chunk_.table_bytes);
    payload_at_ = 0;
    parts_left_ = chunk_.parts;
    return {};
}

Result<bool> BackupReader::next_part(Part& part) {
    const std::byte* const end = body_.data() + body_.size();
    const std::uint64_t payload_end = chunk_.body_bytes - chunk_.table_bytes;
    const auto wrong = [&] {
        return damaged(fmt::format("the table of chunk {}, at byte {}, cannot be right", chunk_.number, chunk_at_));
    };
    if (parts_left_ == 0) {
        if (table_at_ != end || payload_at_ != payload_end || keys_ != chunk_.keys || records_ != chunk_.records ||
            payload_bytes_ != chunk_.payload_bytes) {
            return wrong();
        }
        return false;
    }
    BackupPart said{};
    if (static_cast<std::size_t>(end - table_at_) < sizeof said) return wrong();
    std::memcpy(&said, table_at_, sizeof said);
    table_at_ += sizeof said;
    const auto left = static_cast<std::size_t>(end - table_at_);
    if (said.key_bytes > kMaxKeyBytes || said.key_bytes > left || said.payload_bytes > payload_end - payload_at_) {
        return wrong();
    }
    part = {};
    part.key = {table_at_, said.key_bytes};
    table_at_ += said.key_bytes;
    part.codec = said.codec_flags & ((1U << kPartFlagsAt) - 1);
    part.begins = (said.codec_flags & kPartBegins) != 0;
    part.ends = (said.codec_flags & kPartEnds) != 0;
    part.voids = (said.codec_flags & kPartVoids) != 0;
    part.payload = {body_.data() + payload_at_, said.payload_bytes};
    lengths_.clear();
    if (said.records > kMostPartRecords) return wrong();
    if ((said.codec_flags & kPartEven) != 0) {
        const bool fits = said.records == 0 ? said.payload_bytes == 0 : said.payload_bytes % said.records == 0;
        if (!fits) return wrong();
        if (said.records != 0) lengths_.assign(said.records, said.payload_bytes / said.records);
    } else {
        std::uint64_t sum = 0;
        if (said.records > static_cast<std::uint64_t>(end - table_at_)) return wrong();  // a byte each at least
        lengths_.reserve(said.records);
        for (std::uint64_t record = 0; record < said.records; ++record) {
            std::uint64_t length = 0;
            if (!read_length(&table_at_, end, &length) || length > said.payload_bytes - sum) return wrong();
            sum += length;
            lengths_.push_back(length);
        }
        if (sum != said.payload_bytes) return wrong();
    }
    part.lengths = lengths_;
    if (!count(part)) return wrong();
    payload_at_ += said.payload_bytes;
    parts_left_ -= 1;
    return true;
}

bool BackupReader::count(const Part& part) {
    if (part.voids) {
        if (!open_key_ || part.key.text() != *open_key_ || !part.lengths.empty()) return false;
        keys_ -= 1;
        records_ -= open_records_;
        payload_bytes_ -= open_bytes_;
        open_key_.reset();
        return true;
    }
    if (part.begins == open_key_.has_value() || (open_key_ && part.key.text() != *open_key_)) return false;
    if (part.begins) {
        keys_ += 1;
        open_records_ = 0;
        open_bytes_ = 0;
        if (!part.ends) open_key_ = part.key.text();
    }
    open_records_ += part.lengths.size();
    open_bytes_ += part.payload.size();
    records_ += part.lengths.size();
    payload_bytes_ += part.payload.size();
    if (part.ends) open_key_.reset();
    return true;
}

Result<void> BackupReader::finish() {
    if (open_key_) return damaged("the value of its last key does not end");
    std::byte one{};
    auto got = read(&one, 1);
    if (!got) return tl::unexpected(std::move(got.error()));
    if (*got != 0) return damaged(fmt::format("bytes follow its end, at byte {}", position_.file_bytes));
    return {};
}

}  // namespace shoal
