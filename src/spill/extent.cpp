#include "spill/extent.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/format_version.hpp"
#include "spill/varint.hpp"

namespace shoal {
namespace {

template <class... Values>
tl::unexpected<Error> damaged(fmt::format_string<Values...> what, Values&&... values) {
    return tl::unexpected(Error{Code::kDamaged, fmt::format(what, std::forward<Values>(values)...)});
}

bool all_zero(const std::byte* at, std::size_t bytes) noexcept {
    return std::all_of(at, at + bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

template <class Struct>
Struct load(const std::byte* at) noexcept {
    Struct value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

Result<void> check_limits(const ExtentHeader& header) {
    if (header.key_bytes > kMaxKeyBytes) return damaged("its key would have {} bytes", header.key_bytes);
    if (header.segments > kMostExtentSegments) return damaged("it would hold {} segments", header.segments);
    if (header.records > kMostExtentRecords) return damaged("it would hold {} records", header.records);
    if (header.lengths_bytes > header.records * kMostLengthBytes)
        return damaged("{} bytes of lengths are too many for {} records", header.lengths_bytes, header.records);
    if (header.payload_bytes > kMostExtentPayloadBytes)
        return damaged("it would hold {} bytes of payload", header.payload_bytes);
    if (header.codec == CodecId::kNone ? header.stored_bytes != header.payload_bytes
                                       : header.stored_bytes == 0 || header.stored_bytes >= header.payload_bytes) {
        return damaged("{} bytes of payload cannot be stored in {}", header.payload_bytes, header.stored_bytes);
    }
    if (header.first_segment > UINT32_MAX - header.segments)
        return damaged("no chain has a segment {}", header.first_segment);
    return {};
}

Result<void> check_data(const ExtentHeader& header) {
    if (header.segments == 0) return damaged("it holds no segment");
    if (header.part != 0 || header.parts != 0 || header.record_bytes != 0)
        return damaged("it is no part of a record, and has a part's numbers");
    if (header.lengths_bytes != 0) {
        if (header.lengths_bytes < header.records)
            return damaged("{} bytes of lengths are too few for {} records", header.lengths_bytes, header.records);
        return {};
    }
    if (header.records == 0 ? header.payload_bytes != 0 : header.payload_bytes % header.records != 0)
        return damaged("{} bytes of payload are not {} records of one length", header.payload_bytes,
                       header.records);
    return {};
}

Result<void> check_tombstone(const ExtentHeader& header) {
    if (header.first_segment != 0 || header.segments != 0 || header.records != 0 || header.payload_bytes != 0 ||
        header.part != 0 || header.parts != 0 || header.record_bytes != 0 || header.flags != 0) {
        return damaged("it is a tombstone, and not empty");
    }
    return {};
}

Result<void> check_part(const ExtentHeader& header) {
    if (header.record_bytes <= kPartBytes || header.part >= header.parts ||
        header.parts != (header.record_bytes - 1) / kPartBytes + 1) {
        return damaged("{} bytes of record cannot have a part {} of {}", header.record_bytes, header.part,
                       header.parts);
    }
    const std::uint64_t begin = header.part * kPartBytes;
    if (header.payload_bytes != std::min(kPartBytes, header.record_bytes - begin) || header.segments != 1 ||
        header.records != (header.part == 0 ? 1 : 0) || header.lengths_bytes != 0 || header.flags != 0) {
        return damaged("its numbers are not those of part {} of {} bytes of record", header.part,
                       header.record_bytes);
    }
    return {};
}

// Whether the segments' numbers add up to the header's.
Result<void> check_table(const ExtentHeader& header, const std::byte* table) {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    for (std::uint32_t index = 0; index < header.segments; ++index) {
        const auto entry = load<SegmentEntry>(table + index * sizeof(SegmentEntry));
        records += entry.records;
        bytes += entry.payload_bytes;
    }
    if (records != header.records || bytes != header.payload_bytes)
        return damaged("its segments hold {} records of {} bytes in all, not {} of {}", records, bytes,
                       header.records, header.payload_bytes);
    return {};
}

// Whether each segment's records are as long together as the segment.
Result<void> check_lengths(const ExtentHeader& header, const std::byte* table, const std::byte* lengths) {
    const std::byte* const end = lengths + header.lengths_bytes;
    const std::uint64_t same =
        header.lengths_bytes == 0 && header.records != 0 ? header.payload_bytes / header.records : 0;
    std::optional<std::uint32_t> first;
    bool all_same = true;
    const std::byte* at = lengths;
    for (std::uint32_t index = 0; index < header.segments; ++index) {
        const auto entry = load<SegmentEntry>(table + index * sizeof(SegmentEntry));
        std::uint64_t bytes = same * entry.records;
        for (std::uint32_t record = 0; header.lengths_bytes != 0 && record < entry.records; ++record) {
            std::uint32_t length = 0;
            if (!read_varint(&at, end, &length)) return damaged("its lengths of records cannot be read");
            if (!first) first = length;
            all_same = all_same && length == *first;
            bytes += length;
        }
        if (bytes != entry.payload_bytes)
            return damaged("the {} records of its segment {} have {} bytes, not {}", entry.records,
                           header.first_segment + index, bytes, entry.payload_bytes);
    }
    if (at != end) return damaged("it lists more lengths than records");
    if (header.lengths_bytes != 0 && all_same) return damaged("it lists lengths that are all the same");
    return {};
}

}  // namespace

Result<std::optional<ExtentHeader>> parse_extent_header(ByteView bytes) {
    if (bytes.size() < sizeof(ExtentHeader)) return damaged("it is cut off after {} bytes", bytes.size());
    if (all_zero(bytes.data(), sizeof(ExtentHeader))) return std::optional<ExtentHeader>{};
    const auto header = load<ExtentHeader>(bytes.data());
    if (((header.magic ^ kExtentMagic) & ~kVersionMask) == 0 && header.magic != kExtentMagic)
        return is_of_later_version("it", header.magic & kVersionMask, kExtentMagic & kVersionMask);
    if (header.magic != kExtentMagic) return damaged("no extent begins with {:016x}", header.magic);
    if (header.codec > CodecId::kBlosc || header.kind > ExtentKind::kPart || (header.flags & ~kMayGrowFlag) != 0 ||
        header.reserved != 0) {
        return damaged("there is no kind {} of codec {} with flags {:02x} {:02x}", static_cast<int>(header.kind),
                       static_cast<int>(header.codec), header.flags, header.reserved);
    }
    if (auto checked = check_limits(header); !checked) return tl::unexpected(std::move(checked.error()));
    const auto checked = header.kind == ExtentKind::kData        ? check_data(header)
                         : header.kind == ExtentKind::kTombstone ? check_tombstone(header)
                                                                 : check_part(header);
    if (!checked) return tl::unexpected(checked.error());
    return header;
}

Result<ExtentView> parse_extent(ByteView bytes) {
    const auto parsed = parse_extent_header(bytes);
    if (!parsed) return tl::unexpected(parsed.error());
    if (!*parsed) return damaged("there are only zeroes");
    const ExtentHeader& header = **parsed;
    const std::uint64_t prefix = prefix_bytes(header);
    if (bytes.size() < prefix) return damaged("its prefix of {} bytes is cut off after {}", prefix, bytes.size());
    constexpr std::size_t kFrom = offsetof(ExtentHeader, stored_checksum);
    if (XXH3_64bits(bytes.data() + kFrom, prefix - kFrom) != header.header_checksum)
        return damaged("the checksum of its header does not match");
    const std::byte* const table = bytes.data() + sizeof(ExtentHeader) + header.key_bytes;
    const std::byte* const lengths = table + header.segments * sizeof(SegmentEntry);
    if (auto checked = check_table(header, table); !checked) return tl::unexpected(std::move(checked.error()));
    if (header.kind == ExtentKind::kData) {
        if (auto checked = check_lengths(header, table, lengths); !checked)
            return tl::unexpected(std::move(checked.error()));
    }
    const std::byte* const padding = lengths + header.lengths_bytes;
    if (!all_zero(padding, static_cast<std::size_t>(bytes.data() + prefix - padding)))
        return damaged("its prefix is not filled up with zeroes");
    return ExtentView(header, bytes.data());
}

SegmentEntry ExtentView::entry(std::uint32_t index) const noexcept {
    return load<SegmentEntry>(prefix_ + sizeof(ExtentHeader) + header_.key_bytes + index * sizeof(SegmentEntry));
}

const std::byte* ExtentView::lengths_at() const noexcept {
    return prefix_ + sizeof(ExtentHeader) + header_.key_bytes + header_.segments * sizeof(SegmentEntry);
}

std::optional<ExtentPiece> ExtentView::piece(std::uint32_t segment) const noexcept {
    if (segment < header_.first_segment || segment - header_.first_segment >= header_.segments) return std::nullopt;
    ExtentPiece piece;
    for (std::uint32_t index = 0; index < segment - header_.first_segment; ++index) {
        const SegmentEntry before = entry(index);
        piece.offset += before.payload_bytes;
        piece.records_before += before.records;
    }
    const SegmentEntry own = entry(segment - header_.first_segment);
    piece.bytes = own.payload_bytes;
    piece.records = own.records;
    return piece;
}

RecordLengths ExtentView::lengths(const ExtentPiece& piece) const noexcept {
    if (header_.lengths_bytes == 0) {
        const std::uint64_t same = header_.records == 0 ? 0 : header_.payload_bytes / header_.records;
        return {nullptr, nullptr, static_cast<std::uint32_t>(same)};
    }
    RecordLengths lengths(lengths_at(), lengths_at() + header_.lengths_bytes, 0);
    for (std::uint32_t record = 0; record < piece.records_before; ++record) (void)lengths.next();
    return lengths;
}

std::uint32_t RecordLengths::next() noexcept {
    std::uint32_t length = same_;
    (void)read_varint(&at_, end_, &length);
    return length;
}

Result<void> check_stored(const ExtentHeader& header, ByteView stored) {
    if (stored.size() != header.stored_bytes)
        return damaged("its {} stored bytes are cut off after {}", header.stored_bytes, stored.size());
    if (XXH3_64bits(stored.data(), stored.size()) != header.stored_checksum)
        return damaged("the checksum of its {} stored bytes does not match", header.stored_bytes);
    return {};
}

Result<void> unpack_payload(const ExtentHeader& header, ByteView stored, std::span<std::byte> payload,
                            Decompressor& decompressor) {
    if (auto checked = check_stored(header, stored); !checked) return checked;
    if (payload.size() != header.payload_bytes || !decompressor.decompress(header.codec, stored, payload))
        return damaged("its {} stored bytes are not {} bytes of payload", header.stored_bytes,
                       header.payload_bytes);
    return {};
}

}  // namespace shoal
