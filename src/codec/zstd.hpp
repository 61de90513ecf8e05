// zstd's frames, each written in one go, so that it says how large its content is.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <shoal/bytes.hpp>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace shoal {

class ZstdCompressor {
public:
    // As Compressor::compress, but that `out` is the only bound.
    [[nodiscard]] std::size_t compress(int level, ByteView in, std::span<std::byte> out);

private:
    struct Free {
        void operator()(ZSTD_CCtx_s* context) const noexcept;
    };
    std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

class ZstdDecompressor {
public:
    [[nodiscard]] bool decompress(ByteView stored, std::span<std::byte> out);

private:
    struct Free {
        void operator()(ZSTD_DCtx_s* context) const noexcept;
    };
    std::unique_ptr<ZSTD_DCtx_s, Free> context_;
};

}  // namespace shoal
