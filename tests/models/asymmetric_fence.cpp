// Stands in for src/arena/asymmetric_fence.cpp in models, where both sides are full fences: what the kernel makes
// of a light one.
#include "arena/asymmetric_fence.hpp"

namespace shoal {

bool join_asymmetric_fences() noexcept { return false; }

bool heavy_fence() noexcept {
    thread_fence(std::memory_order_seq_cst);
    return true;
}

}  // namespace shoal
