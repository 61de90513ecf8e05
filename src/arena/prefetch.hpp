// Asking for cache lines ahead of their use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal {

inline void prefetch_to_read(const void* address) noexcept { __builtin_prefetch(address, 0); }

// For a line that will be written: owned at once, not shared first and upgraded later.
inline void prefetch_to_write(const void* address) noexcept {
#if defined(__x86_64__)
    // Baseline x86-64 makes of __builtin_prefetch(…, 1) a read; where prefetchw is not known it does nothing.
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
    __builtin_prefetch(address, 1);
#endif
}

// Every line of [address, address + bytes).
inline void prefetch_to_write(const void* address, std::size_t bytes) noexcept {
    constexpr std::uintptr_t kLine = 64;
    const auto first = reinterpret_cast<std::uintptr_t>(address) & ~(kLine - 1);
    const auto end = reinterpret_cast<std::uintptr_t>(address) + bytes;
    for (std::uintptr_t line = first; line < end; line += kLine) {
        prefetch_to_write(reinterpret_cast<const void*>(line));
    }
}

}  // namespace shoal
