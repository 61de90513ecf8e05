// The journal of blocks that a slot's thread has taken and not linked yet: written before the step that could lose
// them, so that a death leaks the one block whose bit was just taken and no more (recovery/finish.hpp).
//
// Thread safety: for the slot's owner, or whoever recovers it.
// A crash leaves an entry whose blocks are linked, or not: recovery looks, and frees those that are not.
#pragma once

#include <cstddef>

#include "arena/layout.hpp"

namespace shoal {

// Block `block`, the `at`th of what is to follow or replace `target`.
inline void remember_made(Slot& slot, MadeKind kind, ArenaOffset target, std::size_t at,
                          ArenaOffset block) noexcept {
    // relaxed: published by the next; the other entries of another kind are all 0
    slot.made_for.store(raw(target) | static_cast<std::uint64_t>(kind), std::memory_order_relaxed);
    slot.made[at].store(raw(block), std::memory_order_release);  // pairs with the acquire in undo_making
}

// It is linked, or about to be given back. release: pairs with the acquire in undo_making
inline void forget_made(Slot& slot, std::size_t at) noexcept { slot.made[at].store(0, std::memory_order_release); }
inline void forget_made_chain(Slot& slot) noexcept { slot.made_chain.store(0, std::memory_order_release); }

}  // namespace shoal
