#include "codec/lz4.hpp"

#include <algorithm>
#include <new>

#include <lz4.h>

namespace shoal {

void Lz4Compressor::Free::operator()(LZ4_stream_u* stream) const noexcept { LZ4_freeStream(stream); }

std::size_t Lz4Compressor::compress(ByteView in, std::span<std::byte> out) {
    if (in.size() > LZ4_MAX_INPUT_SIZE) return 0;
    if (!stream_) stream_.reset(LZ4_createStream());
    if (!stream_) throw std::bad_alloc();
    const int written = LZ4_compress_fast_extState(
        stream_.get(), reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(out.data()),
        static_cast<int>(in.size()), static_cast<int>(std::min<std::size_t>(out.size(), LZ4_MAX_INPUT_SIZE)), 1);
    return written > 0 ? static_cast<std::size_t>(written) : 0;
}

bool lz4_decompress(ByteView stored, std::span<std::byte> out) noexcept {
    if (stored.size() > LZ4_MAX_INPUT_SIZE || out.size() > LZ4_MAX_INPUT_SIZE) return false;
    const int filled =
        LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(out.data()),
                            static_cast<int>(stored.size()), static_cast<int>(out.size()));
    return filled >= 0 && static_cast<std::size_t>(filled) == out.size();
}

}  // namespace shoal
