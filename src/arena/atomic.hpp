// The atomics policy: every atomic of a protocol is an Atomic<T> and every fence a thread_fence, so that a model
// checker can take their place (tests/models).
//
// Memory orders are spelled std::memory_order_* at each operation. The arena is mapped memory: an Atomic must be
// lock-free in every process, hence address-free, which the assert below pins.
#pragma once

#include <atomic>
#include <cstdint>

// For functions that read what others may be writing plainly, and say why that does no harm: ThreadSanitizer looks
// away.
#if defined(__SANITIZE_THREAD__)
#define SHOAL_RACES_ON_PURPOSE __attribute__((no_sanitize("thread")))
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHOAL_RACES_ON_PURPOSE __attribute__((no_sanitize("thread")))
#endif
#endif
#ifndef SHOAL_RACES_ON_PURPOSE
#define SHOAL_RACES_ON_PURPOSE
#endif

namespace shoal {

template <class T>
using Atomic = std::atomic<T>;

inline void thread_fence(std::memory_order order) noexcept { std::atomic_thread_fence(order); }

// A word inside a block of bytes (frame headers, bitmaps): the arena's memory seen as an atomic.
using AtomicWord = Atomic<std::uint64_t>;

static_assert(AtomicWord::is_always_lock_free && sizeof(AtomicWord) == 8,
              "a lock inside std::atomic would be private to one process");
static_assert(Atomic<std::uint32_t>::is_always_lock_free && sizeof(Atomic<std::uint32_t>) == 4,
              "a lock inside std::atomic would be private to one process");

}  // namespace shoal
