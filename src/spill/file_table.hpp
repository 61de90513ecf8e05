// The table of spill files, in the arena: which numbers are in use, who writes to each, and how much of it still
// counts. A file `shoal-<store id>-<number>.spill` lies in the store's spill folder.
//
// Thread safety: all words are atomic. A crash leaves a file that another spiller goes on with, or makes anew where
// it was being made or removed, which shows in `end`: it has not even a header. One between
// counting an extent and naming it leaves a file that counts too much, and so outlives its last extent (until the
// store is destroyed). Invariants: I1 who owns a file is alone in writing to it and in moving its end;
//             I2 nothing that is named lies behind `end`, or is written to again;
//             I3 live_bytes is at least what extents that segments name take up: counted before they are named;
//             I4 kept_until is more than the number of each checkpoint that names an extent of it, and of each sync
//                that may yet give one a name. It only rises: a sync that was stopped, and goes on when others have
//                synced since, cannot take back what they said.
//             I5 a file of which segments name nothing goes when checkpoint kept_until, or a later one, has
//                replaced those before it, and not earlier.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arena/atomic.hpp"
#include "arena/layout.hpp"
#include "arena/location.hpp"
#include "segment/layout.hpp"
#include "spill/layout.hpp"

namespace shoal {

inline constexpr std::uint32_t kSpillFiles = 2048;  // 8 TiB
static_assert(kSpillFiles == kMostFiles, "any place names one of the table");
// An extent that would begin behind goes into another file: its place could not be said (arena/location.hpp).
inline constexpr std::uint64_t kSpillFileBytes = kMostSpillFileBytes;

// SpillFile::owner: nobody has made it; nobody writes to it; else in_hand() of the slot that does, or removes it.
inline constexpr std::uint64_t kNoFile = 0;
inline constexpr std::uint64_t kIdleFile = 2;

struct SpillFile {
    Atomic<std::uint64_t> owner;
    Atomic<std::uint64_t> end;         // bytes; written by the owner, before it writes there; and kAdoptedBit
    Atomic<std::uint64_t> live_bytes;  // of extents that segments name, rounded as their places are, and
                                       // bundled_bytes() of each segment in a bundle
    Atomic<std::uint64_t> kept_until;  // number of the first checkpoint that may not name it; 0: none ever did
};

// In SpillFile::end: an arena before this one made the file, and this one never writes to it (spill/restores.hpp).
inline constexpr std::uint64_t kAdoptedBit = 1ULL << 63;
// Read relaxed: a place in the file was published after it.
[[nodiscard]] inline bool is_adopted(const SpillFile& file) noexcept {
    return (file.end.load(std::memory_order_relaxed) & kAdoptedBit) != 0;
}

using SpillFileTable = std::array<SpillFile, kSpillFiles>;

// The sync of that number names something in the file: I4.
inline void keep_for_checkpoint(SpillFile& file, std::uint64_t number) noexcept {
    std::uint64_t kept = file.kept_until.load(std::memory_order_relaxed);  // relaxed: the exchange decides
    // relaxed: before the segment that names it lets go of it, by the epoch; before the file of a copy is given
    // back; before that checkpoint replaces others. A failed turn: another sync has said the same, or a later
    // number.
    while (kept <= number && !file.kept_until.compare_exchange_weak(kept, number + 1, std::memory_order_relaxed,
                                                                    std::memory_order_relaxed)) {
    }
}

// I5. Owned by the caller, it stays so: nothing comes into the file. In this order: what is live may have been
// marked before it was freed, and what the checkpoint names was marked before it replaced others.
[[nodiscard]] inline bool counts_nothing(const SpillFile& file, const ArenaHeader& header) noexcept {
    const std::uint64_t newest =
        header.checkpoint.load(std::memory_order_acquire);                   // pairs with replace_checkpoint
    if (file.live_bytes.load(std::memory_order_acquire) != 0) return false;  // pairs with release()
    return file.kept_until.load(std::memory_order_acquire) <= newest;        // not before the loads above
}

static_assert(sizeof(SpillFile) == 32 && sizeof(SpillFileTable) == 64 * 1024, "a page of the arena");
static_assert(std::is_standard_layout_v<SpillFile>, "offsets must mean the same in every build");

}  // namespace shoal
