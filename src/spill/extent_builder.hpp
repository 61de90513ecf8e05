// An extent as it is written: into memory of the caller's, in one go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <shoal/bytes.hpp>
#include <shoal/codec.hpp>

#include "codec/codec.hpp"
#include "spill/layout.hpp"

namespace shoal {

// At which no neighbour is added to an extent any more.
inline constexpr std::uint64_t kFullExtentPayloadBytes = kPartBytes;

// What an extent is of.
struct ExtentOrigin {
    SpillStoreId store_id{};
    ByteView key;
    std::uint64_t generation = 0;     // of the key's chain
    std::uint32_t first_segment = 0;  // ordinal in the chain
};

// Makes extents of runs of segments. Keeps its memory from one to the next. Not thread-safe.
//
//     builder.begin(origin);
//     for each segment: builder.begin_segment(), then builder.add(record) for each of its records
//     written = builder.finish(codec, compressor, out)    // out has bytes_needed()
class ExtentBuilder {
public:
    // Forgets what there was. The key's bytes and each record's must stay until finish().
    void begin(const ExtentOrigin& origin);

    void begin_segment();
    // Only remembers where the record is.
    void add(ByteView record);
    // The last segment is still open: an extent that holds it and more may follow.
    void mark_open() noexcept { flags_ = kMayGrowFlag; }

    // Whether a segment of that many records and bytes may be added: an extent has limits (spill/layout.hpp).
    [[nodiscard]] bool has_room(std::uint64_t records, std::uint64_t payload_bytes) const noexcept;

    [[nodiscard]] std::uint32_t segments() const noexcept { return static_cast<std::uint32_t>(table_.size()); }
    [[nodiscard]] std::uint32_t records() const noexcept { return static_cast<std::uint32_t>(records_.size()); }
    [[nodiscard]] std::uint64_t payload_bytes() const noexcept { return payload_bytes_; }
    [[nodiscard]] std::uint64_t generation() const noexcept { return origin_.generation; }
    // For finish(), by whatever codec; a multiple of 64.
    [[nodiscard]] std::uint64_t bytes_needed() const noexcept;
    // The most that this is after a segment more of so many records and bytes. One of another length than all
    // before it wants a list of theirs too.
    [[nodiscard]] std::uint64_t bytes_needed_with(std::uint64_t records,
                                                  std::uint64_t payload_bytes) const noexcept;

    // Bytes written to `out`, a multiple of 64. One segment at least was begun. Plain where the codec does not gain
    // a tenth.
    std::size_t finish(const Codec& codec, Compressor& compressor, std::span<std::byte> out);

    // The same as an entry of a bundle (spill/bundle.hpp), always plain: how many bytes that are, and the entry
    // written to `out`, which has them; returns where the next one goes.
    [[nodiscard]] std::uint64_t bundled_bytes() const noexcept;
    std::byte* write_bundled(std::byte* out) const noexcept;

private:
    [[nodiscard]] std::uint64_t lengths_bytes() const noexcept { return all_same_ ? 0 : varints_bytes_; }
    // The payload in one piece: where the only record is, or gathered.
    [[nodiscard]] ByteView contiguous_payload();

    ExtentOrigin origin_;
    std::vector<SegmentEntry> table_;
    std::vector<ByteView> records_;
    std::vector<std::byte> gathered_;
    std::uint64_t payload_bytes_ = 0;
    std::uint64_t varints_bytes_ = 0;
    bool all_same_ = true;  // records are of one length
    std::uint8_t flags_ = 0;
};

// --- a record larger than kPartBytes, which has a segment to itself
// -----------------------------------------------

[[nodiscard]] constexpr std::uint32_t parts_of(std::uint64_t record_bytes) noexcept {
    return static_cast<std::uint32_t>((record_bytes + kPartBytes - 1) / kPartBytes);
}

// For write_part, by whatever codec: of the last part, or of any other.
[[nodiscard]] std::uint64_t part_bytes_needed(std::uint64_t key_bytes, std::uint64_t record_bytes,
                                              std::uint32_t part) noexcept;

// Writes part `part` of parts_of(record.size()); the parts go one right after the other. Bytes written to `out`.
std::size_t write_part(const ExtentOrigin& origin, ByteView record, std::uint32_t part, const Codec& codec,
                       Compressor& compressor, std::span<std::byte> out);

// --- tombstones
// ---------------------------------------------------------------------------------------------------

[[nodiscard]] constexpr std::uint64_t tombstone_bytes(std::uint64_t key_bytes) noexcept {
    return prefix_bytes(key_bytes, 0, 0);
}

// The chain of this key and generation is erased; origin.first_segment does not matter. Bytes written to `out`:
// tombstone_bytes().
std::size_t write_tombstone(const ExtentOrigin& origin, std::span<std::byte> out);

}  // namespace shoal
