#include "shuffle/structural_masks.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace shoal::shuffling {
namespace {

#if defined(__x86_64__)

[[nodiscard]] inline std::uint64_t equal_sse2(const __m128i (&block)[4], __m128i byte) noexcept {
    std::uint64_t bits = 0;
    for (unsigned i = 0; i < 4; ++i) {
        const auto part = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block[i], byte)));
        bits |= static_cast<std::uint64_t>(part) << (16 * i);
    }
    return bits;
}

void find_structure_sse2(const char* data, std::size_t blocks, char delimiter, bool quoted,
                         StructuralMasks& masks) noexcept {
    const __m128i delimiters = _mm_set1_epi8(delimiter);
    const __m128i newlines = _mm_set1_epi8('\n');
    const __m128i quotes = _mm_set1_epi8('"');
    for (std::size_t b = 0; b < blocks; ++b) {
        const auto* at = reinterpret_cast<const __m128i*>(data + b * kBlockBytes);
        const __m128i block[4] = {_mm_loadu_si128(at), _mm_loadu_si128(at + 1), _mm_loadu_si128(at + 2),
                                  _mm_loadu_si128(at + 3)};
        masks.delimiters[b] = equal_sse2(block, delimiters);
        masks.newlines[b] = equal_sse2(block, newlines);
        masks.quotes[b] = quoted ? equal_sse2(block, quotes) : 0;
    }
}

__attribute__((target("avx2"))) inline std::uint64_t equal_avx2(__m256i low, __m256i high, __m256i byte) noexcept {
    const auto first = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, byte)));
    const auto second = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, byte)));
    return first | static_cast<std::uint64_t>(second) << 32;
}

__attribute__((target("avx2"))) void find_structure_avx2(const char* data, std::size_t blocks, char delimiter,
                                                         bool quoted, StructuralMasks& masks) noexcept {
    const __m256i delimiters = _mm256_set1_epi8(delimiter);
    const __m256i newlines = _mm256_set1_epi8('\n');
    const __m256i quotes = _mm256_set1_epi8('"');
    for (std::size_t b = 0; b < blocks; ++b) {
        const auto* at = reinterpret_cast<const __m256i*>(data + b * kBlockBytes);
        const __m256i low = _mm256_loadu_si256(at);
        const __m256i high = _mm256_loadu_si256(at + 1);
        masks.delimiters[b] = equal_avx2(low, high, delimiters);
        masks.newlines[b] = equal_avx2(low, high, newlines);
        masks.quotes[b] = quoted ? equal_avx2(low, high, quotes) : 0;
    }
}

const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;

#endif

// One bit for each of eight bytes that is zero in `word`. Exact: no carry passes from byte to byte.
[[nodiscard]] inline std::uint64_t zero_bytes(std::uint64_t word) noexcept {
    constexpr std::uint64_t kLow7 = 0x7F7F7F7F7F7F7F7FULL;
    const std::uint64_t tops = ~(((word & kLow7) + kLow7) | word | kLow7);  // 0x80 where the byte is zero
    return ((tops >> 7) * 0x0102040810204080ULL) >> 56;
}

}  // namespace

void find_structure(const char* data, std::size_t blocks, char delimiter, bool quoted,
                    StructuralMasks& masks) noexcept {
#if defined(__x86_64__)
    if (kHasAvx2) {
        find_structure_avx2(data, blocks, delimiter, quoted, masks);
    } else {
        find_structure_sse2(data, blocks, delimiter, quoted, masks);
    }
#else
    for (std::size_t b = 0; b < blocks; ++b) {
        masks.delimiters[b] = find_byte(data + b * kBlockBytes, delimiter);
        masks.newlines[b] = find_byte(data + b * kBlockBytes, '\n');
        masks.quotes[b] = quoted ? find_byte(data + b * kBlockBytes, '"') : 0;
    }
#endif
}

std::uint64_t find_byte(const char* block, char byte) noexcept {
#if defined(__x86_64__)
    const auto* at = reinterpret_cast<const __m128i*>(block);
    const __m128i parts[4] = {_mm_loadu_si128(at), _mm_loadu_si128(at + 1), _mm_loadu_si128(at + 2),
                              _mm_loadu_si128(at + 3)};
    return equal_sse2(parts, _mm_set1_epi8(byte));
#else
    return find_byte_portable(block, byte);
#endif
}

std::uint64_t find_byte_portable(const char* block, char byte) noexcept {
    const std::uint64_t pattern = 0x0101010101010101ULL * static_cast<unsigned char>(byte);
    std::uint64_t bits = 0;
    for (unsigned i = 0; i < 8; ++i) {
        std::uint64_t word = 0;
        for (unsigned b = 0; b < 8; ++b) {
            word |= static_cast<std::uint64_t>(static_cast<unsigned char>(block[8 * i + b])) << (8 * b);
        }
        bits |= zero_bytes(word ^ pattern) << (8 * i);
    }
    return bits;
}

}  // namespace shoal::shuffling
