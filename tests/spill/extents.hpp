// Extents made for tests, and what they hold by a reading of all of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "codec/codec.hpp"
#include "codec/settings.hpp"
#include "spill/extent.hpp"
#include "spill/extent_builder.hpp"

namespace shoal_test {

using Segments = std::vector<std::vector<std::string>>;

inline constexpr shoal::SpillStoreId kStoreId = {0x5b, 0x0c, 0x2a, 0x86, 0xf2, 0xa1, 0x4f, 0x0d,
                                                 0x9a, 0x1e, 0x0c, 0x4d, 0x7b, 0xe3, 0x5f, 0x11};

inline shoal::ExtentOrigin origin(const std::string& key, std::uint64_t generation = 7,
                                  std::uint32_t first_segment = 0) {
    return {kStoreId, shoal::ByteView(key), generation, first_segment};
}

inline std::string written(std::size_t room, auto&& write) {
    std::string bytes(room, '?');  // what the writer leaves as it was shows
    bytes.resize(write(std::span(reinterpret_cast<std::byte*>(bytes.data()), bytes.size())));
    return bytes;
}

inline std::string data_extent(const shoal::ExtentOrigin& of, const Segments& segments, const std::string& codec,
                               bool open = false) {
    shoal::ExtentBuilder builder;
    shoal::Compressor compressor;
    builder.begin(of);
    for (const auto& records : segments) {
        builder.begin_segment();
        for (const std::string& record : records) builder.add(record);
    }
    if (open) builder.mark_open();
    return written(builder.bytes_needed(), [&](std::span<std::byte> out) {
        return builder.finish(shoal::parse_codec(codec).value(), compressor, out);
    });
}

inline std::string part_extent(const shoal::ExtentOrigin& of, const std::string& record, std::uint32_t part,
                               const std::string& codec) {
    shoal::Compressor compressor;
    return written(shoal::part_bytes_needed(of.key.size(), record.size(), part), [&](std::span<std::byte> out) {
        return shoal::write_part(of, record, part, shoal::parse_codec(codec).value(), compressor, out);
    });
}

inline std::string tombstone_extent(const shoal::ExtentOrigin& of) {
    return written(shoal::tombstone_bytes(of.key.size()),
                   [&](std::span<std::byte> out) { return shoal::write_tombstone(of, out); });
}

// As a reader does it: the header, what it says there is, the payload.
struct Reading {
    shoal::Result<std::optional<shoal::ExtentHeader>> header;
    std::shared_ptr<const std::string> kept;  // what `view` looks into, so that the bytes that were read may go
    std::optional<shoal::ExtentView> view;
    std::string payload;
    std::string error;  // of whichever step failed
};

inline Reading read_extent(shoal::ByteView bytes) {
    Reading reading{shoal::parse_extent_header(bytes), {}, {}, {}, {}};
    if (!reading.header) return reading.error = reading.header.error().message, reading;
    if (!*reading.header) return reading.error = "a hole", reading;
    const shoal::ExtentHeader& header = **reading.header;
    if (bytes.size() < shoal::extent_bytes(header)) return reading.error = "cut off", reading;
    const auto view = shoal::parse_extent(bytes);
    if (!view) return reading.error = view.error().message, reading;
    reading.payload.resize(header.payload_bytes);
    shoal::Decompressor decompressor;
    const auto unpacked = shoal::unpack_payload(
        header, shoal::ByteView(bytes.data() + shoal::prefix_bytes(header), header.stored_bytes),
        {reinterpret_cast<std::byte*>(reading.payload.data()), reading.payload.size()}, decompressor);
    if (!unpacked) return reading.error = unpacked.error().message, reading;
    reading.kept = std::make_shared<const std::string>(bytes.text());
    reading.view = shoal::parse_extent(*reading.kept).value();
    return reading;
}

// What the segments of a reading hold; every piece is asked for, and where few come before it its own lengths, else
// those that run on from the first.
inline Segments segments_of(const Reading& reading) {
    Segments segments;
    const shoal::ExtentHeader& header = reading.view->header();
    if (header.segments == 0) return segments;
    shoal::RecordLengths lengths = reading.view->lengths(reading.view->piece(header.first_segment).value());
    for (std::uint32_t index = 0; index < header.segments; ++index) {
        const shoal::ExtentPiece piece = reading.view->piece(header.first_segment + index).value();
        std::vector<std::string> records;
        if (index < 20) lengths = reading.view->lengths(piece);
        std::uint64_t at = piece.offset;
        for (std::uint32_t record = 0; record < piece.records; ++record) {
            const std::uint32_t bytes = lengths.next();
            records.push_back(reading.payload.substr(at, bytes));
            at += bytes;
        }
        if (at != piece.offset + piece.bytes) throw std::logic_error("the lengths do not fill the piece");
        segments.push_back(std::move(records));
    }
    return segments;
}

}  // namespace shoal_test
