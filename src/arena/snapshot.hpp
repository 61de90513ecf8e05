// One read of a plain field of the arena, which others may be writing however wrongly: what was checked is what is
// used, as the compiler may not read it again.
#pragma once

#include <type_traits>

namespace shoal {

template <class T>
[[nodiscard]] inline T snapshot(const T& field) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    return __atomic_load_n(&field, __ATOMIC_RELAXED);  // relaxed: order comes from the atomics that lead here
}

}  // namespace shoal
