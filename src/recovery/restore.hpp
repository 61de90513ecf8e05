// Fills a new arena with what a checkpoint names: the chains and their segments, whose bytes stay in the spill
// files until they are asked for.
//
// Thread safety: none; nobody else has the arena yet. A crash leaves nothing, since the arena has no name.
#pragma once

#include "index/index.hpp"
#include "spill/checkpoint_reader.hpp"
#include "spill/files.hpp"

namespace shoal {

// `tree` is the arena's first, and empty. Errors: those of the checkpoint; kIncompatible for a
// spill file of a later version; kMemoryLimit and kNoSpace where the
// arena is too small for so many keys, and says how many.
[[nodiscard]] Result<void> restore(const ChainContext& context, Slots& slots, Index& index, Epochs& epochs,
                                   SpillFiles& files, ArenaOffset tree, CheckpointReader& checkpoint);

}  // namespace shoal
