// Which arena is that of a store.meta: a folder may have been copied with its store.meta, or moved.
//
// An arena says which file the store.meta is whose arena it is (StoreHome::meta), by inode and time of birth. A
// rename, a bind mount and a remount change neither; a copy has others. Arenas whose store.metas are copies of each
// other are *kin*: they have one store_id, which the names of spill files bear too, and the first half of the
// arena's name; each has an arena_id of its own.
//
// What becomes of a store.meta, by the first of these that is so:
//   - The arena of this very file is there: the process attaches to it.
//   - There is kin whose own store.meta is gone, and whose files are all here: it is taken over. The folder was
//     moved to another file system.
//   - There is other kin: kCopied. This is a copy of a store that lives.
//   - There is none: the store is restored, by the file that was made with the text under the id in it, by a
//     copy under one of its own.
//
// A copy that was restored once is a store of its own, whatever lives beside it: the text that names its newest
// restore says so (spill/restores.hpp). Store::recover makes a copy such a store also beside living kin.
//
// A spill folder outside of the store's own is not copied with it: copies share it, and so only the file that was
// made with the text, or that restored it last, is restored from it; another must say so (Store::recover), and
// takes it over.
//
// Taking over: the process has announced its presence in the arena, and sees that of no other; it writes its
// store.meta into the home, and looks again. A process whose file the home names announces its presence first and
// then reads the home. So of two processes with different store.metas one at least sees the other, and gives up.
//
// Thread safety: every function, beside anything. A crash leaves the home as it was, or written: then the files are
// complete where it leads.
// Invariants: I1 processes that have one arena open have the same file as their store.meta.
#pragma once

#include <optional>
#include <string>

#include <shoal/error.hpp>

#include "arena/lock_description.hpp"
#include "store/access.hpp"
#include "store/arena_lock.hpp"
#include "store/metadata.hpp"

namespace shoal {

enum class Kinship {
    kOwn,      // the arena at arena_path is the file's, or there is something that says why it cannot be told
    kOrphan,   // it is to be taken over
    kMissing,  // there is none: it is restored at arena_path
};

struct OwnArena {
    Kinship kinship;
    std::string arena_path;
};

// Of the store.meta that `lock` is on and that says `metadata`, in the directory `path`. `as_own`: a copy becomes a
// store of its own though its original lives. kCopied.
[[nodiscard]] Result<OwnArena> find_own_arena(const Metadata& metadata, const std::string& path,
                                              const ArenaLock& lock, const Access& access, bool as_own);

// The process has announced its presence by `locks`, and joined by `lock`. True: the arena is the file's, and its
// home is where the process has found it; false: another's, or taken over by another meanwhile: look again.
[[nodiscard]] bool is_at_home(const LockDescription& locks, const std::string& path, const ArenaLock& lock,
                              Kinship kinship);

// The same for a process that only reads, and writes no home. An orphan is read where it is: processes that open
// the same store.meta share it with this one, and those of another cannot take it over before this one has left it.
[[nodiscard]] bool is_at_home_to_read(const LockDescription& locks, const ArenaLock& lock, Kinship kinship);

// The arena of a store.meta that was set aside under the name `aside` in `directory`; the text's, where none says
// so. Nothing where the text names another's.
[[nodiscard]] std::optional<std::string> arena_of_aside(int directory, const std::string& aside,
                                                        const Metadata& metadata);

[[nodiscard]] std::string folder_of(const std::string& file);

}  // namespace shoal
