// Codecs and bytes to try them on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <shoal/codec.hpp>

#include "../store/pattern.hpp"

namespace shoal_test {

// Each codec, and each of blosc's shuffles and inner codecs.
inline std::vector<std::string> codec_names() {
    return {"none",
            "lz4",
            "zstd",
            "zstd:-5",
            "zstd:19",
            "blosc:8",
            "blosc:1",
            "blosc:255",
            "blosc:type_size=4,shuffle=none,inner=blosclz,level=9",
            "blosc:type_size=8,shuffle=bit,inner=zstd,level=5",
            "blosc:type_size=3,shuffle=byte,inner=lz4hc,level=3",
            "blosc:type_size=16,shuffle=bit,inner=zlib,level=1"};
}

// Words of a small vocabulary in random order: lz4 halves it.
inline std::string text_like(std::size_t bytes, std::uint64_t seed) {
    std::string text;
    std::uint64_t state = seed;
    while (text.size() < bytes) {
        const std::uint64_t word = next_random(state) % 3000;
        std::uint64_t letters = word * 0x9E3779B97F4A7C15ULL;
        for (std::uint64_t length = 2 + word % 9; length != 0; --length, letters >>= 5)
            text += static_cast<char>('a' + (letters & 31) % 26);
        text += ' ';
    }
    text.resize(bytes);
    return text;
}

// Items of 8 bytes that grow slowly: what blosc is for.
inline std::string growing_numbers(std::size_t bytes, std::uint64_t seed) {
    std::string numbers(bytes, '\0');
    std::uint64_t state = seed;
    std::uint64_t number = seed * 1000;
    for (std::size_t at = 0; at + 8 <= bytes; at += 8) {
        number += next_random(state) % 50;
        std::memcpy(numbers.data() + at, &number, 8);
    }
    return numbers;
}

}  // namespace shoal_test
