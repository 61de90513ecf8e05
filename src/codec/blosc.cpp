#include "codec/blosc.hpp"

#include <blosc.h>

namespace shoal {

static_assert(BLOSC_NOSHUFFLE == static_cast<int>(Shuffle::kNone) &&
              BLOSC_SHUFFLE == static_cast<int>(Shuffle::kByte) &&
              BLOSC_BITSHUFFLE == static_cast<int>(Shuffle::kBit));
static_assert(BLOSC_BLOSCLZ == static_cast<int>(BloscInner::kBloscLz) &&
              BLOSC_LZ4 == static_cast<int>(BloscInner::kLz4) &&
              BLOSC_LZ4HC == static_cast<int>(BloscInner::kLz4Hc) &&
              BLOSC_ZLIB == static_cast<int>(BloscInner::kZlib) &&
              BLOSC_ZSTD == static_cast<int>(BloscInner::kZstd));

std::size_t compress_by_blosc(const Codec& codec, ByteView in, std::span<std::byte> out) noexcept {
    const char* inner = nullptr;
    if (in.size() > BLOSC_MAX_BUFFERSIZE || blosc_compcode_to_compname(static_cast<int>(codec.inner), &inner) < 0) {
        return 0;
    }
    const int written = blosc_compress_ctx(codec.level, static_cast<int>(codec.shuffle), codec.type_size, in.size(),
                                           in.data(), out.data(), out.size(), inner, 0, 1);
    return written > 0 ? static_cast<std::size_t>(written) : 0;
}

bool decompress_by_blosc(ByteView stored, std::span<std::byte> out) noexcept {
    // Decompression takes the sizes from blosc's own header, and is told no size of `stored`.
    std::size_t filled_bytes = 0;
    if (stored.size() < BLOSC_MIN_HEADER_LENGTH || stored.size() > BLOSC_MAX_BUFFERSIZE ||
        blosc_cbuffer_validate(stored.data(), stored.size(), &filled_bytes) != 0 || filled_bytes != out.size()) {
        return false;
    }
    const int filled = blosc_decompress_ctx(stored.data(), out.data(), out.size(), 1);
    return filled > 0 && static_cast<std::size_t>(filled) == out.size();
}

}  // namespace shoal
