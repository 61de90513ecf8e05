// Where delimiters, newlines and quotes lie, as one bit a byte: 64 bytes are one word. After simdjson's stage 1 and
// simdcsv (Langdale, Lemire). AVX2 where the processor has it, SSE2 on any other x86-64, eight bytes at a time
// elsewhere. Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::shuffling {

inline constexpr std::size_t kBlockBytes = 64;

// The masks of one strip, small enough to stay in the first-level cache between finding and use.
struct StructuralMasks {
    static constexpr std::size_t kBlocks = 128;
    std::uint64_t delimiters[kBlocks];
    std::uint64_t newlines[kBlocks];
    std::uint64_t quotes[kBlocks];
};

// Fills the first `blocks` words of each mask from blocks * kBlockBytes bytes. Without `quoted`, quotes are all 0.
void find_structure(const char* data, std::size_t blocks, char delimiter, bool quoted,
                    StructuralMasks& masks) noexcept;

// The bytes of one block that equal `byte`.
[[nodiscard]] std::uint64_t find_byte(const char* block, char byte) noexcept;

// The same without vector instructions, for processors that have none of those we know.
[[nodiscard]] std::uint64_t find_byte_portable(const char* block, char byte) noexcept;

// Bit i is the exclusive or of bits 0 to i: turns quotes into "within quotes", opening quote included.
[[nodiscard]] constexpr std::uint64_t prefix_xor(std::uint64_t bits) noexcept {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;
    return bits;
}

}  // namespace shoal::shuffling
