// Asymmetric fences: two threads that each store and then load what the other stored need a full fence each; here
// the one that does so often has a light one, which only the compiler sees, and the one that does so seldom has a
// heavy one, by which the kernel makes every running thread that takes part pass a full fence, in all processes
// (membarrier(2); Dice, Huang and Yang, "Asymmetric Dekker synchronization", 2001).
//
// Thread safety: every function. A crash leaves nothing.
#pragma once

#include "arena/atomic.hpp"

namespace shoal {

// Makes this process take part, its children not (nor what it executes). False where the kernel or a sandbox
// refuses: then its light fences must be full ones.
[[nodiscard]] bool join_asymmetric_fences() noexcept;

inline void light_fence(bool joined) noexcept {
    if (joined) [[likely]] {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
        thread_fence(std::memory_order_seq_cst);
    }
}

// False where the kernel refuses: it was a full fence of this thread alone.
[[nodiscard]] bool heavy_fence() noexcept;

}  // namespace shoal
