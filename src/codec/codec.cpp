#include "codec/codec.hpp"

#include <algorithm>
#include <cstring>

#include "codec/blosc.hpp"
#include "codec/lz4.hpp"
#include "codec/zstd.hpp"

namespace shoal {

struct Compressor::Contexts {
    Lz4Compressor lz4;
    ZstdCompressor zstd;
};

struct Decompressor::Contexts {
    ZstdDecompressor zstd;
};

Compressor::Compressor() : contexts_(std::make_unique<Contexts>()) {}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

std::size_t Compressor::compress(const Codec& codec, ByteView in, std::span<std::byte> out) {
    // Codecs give up once they are out of room, so bytes that gain too little cost least.
    out = out.first(std::min(out.size(), in.size() / 10 * 9 + in.size() % 10 * 9 / 10));
    if (out.empty()) return 0;
    switch (codec.id) {
        case CodecId::kNone:
            break;
        case CodecId::kLz4:
            return contexts_->lz4.compress(in, out);
        case CodecId::kZstd:
            return contexts_->zstd.compress(codec.level, in, out);
        case CodecId::kBlosc:
            return compress_by_blosc(codec, in, out);
    }
    return 0;
}

Decompressor::Decompressor() : contexts_(std::make_unique<Contexts>()) {}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

bool Decompressor::decompress(CodecId codec, ByteView stored, std::span<std::byte> out) {
    if (codec == CodecId::kNone) {
        if (stored.size() != out.size()) return false;
        if (!out.empty()) std::memcpy(out.data(), stored.data(), out.size());
        return true;
    }
    if (out.empty() || stored.empty()) return false;  // nothing is never compressed
    switch (codec) {
        case CodecId::kNone:
            break;
        case CodecId::kLz4:
            return lz4_decompress(stored, out);
        case CodecId::kZstd:
            return contexts_->zstd.decompress(stored, out);
        case CodecId::kBlosc:
            return decompress_by_blosc(stored, out);
    }
    return false;
}

}  // namespace shoal
