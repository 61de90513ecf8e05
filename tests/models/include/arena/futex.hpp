// Stands in for src/arena/futex.hpp in models: no wait ends by its time-out, so that a wake-up that is lost is
// seen.
#pragma once

#include <chrono>
#include <cstdint>

#include "arena/atomic.hpp"

namespace shoal {

inline void futex_wait(const Atomic<std::uint32_t>& word, std::uint32_t seen, std::chrono::milliseconds) noexcept {
    model::sleep({&word, 0}, seen);
}

inline void futex_wake_all(const Atomic<std::uint32_t>& word) noexcept { model::wake_all(&word); }

}  // namespace shoal
