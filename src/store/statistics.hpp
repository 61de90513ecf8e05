// What Store::stats adds up, for a store that is used and for one that is only read.
//
// Thread safety: every function. A crash leaves nothing.
#pragma once

#include <cstdint>

#include <shoal/options.hpp>

#include "chain/chain.hpp"
#include "spill/files.hpp"

namespace shoal {

// Adds a chain that is not erased. Inside an epoch, or in a glance. `room`: units of 8 B that all chains together
// may take, and what is left of them. False: the arena is damaged.
[[nodiscard]] bool count_chain(const Mapping& mapping, const Chain& chain, const WrittenSegments& written,
                               std::uint64_t& room, Stats& stats) noexcept;

// Adds what there is in files, and when the store was synced.
void count_files(const Mapping& mapping, SpillFiles& files, Stats& stats);

}  // namespace shoal
