// Bytes that tell where they came from: a seed and a length give the same bytes again, and a byte that is lost,
// doubled or moved shows.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include <shoal/bytes.hpp>

namespace shoal_test {

// splitmix64: a step of the state and a word from it.
inline std::uint64_t next_random(std::uint64_t& state) {
    state += 0x9E3779B97F4A7C15ULL;
    std::uint64_t word = state;
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
    return word ^ (word >> 31);
}

inline void fill_pattern(char* bytes, std::size_t size, std::uint64_t seed) {
    std::uint64_t state = seed;
    while (size >= 8) {
        const std::uint64_t word = next_random(state);
        std::memcpy(bytes, &word, 8);
        bytes += 8;
        size -= 8;
    }
    if (size > 0) {
        const std::uint64_t word = next_random(state);
        std::memcpy(bytes, &word, size);
    }
}

inline std::string pattern(std::size_t size, std::uint64_t seed) {
    std::string bytes(size, '\0');
    fill_pattern(bytes.data(), size, seed);
    return bytes;
}

}  // namespace shoal_test
