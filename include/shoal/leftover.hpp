// What processes that were killed have left behind, as Store::collect finds it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shoal {

struct CollectOptions {
    // Folders to look into, beside /dev/shm and $XDG_RUNTIME_DIR; not their subfolders.
    std::vector<std::string> dirs;
    bool only_dirs = false;  // not into those two

    // Only looks: `removed` then says what would be.
    bool dry_run = false;

    // Looks at temporary stores alone: of one that no process has open nothing is kept, so that with a min_age_s of
    // 0 this never takes data.
    bool only_temporary = false;

    // Seconds for which an arena must have been unused: since a process last opened or closed the store, or took
    // new memory. Raising it keeps what killed processes have left for longer.
    std::uint64_t min_age_s = 24 * 60 * 60;

    // Takes also what may be the only memory of a store that lives where this process cannot see it: what is
    // younger than min_age_s, was synced, was last open in another mount namespace (a container), or has its
    // directory on a file system that is not mounted here now. Never what a process has open.
    bool force = false;
};

// An arena that no store has any more, or that may be one.
struct Leftover {
    std::string arena_path;
    std::string store_path;    // the store it was made for; empty where it was not whole yet
    std::string why;           // it is taken for garbage; or why it is left all the same
    bool removed = false;      // or would be, in a dry run
    bool needs_force = false;  // left, and CollectOptions::force would take it; or taken, by that
    std::uint64_t bytes = 0;   // that it takes in its file system
    int system_errno = 0;      // of a removal that failed
};

}  // namespace shoal
