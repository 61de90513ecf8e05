// The hash of keys: XXH3, 64 bits, with the arena's seed, so that nobody can prepare keys that collide.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <shoal/bytes.hpp>

namespace shoal {

[[nodiscard]] inline std::uint64_t hash_key(ByteView key, std::uint64_t seed) noexcept {
    return XXH3_64bits_withSeed(key.data(), key.size(), seed);
}

}  // namespace shoal
