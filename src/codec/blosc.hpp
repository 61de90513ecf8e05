// c-blosc 1: items of a type size, shuffled, then compressed in blocks by another codec. Only the calls with a
// context of their own are used: the others share a lock and a pool of threads with everybody in the process.
#pragma once

#include <cstddef>
#include <span>

#include <shoal/bytes.hpp>
#include <shoal/codec.hpp>

namespace shoal {

// As Compressor::compress, but that `out` is the only bound. 0 too where this build of blosc lacks the inner codec.
[[nodiscard]] std::size_t compress_by_blosc(const Codec& codec, ByteView in, std::span<std::byte> out) noexcept;

[[nodiscard]] bool decompress_by_blosc(ByteView stored, std::span<std::byte> out) noexcept;

}  // namespace shoal
