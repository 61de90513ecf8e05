// Numbers of Arrow's stream format that are no field of its metadata (arrow_metadata.fbs).
#pragma once

#include <cstdint>

namespace shoal::interchange::arrow {

inline constexpr std::uint32_t kContinuation = 0xFFFFFFFF;  // before each message; older streams have none
inline constexpr char kFileMagic[] = "ARROW1";              // of the file format

enum Version : std::int16_t { kV4 = 3, kV5 = 4 };

enum class Type : std::uint8_t {
    kBinary = 4,
    kUtf8 = 5,
    kLargeBinary = 19,
    kLargeUtf8 = 20,
    kBinaryView = 23,
    kUtf8View = 24,
};

enum Codec : std::int8_t { kLz4Frame = 0, kZstd = 1 };

}  // namespace shoal::interchange::arrow
