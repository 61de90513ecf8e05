// An extent as it is read: nothing in it is trusted. Who reads one takes its first sizeof(ExtentHeader) bytes,
// learns from parse_extent_header how much there is, reads that, and gets a view by parse_extent; then the payload
// is checked.
//
// Errors are kDamaged and say what is wrong with the extent; whoever read it adds file, offset and key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>

#include "codec/codec.hpp"
#include "spill/layout.hpp"

namespace shoal {

// The numbers of an extent's header, each and together such as can be: prefix_bytes() is up to kMostPrefixBytes and
// extent_bytes() up to kMostExtentBytes. They may be wrong all the same until parse_extent has checked their sum.
// Nothing: all bytes are zero, as where an extent was punched out of its file. `bytes`: sizeof(ExtentHeader) at
// least.
[[nodiscard]] Result<std::optional<ExtentHeader>> parse_extent_header(ByteView bytes);

// The lengths of an extent's records, in order, from some record on. Behind the last one there are no more to ask
// for.
class RecordLengths {
public:
    [[nodiscard]] std::uint32_t next() noexcept;

private:
    friend class BundleView;
    friend class ExtentView;
    RecordLengths(const std::byte* at, const std::byte* end, std::uint32_t same) noexcept
        : at_(at), end_(end), same_(same) {}

    const std::byte* at_;  // varints that parse_extent has checked
    const std::byte* end_;
    std::uint32_t same_;  // the length of all, where there are no varints
};

// One segment's part of an extent.
struct ExtentPiece {
    std::uint64_t offset = 0;  // in the payload
    std::uint32_t bytes = 0;
    std::uint32_t records = 0;
    std::uint32_t records_before = 0;  // in the extent
};

// An extent whose header and prefix are right. It looks into the bytes that it was made of, which must outlive it.
class ExtentView {
public:
    [[nodiscard]] const ExtentHeader& header() const noexcept { return header_; }
    [[nodiscard]] ByteView key() const noexcept { return {prefix_ + sizeof(ExtentHeader), header_.key_bytes}; }

    // The piece of the segment of this ordinal in the chain; nothing where it is not in this extent. Linear in the
    // segments before it.
    [[nodiscard]] std::optional<ExtentPiece> piece(std::uint32_t segment) const noexcept;

    // From the piece's first record on, and on into the next pieces. Linear in the records before it, unless all
    // are of one length. Not of a part, whose record is longer than its payload.
    [[nodiscard]] RecordLengths lengths(const ExtentPiece& piece) const noexcept;

private:
    friend Result<ExtentView> parse_extent(ByteView bytes);
    ExtentView(const ExtentHeader& header, const std::byte* prefix) noexcept : header_(header), prefix_(prefix) {}

    [[nodiscard]] SegmentEntry entry(std::uint32_t index) const noexcept;
    [[nodiscard]] const std::byte* lengths_at() const noexcept;

    ExtentHeader header_;
    const std::byte* prefix_;
};

// Header and prefix: `bytes` holds prefix_bytes() of what parse_extent_header says, at least.
[[nodiscard]] Result<ExtentView> parse_extent(ByteView bytes);

// Whether `stored` (the stored_bytes behind the prefix, wherever they were read to) is what was written.
[[nodiscard]] Result<void> check_stored(const ExtentHeader& header, ByteView stored);

// Checks `stored`, and fills `payload` (payload_bytes) from it; where the codec is kNone, better read right into
// the payload and only check.
[[nodiscard]] Result<void> unpack_payload(const ExtentHeader& header, ByteView stored, std::span<std::byte> payload,
                                          Decompressor& decompressor);

}  // namespace shoal
