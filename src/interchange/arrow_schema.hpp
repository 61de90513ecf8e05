// The numbers of Arrow's Message.fbs and Schema.fbs, format version V5.
#pragma once

#include <cstdint>

namespace shoal::interchange::arrow {

inline constexpr std::uint32_t kContinuation = 0xFFFFFFFF;  // before each message; older streams have none
inline constexpr char kFileMagic[] = "ARROW1";              // of the file format

namespace message {
enum Field : unsigned { kVersion, kHeaderType, kHeader, kBodyLength };
enum Version : std::int16_t { kV4 = 3, kV5 = 4 };
enum HeaderType : std::uint8_t { kSchema = 1, kDictionaryBatch = 2, kRecordBatch = 3 };
}  // namespace message

namespace schema {
enum Field : unsigned { kEndianness, kFields };
}

namespace field {
enum Field : unsigned { kName, kNullable, kTypeType, kType, kDictionary, kChildren };
}

enum class Type : std::uint8_t {
    kBinary = 4,
    kUtf8 = 5,
    kLargeBinary = 19,
    kLargeUtf8 = 20,
    kBinaryView = 23,
    kUtf8View = 24,
};

namespace record_batch {
enum Field : unsigned { kLength, kNodes, kBuffers, kCompression, kVariadicCounts };
}

namespace compression {
enum Field : unsigned { kCodec, kMethod };
enum Codec : std::uint8_t { kLz4Frame = 0, kZstd = 1 };
}  // namespace compression

struct Node {
    std::int64_t length = 0;
    std::int64_t null_count = 0;
};
struct Buffer {
    std::int64_t offset = 0;  // in the body
    std::int64_t length = 0;  // without padding
};

}  // namespace shoal::interchange::arrow
