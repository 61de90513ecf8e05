// Sleeping on a word of the arena until another process wakes us.
//
// Thread safety: any. A crash of a sleeper leaves nothing; of a waker, a sleeper that goes on at its time-out.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <limits>

#include "arena/atomic.hpp"

namespace shoal {

// Returns when the word is no longer `seen`, when somebody wakes it, after `most`, or for no reason.
inline void futex_wait(const Atomic<std::uint32_t>& word, std::uint32_t seen,
                       std::chrono::milliseconds most) noexcept {
    const timespec timeout{most.count() / 1000, most.count() % 1000 * 1'000'000};
    ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &timeout, nullptr, 0);
}

inline void futex_wake_all(const Atomic<std::uint32_t>& word) noexcept {
    ::syscall(SYS_futex, &word, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

}  // namespace shoal
