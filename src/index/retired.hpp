// What becomes of each kind of retired object (arena/epoch.hpp): where it has its link, and the two halves of
// freeing it. A tree is emptied first, key by key, which a crash may break off; the object itself goes last.
#pragma once

#include "arena/blocks.hpp"
#include "arena/epoch.hpp"
#include "arena/mapping.hpp"
#include "index/index.hpp"

namespace shoal {

[[nodiscard]] Atomic<std::uint64_t>& retired_link(const Mapping& mapping, RetiredKind kind,
                                                  ArenaOffset object) noexcept;

void empty_retired(const Mapping& mapping, Blocks& blocks, Index& index, RetiredKind kind, ArenaOffset object,
                   Slot& slot) noexcept;
void free_retired(const Mapping& mapping, Blocks& blocks, Index& index, RetiredKind kind, ArenaOffset object,
                  Slot& slot) noexcept;

}  // namespace shoal
