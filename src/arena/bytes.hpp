// Bytes of the arena, written plainly: by whoever owns them alone, who publishes or gives them back afterwards.
// Models have their own, to see who reads them too early (tests/models).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace shoal {

inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    if (bytes != 0) std::memcpy(to, from, bytes);  // an empty record may have no address
}

inline void zero_bytes(std::byte* at, std::size_t bytes) noexcept { std::memset(at, 0, bytes); }

}  // namespace shoal
