// The table of spill files, in the arena: which numbers are in use, who writes to each, and how much of it still
// counts. A file `shoal-<store id>-<number>.spill` lies in the store's spill folder.
//
// Thread safety: all words are atomic. A crash leaves a file that another spiller goes on with, or makes anew where
// it was being made or removed, which shows in `end`: it has not even a header. One between
// counting an extent and naming it leaves a file that counts too much, and so outlives its last extent (until the
// store is destroyed). Invariants: I1 who owns a file is alone in writing to it and in moving its end;
//             I2 nothing that is named lies behind `end`, or is written to again;
//             I3 live_bytes is at least what extents that segments name take up: counted before they are named;
//             I4 checkpointed_bytes is not 0 while a checkpoint, or the one that is being made, names an extent.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arena/atomic.hpp"
#include "arena/location.hpp"
#include "segment/layout.hpp"
#include "spill/layout.hpp"

namespace shoal {

inline constexpr std::uint32_t kSpillFiles = 2048;  // 8 TiB
// An extent that would begin behind goes into another file: its place could not be said (arena/location.hpp).
inline constexpr std::uint64_t kSpillFileBytes = kMostSpillFileBytes;

// SpillFile::owner: nobody has made it; nobody writes to it; else in_hand() of the slot that does, or removes it.
inline constexpr std::uint64_t kNoFile = 0;
inline constexpr std::uint64_t kIdleFile = 2;

struct SpillFile {
    Atomic<std::uint64_t> owner;
    Atomic<std::uint64_t> end;                 // bytes; written by the owner, before it writes there
    Atomic<std::uint64_t> live_bytes;          // of extents that segments name, rounded as their places are
    Atomic<std::uint64_t> checkpointed_bytes;  // of those that a checkpoint names, or more; by whoever syncs
};

using SpillFileTable = std::array<SpillFile, kSpillFiles>;

static_assert(sizeof(SpillFile) == 32 && sizeof(SpillFileTable) == 64 * 1024, "a page of the arena");
static_assert(std::is_standard_layout_v<SpillFile>, "offsets must mean the same in every build");

}  // namespace shoal
