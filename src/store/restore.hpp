// A store whose arena is gone, as after a reboot, made anew of its checkpoint: under the same id and name, but for
// a copy, which gets its own (store/kin.hpp).
//
// Thread safety: beside anything. Of several who restore one wins, and the others attach to what it made.
// A crash leaves the store as it was: the arena has no name before it is whole.
#pragma once

#include <optional>

#include "store/arena_lock.hpp"
#include "store/directory.hpp"
#include "store/metadata.hpp"

namespace shoal {

// `outdated`: an arena is there by name, which is on a disk and of another boot; it is removed.
// `directory`: the store's, open; `lock`: on its store.meta, taken over where it succeeds. The arena gets the name
// in `metadata`. Nothing where another has restored or destroyed the store meanwhile: look again. Of `options`
// memory_limit_bytes and reserve_bytes count; 0: as it was. Errors: kArenaGone where there is no checkpoint;
// kInUse, without a message, where a process has an arena of the store open; those of the checkpoint, kDamaged and
// kPermission among them; kMemoryLimit, kNoSpace, kSystem.
[[nodiscard]] Result<std::optional<OpenedArena>> restore_store(int directory, const std::string& path,
                                                               const Metadata& metadata, const Options& options,
                                                               const Access& access, const FillArena& fill,
                                                               ArenaLock& lock, bool outdated);

// The same for a process that only reads, into memory of its own: nothing is locked, written or made, and another
// may restore the store meanwhile. Errors: as above, but for kInUse.
[[nodiscard]] Result<OpenedArena> restore_to_read(const std::string& path, const Metadata& metadata,
                                                  const Options& options, const Access& access,
                                                  const FillArena& fill, bool outdated);

}  // namespace shoal
