// A bundle: small extents of many keys, side by side behind one header and one checksum, where an extent each would
// be header, key and padding for the most part. All segments in it name the bundle's place; a reader reads all of
// it, and finds its own by the chain's generation.
//
// Thread safety: none. A crash: as of any extent (spill/batch.hpp, spill/sync_pass.hpp).
// Invariants: I1 a generation is in a bundle once: where generations have begun anew (chain/layout.hpp), two living
//                chains of one generation have two bundles;
//             I2 the place of a bundle is known before it is full: it begins where it was begun, and all are read
//                as kBundleBytes, though one may be shorter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>

#include "arena/location.hpp"
#include "spill/extent.hpp"
#include "spill/extent_builder.hpp"
#include "spill/layout.hpp"

namespace shoal {

// An extent goes into a bundle when it takes no more bytes there. One that a codec may make smaller is better off
// by itself sooner.
inline constexpr std::uint64_t kMostBundledBytes = 1024;
inline constexpr std::uint64_t kMostBundledBytesWithCodec = 256;

// Whether what the builder has gathered is to go into a bundle.
[[nodiscard]] inline bool belongs_in_bundle(const ExtentBuilder& extent, const Codec& codec) noexcept {
    const std::uint64_t most = codec.id == CodecId::kNone ? kMostBundledBytes : kMostBundledBytesWithCodec;
    return extent.payload_bytes() < most && extent.bundled_bytes() <= most;
}

class BundleBuilder {
public:
    [[nodiscard]] bool is_open() const noexcept { return out_ != nullptr; }
    // `out`: room for kBundleBytes, which lie at that offset of the file; they are this object's until seal().
    void begin(std::byte* out, std::uint64_t file_offset) noexcept;
    [[nodiscard]] std::uint64_t file_offset() const noexcept { return file_offset_; }
    // Open, and with room for that extent.
    [[nodiscard]] bool has_room(const ExtentBuilder& extent) const noexcept;
    void add(const ExtentBuilder& extent);
    // Writes the header, and zeroes up to a multiple of 64, or all of kBundleBytes. How many bytes that are.
    std::size_t seal(const SpillStoreId& store_id, bool all) noexcept;
    void forget() noexcept { out_ = nullptr; }

    // Where what is added now is stored.
    [[nodiscard]] StoredAt place(std::uint32_t file) const noexcept {
        return {file, file_offset_, kBundleBytes, true};
    }

private:
    std::byte* out_ = nullptr;
    std::uint64_t file_offset_ = 0;
    std::size_t used_ = 0;
    std::vector<std::uint64_t> generations_;
};

// A bundle as it is read: nothing in it is trusted.
class BundleView {
public:
    [[nodiscard]] const SpillStoreId& store_id() const noexcept { return header_.store_id; }
    [[nodiscard]] const BundleHeader& header() const noexcept { return header_; }

    // Some neighbouring segments of a chain.
    struct Found {
        ByteView payload;
        std::uint32_t records = 0;
        RecordLengths lengths;
    };
    // Where a search begins, and where the last one ended: the entries before it come last. So who looks for
    // entries in their order looks at each once.
    struct Cursor {
        std::uint32_t number = 0;
        std::uint64_t offset = sizeof(BundleHeader);
    };
    // kDamaged where the bundle's entries cannot be read, of those it looks at. Nothing: those segments are not in
    // it.
    [[nodiscard]] Result<std::optional<Found>> find(std::uint64_t generation, std::uint32_t first_segment,
                                                    std::uint32_t segments, Cursor& cursor) const;
    [[nodiscard]] Result<std::optional<Found>> find(std::uint64_t generation, std::uint32_t first_segment,
                                                    std::uint32_t segments) const {
        Cursor cursor;
        return find(generation, first_segment, segments, cursor);
    }

    // What the segments in it count in their file's live bytes, as long as all are named.
    [[nodiscard]] Result<std::uint64_t> live_bytes() const;

private:
    friend Result<BundleView> parse_bundle(ByteView bytes);
    BundleView(const BundleHeader& header, const std::byte* bytes) noexcept : header_(header), bytes_(bytes) {}

    BundleHeader header_;
    const std::byte* bytes_;  // of all of it, the caller's
};

// `bytes` begin with the bundle, and may be more than it. Errors are kDamaged.
[[nodiscard]] Result<BundleView> parse_bundle(ByteView bytes);

}  // namespace shoal
