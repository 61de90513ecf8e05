// Which spilled segments of a chain are to be merged: size-tiered, as RocksDB's universal compaction. A tier is a
// power of four of payload bytes: tier t has [4^(t-1), 4^t). Of a stretch of segments the end that has none of a
// higher tier than t is merged when it comes to 4^t bytes: so what it becomes is of a higher tier than all that it
// is made of. Each byte is written again at most once per tier, and what is not merged has at most three segments
// of a tier, with smaller ones before each that were spilled with it.
//
// Thread safety: none.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace shoal {

// From there on a segment is left as it is: its descriptor is less than a 1,000th of it, and a read of it costs
// more than to come to it.
inline constexpr std::uint64_t kLeastUnmergedBytes = 64 << 10;
inline constexpr std::uint64_t kMostMergedBytes = 256 << 10;  // of a merged segment's payload

[[nodiscard]] constexpr std::size_t merge_tier(std::uint64_t payload_bytes) noexcept {
    return (static_cast<std::size_t>(std::bit_width(payload_bytes)) + 1) / 2;
}
[[nodiscard]] constexpr std::uint64_t bytes_above_tier(std::size_t tier) noexcept { return 1ULL << 2 * tier; }
inline constexpr std::size_t kMergeTiers = merge_tier(kLeastUnmergedBytes - 1) + 1;
static_assert(bytes_above_tier(kMergeTiers - 1) == kLeastUnmergedBytes,
              "what the highest tier becomes is not merged");
static_assert(merge_tier(bytes_above_tier(3) - 1) == 3 && merge_tier(bytes_above_tier(3)) == 4);

// Goes along a stretch of segments that could be merged, and remembers what its ends come to.
class MergeTiers {
public:
    void end_stretch() noexcept { ends_ = {}; }
    void add(std::uint64_t payload_bytes) noexcept {  // below kLeastUnmergedBytes
        const std::size_t own = merge_tier(payload_bytes);
        for (std::size_t tier = 0; tier < kMergeTiers; ++tier) {
            if (tier < own) ends_[tier] = {};
            if (tier >= own) ends_[tier] = {ends_[tier].segments + 1, ends_[tier].bytes + payload_bytes};
        }
    }
    // The highest tier whose end is to be merged; kMergeTiers for none.
    [[nodiscard]] std::size_t full() const noexcept {
        for (std::size_t tier = kMergeTiers; tier-- != 0;) {
            if (ends_[tier].segments > 1 && ends_[tier].bytes >= bytes_above_tier(tier)) return tier;
        }
        return kMergeTiers;
    }
    [[nodiscard]] bool any_full() const noexcept { return full() != kMergeTiers; }

private:
    struct End {  // that has none of a higher tier
        std::uint32_t segments = 0;
        std::uint64_t bytes = 0;
    };
    std::array<End, kMergeTiers> ends_{};
};

}  // namespace shoal
