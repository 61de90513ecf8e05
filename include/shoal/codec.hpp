// How what is spilled to files is compressed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <shoal/error.hpp>

namespace shoal {

// Part of the format of spill files.
enum class CodecId : std::uint8_t { kNone = 0, kLz4 = 1, kZstd = 2, kBlosc = 3 };

// What blosc does to the bytes of each item before its inner codec sees them; by blosc's own numbers.
enum class Shuffle : std::uint8_t { kNone = 0, kByte = 1, kBit = 2 };

// The codec inside blosc, by blosc's own numbers.
enum class BloscInner : std::uint8_t { kBloscLz = 0, kLz4 = 1, kLz4Hc = 2, kZlib = 4, kZstd = 5 };

// A codec and its settings; those that it has not are as they are here. Whatever the settings, bytes that it would
// not make smaller by a tenth are stored plain, and what one setting wrote every other reads.
struct Codec {
    CodecId id = CodecId::kNone;
    std::int8_t level = 0;                    // zstd: -20 to 22; blosc: 1 to 9. Higher is slower and smaller.
    std::uint8_t type_size = 0;               // blosc: bytes of an item, 1 to 255
    Shuffle shuffle = Shuffle::kNone;         // blosc
    BloscInner inner = BloscInner::kBloscLz;  // blosc

    friend bool operator==(const Codec&, const Codec&) = default;
};

// "none", "lz4", "zstd" (of level 1), "zstd:9", "blosc:8" (a type size), or all of blosc's settings, of which only
// the type size must be given: "blosc:type_size=8,shuffle=byte,inner=lz4,level=5". kInvalidArgument: anything else;
// the message lists what goes.
[[nodiscard]] __attribute__((visibility("default"))) Result<Codec> parse_codec(std::string_view text);

// The text that parse_codec makes this codec of.
[[nodiscard]] __attribute__((visibility("default"))) std::string name(const Codec& codec);

}  // namespace shoal
