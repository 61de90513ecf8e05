// What creators and destroyers that were killed half-way have left, and who takes it away: the next creator or
// destroyer of the same store.
//
// Thread safety: beside anything. An arena is removed only when it says that it is of this path, the path's
// metadata does not name it, and nobody holds its creation lock: a creator holds that from before the arena has a
// name until the metadata is published.
#pragma once

#include <string>

#include "arena/mapping.hpp"

namespace shoal {

// Locks the byte that says "being created"; released with the descriptor, or by finish_creation. 0 or an errno.
[[nodiscard]] int begin_creation(int descriptor) noexcept;
void finish_creation(int descriptor) noexcept;

// `path`: the store's directory, absolute; `arena_dir`: where its arenas lie.
void sweep_leftovers(const std::string& path, const std::string& arena_dir);

}  // namespace shoal
