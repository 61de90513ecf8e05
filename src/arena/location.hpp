// Where a spilled segment's bytes are, in the word that is an offset in the arena while they are resident. Offsets
// are multiples of 64, so bit 0 tells the two apart.
//
//   bit   0      1: stored in a file
//   bits  1..11  file number
//   bit  12      1: in a bundle, which the small extents of many keys share (spill/layout.hpp)
//   bits 13..38  offset in the file, in units of 64 B: extents begin below 4 GiB
//   bits 39..63  bytes to read, in units of 64 B, as a float that rounds up: 20 bits mantissa, 5 bits exponent.
//                Exact up to 64 MiB, that is for all but large records
#pragma once

#include <bit>
#include <cstdint>

namespace shoal {

inline constexpr std::uint64_t kStoredUnitBytes = 64;
inline constexpr unsigned kFileNumberBits = 11;
inline constexpr unsigned kBundleBits = 1;
inline constexpr unsigned kStoredOffsetBits = 26;
inline constexpr unsigned kMantissaBits = 20;
inline constexpr unsigned kExponentBits = 5;
inline constexpr std::uint64_t kMantissaUnits = (1ULL << kMantissaBits) - 1;

inline constexpr std::uint32_t kMostFiles = 1U << kFileNumberBits;
inline constexpr std::uint64_t kMostSpillFileBytes = kStoredUnitBytes
                                                     << kStoredOffsetBits;  // before an extent begins
// 128 PiB less a little.
inline constexpr std::uint64_t kMostStoredBytes = ((1ULL << kMantissaBits) - 1) * kStoredUnitBytes
                                                  << ((1U << kExponentBits) - 1);

struct StoredAt {
    std::uint32_t file = 0;    // below kMostFiles
    std::uint64_t offset = 0;  // a multiple of 64, below kMostSpillFileBytes
    std::uint64_t bytes = 0;   // up to kMostStoredBytes; comes back as stored_bytes_rounded of it
    bool in_bundle = false;

    friend constexpr bool operator==(const StoredAt&, const StoredAt&) = default;
};

// Bits of the mantissa that `units` has too many.
[[nodiscard]] constexpr unsigned stored_exponent(std::uint64_t units) noexcept {
    const auto width = static_cast<unsigned>(std::bit_width(units));
    const unsigned exponent = width > kMantissaBits ? width - kMantissaBits : 0;
    // Rounding up may carry into one bit more.
    return units > ((1ULL << kMantissaBits) - 1) << exponent ? exponent + 1 : exponent;
}

// What a reader is told of an extent of `bytes`: never less, and more by 63 B and a 500,000th at most.
[[nodiscard]] constexpr std::uint64_t stored_bytes_rounded(std::uint64_t bytes) noexcept {
    const std::uint64_t units = (bytes + kStoredUnitBytes - 1) / kStoredUnitBytes;
    const std::uint64_t step = 1ULL << stored_exponent(units);
    return (units + step - 1) / step * step * kStoredUnitBytes;
}

[[nodiscard]] constexpr std::uint64_t pack(const StoredAt& at) noexcept {
    const std::uint64_t units = stored_bytes_rounded(at.bytes) / kStoredUnitBytes;
    const std::uint64_t exponent = stored_exponent(units);
    return 1 | static_cast<std::uint64_t>(at.file) << 1 |
           static_cast<std::uint64_t>(at.in_bundle) << (1 + kFileNumberBits) |
           at.offset / kStoredUnitBytes << (1 + kFileNumberBits + kBundleBits) |
           units >> exponent << (1 + kFileNumberBits + kBundleBits + kStoredOffsetBits) |
           exponent << (1 + kFileNumberBits + kBundleBits + kStoredOffsetBits + kMantissaBits);
}

[[nodiscard]] constexpr bool is_stored(std::uint64_t word) noexcept { return (word & 1) != 0; }

[[nodiscard]] constexpr StoredAt stored_at(std::uint64_t word) noexcept {
    word >>= 1;
    StoredAt at;
    at.file = static_cast<std::uint32_t>(word & (kMostFiles - 1));
    word >>= kFileNumberBits;
    at.in_bundle = (word & 1) != 0;
    word >>= kBundleBits;
    at.offset = (word & ((1ULL << kStoredOffsetBits) - 1)) * kStoredUnitBytes;
    word >>= kStoredOffsetBits;
    const std::uint64_t mantissa = word & ((1ULL << kMantissaBits) - 1);
    word >>= kMantissaBits;
    at.bytes = (mantissa << (word & ((1U << kExponentBits) - 1))) * kStoredUnitBytes;
    return at;
}

static_assert(1 + kFileNumberBits + kBundleBits + kStoredOffsetBits + kMantissaBits + kExponentBits == 64);
static_assert(kMostSpillFileBytes == 4ULL << 30);
static_assert(stored_bytes_rounded(0) == 0 && stored_bytes_rounded(1) == 64 && stored_bytes_rounded(64) == 64);
static_assert(stored_bytes_rounded(kMantissaUnits * 64) == kMantissaUnits * 64, "exact up to 64 MiB");
static_assert(stored_bytes_rounded((kMantissaUnits + 2) * 64) == (kMantissaUnits + 3) * 64, "then rounded up");
static_assert(stored_bytes_rounded((2 * kMantissaUnits + 1) * 64) == (2 * kMantissaUnits + 2) * 64,
              "a carry out of the mantissa");
static_assert(stored_bytes_rounded(kMostStoredBytes) == kMostStoredBytes);
static_assert(stored_at(pack(StoredAt{2047, kMostSpillFileBytes - 64, kMostStoredBytes, true})) ==
                  StoredAt{2047, kMostSpillFileBytes - 64, kMostStoredBytes, true},
              "the largest of everything");
static_assert(stored_at(pack(StoredAt{1, 4096, 8191 * 64})) == StoredAt{1, 4096, 8191 * 64});
static_assert(is_stored(pack(StoredAt{})) && !is_stored(64));

}  // namespace shoal
