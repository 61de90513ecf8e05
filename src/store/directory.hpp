// A store's directory and where its arena lies: made, found, removed.
//
//   PATH/store.meta     text: format, id, the arena's path, a checksum; says to people too where the data is
//   ARENA_DIR/shoal-ID  the arena
//   SPILL_DIR/shoal-ID-….spill  what it has spilled (spill/files.hpp)
//
// The arena is built without a name (O_TMPFILE), named when it is whole, and becomes the store's by a link of
// store.meta, which fails for all creators but one. Destroying begins with store.meta too.
//
// A store's directory is opened once, without following a link in the last step, and names are looked up in what
// was opened: whoever swaps a name meanwhile makes us fail, not write elsewhere.
//
// Thread safety: every function, against every other in any process.
// A crash leaves, between the two links, an arena that no store.meta names; its header bears the store's path.
#pragma once

#include <functional>
#include <string>

#include <shoal/error.hpp>
#include <shoal/options.hpp>

#include "store/arena_file.hpp"
#include "store/arena_lock.hpp"

namespace shoal {

struct OpenedArena {
    Mapping mapping;
    std::string path;  // the store's directory, absolute; empty in memory
    std::string arena_path;
    std::string note;               // Stats::arena_note
    bool restored = false;          // made anew of a checkpoint, just now
    ArenaLock lock{};               // joined; none in memory
    std::string checkpoint_path{};  // of an arena of this process's own: the checkpoint that it was made of
};

// Of `options` those that attach and destroy look at are group and any_owner (store/access.hpp), and attach at
// read_only: then nothing is written or made, and the mapping is for reading alone, or of an arena of this
// process's own.
[[nodiscard]] Result<OpenedArena> open_or_create(const std::string& path, const Options& options,
                                                 const FillArena& fill);
[[nodiscard]] Result<OpenedArena> attach_existing(const std::string& path, const Options& options = {});
// The same, and where the arena is gone and the store was synced, it is made anew (store/restore.hpp). `as_own`: a
// copy of a store that lives becomes a store of its own (store/kin.hpp).
[[nodiscard]] Result<OpenedArena> attach_or_restore(const std::string& path, const Options& options,
                                                    const FillArena& fill, bool as_own = false);
// Creates a store, and fills it before store.meta names it: `fill_store` gets the arena, opened once more, and has
// let it go when it returns. What was filled into spill files is durable by then, and so is the store's name in the
// end. Fails with kInvalidArgument and EEXIST where a store is there. A failure leaves nothing behind, and a crash
// an arena that no store.meta names.
using FillStore = std::function<Result<void>(OpenedArena&& arena)>;
[[nodiscard]] Result<OpenedArena> create_filled(const std::string& path, const Options& options,
                                                const FillArena& fill, const FillStore& fill_store);
[[nodiscard]] Result<OpenedArena> create_in_memory(const Options& options, const FillArena& fill);
[[nodiscard]] Result<void> destroy_store(const std::string& path, const Options& options = {});

}  // namespace shoal
