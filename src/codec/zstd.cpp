#include "codec/zstd.hpp"

#include <new>

#include <zstd.h>

namespace shoal {

void ZstdCompressor::Free::operator()(ZSTD_CCtx_s* context) const noexcept { ZSTD_freeCCtx(context); }
void ZstdDecompressor::Free::operator()(ZSTD_DCtx_s* context) const noexcept { ZSTD_freeDCtx(context); }

std::size_t ZstdCompressor::compress(int level, ByteView in, std::span<std::byte> out) {
    if (!context_) context_.reset(ZSTD_createCCtx());
    if (!context_) throw std::bad_alloc();
    const std::size_t written =
        ZSTD_compressCCtx(context_.get(), out.data(), out.size(), in.data(), in.size(), level);
    return ZSTD_isError(written) != 0 ? 0 : written;
}

bool ZstdDecompressor::decompress(ByteView stored, std::span<std::byte> out) {
    if (!context_) context_.reset(ZSTD_createDCtx());
    if (!context_) throw std::bad_alloc();
    const std::size_t filled =
        ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), stored.data(), stored.size());
    return ZSTD_isError(filled) == 0 && filled == out.size();
}

}  // namespace shoal
