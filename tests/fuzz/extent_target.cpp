// The parsers of spill files: the input as an extent, as a bundle and as a file's header, as it is and with the
// checksums that it should have. What is read must be what would be written, to the byte.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <xxhash.h>

#include "../codec/guarded_bytes.hpp"
#include "spill/bundle.hpp"
#include "spill/extent.hpp"
#include "spill/extent_builder.hpp"
#include "spill/file_header.hpp"

namespace {

using shoal::ByteView;
using shoal::ExtentHeader;
using shoal::ExtentKind;
using shoal_test::GuardedBytes;

void require(bool holds) {
    if (!holds) std::abort();
}

shoal::ExtentOrigin origin_of(const shoal::ExtentView& view) {
    const ExtentHeader& header = view.header();
    return {header.store_id, view.key(), header.generation, header.first_segment};
}

// Walks every piece and every length, and writes the extent anew, plain.
std::string written_anew(const shoal::ExtentView& view, ByteView payload) {
    const ExtentHeader& header = view.header();
    shoal::ExtentBuilder builder;
    builder.begin(origin_of(view));
    std::uint64_t end = 0;
    for (std::uint32_t index = 0; index < header.segments; ++index) {
        const shoal::ExtentPiece piece = view.piece(header.first_segment + index).value();
        require(piece.offset == end && piece.records_before == builder.records());
        builder.begin_segment();
        shoal::RecordLengths lengths = view.lengths(piece);
        for (std::uint32_t record = 0; record < piece.records; ++record) {
            const std::uint32_t bytes = lengths.next();
            require(bytes <= payload.size() - end);
            builder.add(ByteView(payload.data() + end, bytes));
            end += bytes;
        }
        require(end == piece.offset + piece.bytes);
    }
    require(end == payload.size() && builder.payload_bytes() == end);
    if (header.flags != 0) builder.mark_open();
    std::string bytes(builder.bytes_needed(), '?');
    shoal::Compressor compressor;
    bytes.resize(builder.finish({}, compressor, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}));
    return bytes;
}

void read_extent(ByteView bytes) {
    const auto header = shoal::parse_extent_header(bytes);
    const auto view = shoal::parse_extent(bytes);
    require(!view || (header && *header));
    if (!header || !*header) return;
    const std::uint64_t prefix = shoal::prefix_bytes(**header);
    require(prefix <= shoal::kMostPrefixBytes && shoal::extent_bytes(**header) <= shoal::kMostExtentBytes);
    if (!view) {
        require(view.error().code == shoal::Code::kDamaged && !view.error().message.empty());
        return;
    }
    require(prefix <= bytes.size());
    const ExtentHeader& good = view->header();
    if (good.stored_bytes > bytes.size() - prefix) return;
    const GuardedBytes stored(ByteView(bytes.data() + prefix, good.stored_bytes));
    const GuardedBytes payload(good.payload_bytes);
    shoal::Decompressor decompressor;
    if (!shoal::unpack_payload(good, stored, payload.span(), decompressor)) return;
    std::string anew;
    if (good.kind == ExtentKind::kData) {
        anew = written_anew(*view, payload);
    } else if (good.kind == ExtentKind::kTombstone) {
        anew.resize(shoal::tombstone_bytes(good.key_bytes));
        shoal::write_tombstone(origin_of(*view), {reinterpret_cast<std::byte*>(anew.data()), anew.size()});
    } else {
        require(view->piece(good.first_segment).value().bytes == good.payload_bytes);
        return;
    }
    require(shoal::parse_extent(anew).has_value());
    // All but the zeroes behind the payload, which nobody reads.
    if (good.codec == shoal::CodecId::kNone)
        require(ByteView(anew.data(), prefix + good.stored_bytes) ==
                ByteView(bytes.data(), prefix + good.stored_bytes));
}

// With the checksums that the bytes should have.
std::string summed_up(std::string bytes) {
    const auto parsed = shoal::parse_extent_header(bytes);
    if (!parsed || !*parsed || shoal::prefix_bytes(**parsed) > bytes.size()) return bytes;
    ExtentHeader header = **parsed;
    const auto prefix = static_cast<std::size_t>(shoal::prefix_bytes(header));
    header.stored_checksum =
        XXH3_64bits(bytes.data() + prefix, std::min<std::size_t>(header.stored_bytes, bytes.size() - prefix));
    std::memcpy(bytes.data(), &header, sizeof header);
    constexpr std::size_t kFrom = offsetof(ExtentHeader, stored_checksum);
    header.header_checksum = XXH3_64bits(bytes.data() + kFrom, prefix - kFrom);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

// Asks for what may be there and for what is not.
void read_bundle(ByteView bytes) {
    const auto bundle = shoal::parse_bundle(bytes);
    if (!bundle) return;
    for (std::uint64_t generation = 0; generation < 16; ++generation) {
        for (const std::uint32_t segments : {1U, 2U, 3U}) {
            auto found = bundle->find(generation, 2, segments);
            if (!found || !*found) continue;
            require((*found)->payload.size() <= shoal::kBundleBytes);
            std::uint64_t sum = 0;
            for (std::uint32_t record = 0; record < (*found)->records; ++record) sum += (*found)->lengths.next();
            require(sum == (*found)->payload.size());
        }
    }
}

std::string summed_up_as_bundle(std::string bytes) {
    shoal::BundleHeader header{};
    if (bytes.size() < sizeof header) return bytes;
    std::memcpy(&header, bytes.data(), sizeof header);
    constexpr std::size_t kFrom = offsetof(shoal::BundleHeader, store_id);
    header.bytes = static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), shoal::kBundleBytes));
    std::memcpy(bytes.data(), &header, sizeof header);
    header.checksum = XXH3_64bits(bytes.data() + kFrom, header.bytes - kFrom);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

void read_file_header(std::string bytes) {
    (void)shoal::parse_file_header(bytes);
    bytes.resize(shoal::kSpillFileHeaderBytes);
    const std::uint64_t sum = XXH3_64bits(bytes.data() + 16, bytes.size() - 16);
    std::memcpy(bytes.data() + 8, &sum, sizeof sum);
    const auto identity = shoal::parse_file_header(bytes);
    if (!identity) return;
    std::string anew(bytes.size(), '?');
    shoal::write_file_header(*identity, std::span<std::byte, shoal::kSpillFileHeaderBytes>(
                                            reinterpret_cast<std::byte*>(anew.data()), anew.size()));
    require(anew == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    read_extent(GuardedBytes(ByteView(bytes)));
    read_extent(GuardedBytes(ByteView(summed_up(bytes))));
    read_bundle(GuardedBytes(ByteView(bytes)));
    read_bundle(GuardedBytes(ByteView(summed_up_as_bundle(bytes))));
    read_file_header(bytes);
    return 0;
}
