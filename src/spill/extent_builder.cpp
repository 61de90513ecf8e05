#include "spill/extent_builder.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <xxhash.h>

#include "spill/varint.hpp"

namespace shoal {
namespace {

std::byte* put(std::byte* at, const void* bytes, std::size_t count) noexcept {
    if (count != 0) std::memcpy(at, bytes, count);
    return at + count;
}

std::byte* zero_up_to(std::byte* at, std::byte* end) noexcept {
    std::fill(at, end, std::byte{0});
    return end;
}

ExtentHeader header_of(const ExtentOrigin& origin, ExtentKind kind) noexcept {
    assert(origin.key.size() <= kMaxKeyBytes);
    ExtentHeader header{};
    header.magic = kExtentMagic;
    header.store_id = origin.store_id;
    header.generation = origin.generation;
    header.key_bytes = static_cast<std::uint32_t>(origin.key.size());
    header.kind = kind;
    return header;
}

// Behind the payload, which is in place, and everything before it but the header: pads, sums up, writes the header.
std::size_t seal(ExtentHeader header, std::span<std::byte> out) noexcept {
    const std::uint64_t prefix = prefix_bytes(header);
    std::byte* const stored = out.data() + prefix;
    zero_up_to(stored + header.stored_bytes, stored + padded_to_extent(header.stored_bytes));
    header.stored_checksum = XXH3_64bits(stored, header.stored_bytes);
    std::memcpy(out.data(), &header, sizeof header);
    constexpr std::size_t kFrom = offsetof(ExtentHeader, stored_checksum);
    header.header_checksum = XXH3_64bits(out.data() + kFrom, prefix - kFrom);
    std::memcpy(out.data(), &header, sizeof header);
    return static_cast<std::size_t>(extent_bytes(header));
}

// Compresses `payload` into its place in `out` and says so in the header. False: it stays plain, and is not copied.
bool store_compressed(const Codec& codec, Compressor& compressor, ByteView payload, ExtentHeader* header,
                      std::span<std::byte> out) {
    const std::size_t written = compressor.compress(codec, payload, out.subspan(prefix_bytes(*header)));
    if (written == 0) return false;
    header->codec = codec.id;
    header->stored_bytes = written;
    return true;
}

}  // namespace

void ExtentBuilder::begin(const ExtentOrigin& origin) {
    origin_ = origin;
    table_.clear();
    records_.clear();
    payload_bytes_ = 0;
    varints_bytes_ = 0;
    all_same_ = true;
    flags_ = 0;
}

void ExtentBuilder::begin_segment() {
    assert(table_.size() < kMostExtentSegments);
    table_.push_back({0, 0});
}

void ExtentBuilder::add(ByteView record) {
    assert(!table_.empty() && records_.size() < kMostExtentRecords &&
           payload_bytes_ + record.size() <= kMostExtentPayloadBytes);
    const auto bytes = static_cast<std::uint32_t>(record.size());
    ++table_.back().records;
    table_.back().payload_bytes += bytes;
    all_same_ = all_same_ && (records_.empty() || records_.front().size() == bytes);
    payload_bytes_ += bytes;
    varints_bytes_ += varint_bytes(bytes);
    records_.push_back(record);
}

bool ExtentBuilder::has_room(std::uint64_t records, std::uint64_t payload_bytes) const noexcept {
    return table_.size() < kMostExtentSegments && records <= kMostExtentRecords - records_.size() &&
           payload_bytes <= kMostExtentPayloadBytes - payload_bytes_;
}

std::uint64_t ExtentBuilder::bytes_needed() const noexcept {
    return prefix_bytes(origin_.key.size(), table_.size(), lengths_bytes()) + padded_to_extent(payload_bytes_);
}

std::uint64_t ExtentBuilder::bytes_needed_with(std::uint64_t records, std::uint64_t payload_bytes) const noexcept {
    const std::uint64_t lengths = varints_bytes_ + records * kMostLengthBytes;
    return prefix_bytes(origin_.key.size(), table_.size() + 1, lengths) +
           padded_to_extent(payload_bytes_ + payload_bytes);
}

ByteView ExtentBuilder::contiguous_payload() {
    if (records_.size() == 1) return records_.front();
    gathered_.resize(std::max<std::size_t>(gathered_.size(), payload_bytes_));
    std::byte* at = gathered_.data();
    for (const ByteView record : records_) at = put(at, record.data(), record.size());
    return {gathered_.data(), payload_bytes_};
}

std::size_t ExtentBuilder::finish(const Codec& codec, Compressor& compressor, std::span<std::byte> out) {
    assert(!table_.empty() && out.size() >= bytes_needed());
    ExtentHeader header = header_of(origin_, ExtentKind::kData);
    header.payload_bytes = payload_bytes_;
    header.stored_bytes = payload_bytes_;
    header.first_segment = origin_.first_segment;
    header.segments = segments();
    header.records = records();
    header.lengths_bytes = static_cast<std::uint32_t>(lengths_bytes());
    header.flags = flags_;

    std::byte* at = put(out.data() + sizeof header, origin_.key.data(), origin_.key.size());
    at = put(at, table_.data(), table_.size() * sizeof(SegmentEntry));
    if (header.lengths_bytes != 0) {
        for (const ByteView record : records_) at = write_varint(at, static_cast<std::uint32_t>(record.size()));
    }
    at = zero_up_to(at, out.data() + prefix_bytes(header));

    if (codec.id != CodecId::kNone) {
        const ByteView payload = contiguous_payload();
        if (!store_compressed(codec, compressor, payload, &header, out)) put(at, payload.data(), payload.size());
    } else {
        for (const ByteView record : records_) at = put(at, record.data(), record.size());
    }
    return seal(header, out);
}

std::uint64_t ExtentBuilder::bundled_bytes() const noexcept {
    std::uint64_t bytes = long_varint_bytes(origin_.generation) + long_varint_bytes(origin_.first_segment) +
                          long_varint_bytes(table_.size() << 1) + lengths_bytes() + payload_bytes_;
    for (const SegmentEntry& entry : table_)
        bytes += long_varint_bytes(entry.records) + long_varint_bytes(entry.payload_bytes);
    return bytes;
}

std::byte* ExtentBuilder::write_bundled(std::byte* out) const noexcept {
    const bool lists_lengths = lengths_bytes() != 0;
    std::byte* at = write_long_varint(out, origin_.generation);
    at = write_long_varint(at, origin_.first_segment);
    at = write_long_varint(at, table_.size() << 1 | (lists_lengths ? 1 : 0));
    for (const SegmentEntry& entry : table_) {
        at = write_long_varint(at, entry.records);
        at = write_long_varint(at, entry.payload_bytes);
    }
    if (lists_lengths) {
        for (const ByteView record : records_) at = write_varint(at, static_cast<std::uint32_t>(record.size()));
    }
    for (const ByteView record : records_) at = put(at, record.data(), record.size());
    return at;
}

std::uint64_t part_bytes_needed(std::uint64_t key_bytes, std::uint64_t record_bytes, std::uint32_t part) noexcept {
    return prefix_bytes(key_bytes, 1, 0) + padded_to_extent(std::min(kPartBytes, record_bytes - part * kPartBytes));
}

std::size_t write_part(const ExtentOrigin& origin, ByteView record, std::uint32_t part, const Codec& codec,
                       Compressor& compressor, std::span<std::byte> out) {
    assert(record.size() > kPartBytes && part < parts_of(record.size()) &&
           out.size() >= part_bytes_needed(origin.key.size(), record.size(), part));
    const std::uint64_t begin = part * kPartBytes;
    const ByteView payload(record.data() + begin, std::min(kPartBytes, record.size() - begin));
    ExtentHeader header = header_of(origin, ExtentKind::kPart);
    header.payload_bytes = payload.size();
    header.stored_bytes = payload.size();
    header.record_bytes = record.size();
    header.first_segment = origin.first_segment;
    header.segments = 1;
    header.records = part == 0 ? 1 : 0;
    header.part = part;
    header.parts = parts_of(record.size());

    const SegmentEntry entry{header.records, static_cast<std::uint32_t>(payload.size())};
    std::byte* at = put(out.data() + sizeof header, origin.key.data(), origin.key.size());
    at = put(at, &entry, sizeof entry);
    at = zero_up_to(at, out.data() + prefix_bytes(header));
    if (!store_compressed(codec, compressor, payload, &header, out)) put(at, payload.data(), payload.size());
    return seal(header, out);
}

std::size_t write_tombstone(const ExtentOrigin& origin, std::span<std::byte> out) {
    assert(out.size() >= tombstone_bytes(origin.key.size()));
    const ExtentHeader header = header_of(origin, ExtentKind::kTombstone);
    std::byte* const at = put(out.data() + sizeof header, origin.key.data(), origin.key.size());
    zero_up_to(at, out.data() + prefix_bytes(header));
    return seal(header, out);
}

}  // namespace shoal
