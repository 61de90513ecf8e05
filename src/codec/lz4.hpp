// lz4's block format, without a frame: both sizes are known to whoever stored it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <shoal/bytes.hpp>

union LZ4_stream_u;

namespace shoal {

class Lz4Compressor {
public:
    // As Compressor::compress, but that `out` is the only bound.
    [[nodiscard]] std::size_t compress(ByteView in, std::span<std::byte> out);

private:
    struct Free {
        void operator()(LZ4_stream_u* stream) const noexcept;
    };
    std::unique_ptr<LZ4_stream_u, Free> stream_;
};

[[nodiscard]] bool lz4_decompress(ByteView stored, std::span<std::byte> out) noexcept;

}  // namespace shoal
