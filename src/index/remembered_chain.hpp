// A look-up that a Key handle remembers (shoal/key.hpp), and the count of what was retired, which tells whether its
// chain may be gone.
//
// Thread safety: what is remembered is one thread's; the count is every process's. A crash after a chain was
// unlinked, and before it was counted or retired: its recoverer does both (recovery/finish.hpp).
// Invariants: I1 a chain, or the tree that it is in, is counted after it was unlinked, and before it is retired;
//             I2 what is remembered was found inside an epoch, after the count that is remembered with it was read
//                there. So while a later epoch sees the same count, the chain had not been retired when that epoch
//                was entered, and is not freed before it is left. If it was counted before, its unlinking was seen.
#pragma once

#include <cstdint>

#include "arena/layout.hpp"

namespace shoal {

// The words of a Key.
struct RememberedChain {
    std::uint64_t& chain;        // its offset, 0 while unknown
    std::uint64_t& tree;         // that it was found in
    std::uint64_t& retirements;  // the count then
};

// Inside an epoch: the chain that is remembered, if it may be used and still holds; else what look_up() finds.
template <class LookUp>
[[nodiscard]] inline ArenaOffset find_remembered(const ArenaHeader& header, RememberedChain memory,
                                                 ArenaOffset tree, bool may_be_used, LookUp&& look_up) noexcept {
    // acquire: pairs with count_retirement. Before the look-up: I2
    const std::uint64_t retirements = header.retirements.load(std::memory_order_acquire);
    if (memory.chain != 0 && memory.retirements == retirements && memory.tree == raw(tree) && may_be_used) {
        return static_cast<ArenaOffset>(memory.chain);
    }
    const ArenaOffset chain = look_up();
    memory.chain = raw(chain);
    memory.retirements = retirements;
    memory.tree = raw(tree);
    return chain;
}

// Between the unlinking of a chain or a tree and its retirement (I1).
inline void count_retirement(ArenaHeader& header) noexcept {
    header.retirements.fetch_add(1, std::memory_order_release);  // pairs with find_remembered
}

}  // namespace shoal
