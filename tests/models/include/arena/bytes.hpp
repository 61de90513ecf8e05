// Stands in for src/arena/bytes.hpp in models: each word is stored relaxed, so that who reads without having waited
// for the release sees an older one.
#pragma once

#include <cstring>

#include "arena/atomic.hpp"

namespace shoal {

inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    for (std::size_t at = 0; at < bytes; at += sizeof(AtomicWord)) {
        std::uint64_t word = 0;
        std::memcpy(&word, from + at, bytes - at < sizeof word ? bytes - at : sizeof word);
        reinterpret_cast<AtomicWord*>(to + at)->store(word, std::memory_order_relaxed);
    }
}

inline void zero_bytes(std::byte* at, std::size_t bytes) noexcept {
    model::zero_words(at, bytes);
    std::memset(static_cast<void*>(at), 0, bytes);
}

}  // namespace shoal
