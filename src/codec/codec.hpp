// Bytes to fewer bytes and back. Contexts are kept from call to call, so a thread keeps one of each; neither is
// thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <shoal/bytes.hpp>
#include <shoal/codec.hpp>

namespace shoal {

class Compressor {
public:
    Compressor();
    ~Compressor();
    Compressor(Compressor&&) noexcept;
    Compressor& operator=(Compressor&&) noexcept;

    // Bytes written to `out`; 0: they would not be fewer than `in` by a tenth, or have no room in `out`, whose
    // contents are then undefined. `in` and `out` must not overlap.
    [[nodiscard]] std::size_t compress(const Codec& codec, ByteView in, std::span<std::byte> out);

private:
    struct Contexts;
    std::unique_ptr<Contexts> contexts_;
};

class Decompressor {
public:
    Decompressor();
    ~Decompressor();
    Decompressor(Decompressor&&) noexcept;
    Decompressor& operator=(Decompressor&&) noexcept;

    // Fills `out`, whose size must be that of what was compressed. False: `stored` is damaged, or of another size,
    // and the contents of `out` are undefined. Whatever the bytes of `stored`, nothing is written outside of `out`
    // or read outside of `stored`. They must not overlap.
    [[nodiscard]] bool decompress(CodecId codec, ByteView stored, std::span<std::byte> out);

private:
    struct Contexts;
    std::unique_ptr<Contexts> contexts_;
};

}  // namespace shoal
