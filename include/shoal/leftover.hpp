// What processes that were killed have left behind, as Store::collect finds it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shoal {

struct CollectOptions {
    // Folders to look into, beside /dev/shm and $XDG_RUNTIME_DIR; not their subfolders.
    std::vector<std::string> dirs;

    // Only looks: `removed` then says what would be.
    bool dry_run = false;
};

// An arena that no store has any more, or that may be one.
struct Leftover {
    std::string arena_path;
    std::string store_path;   // the store it was made for; empty where it was not whole yet
    std::string why;          // it is taken for garbage; or why it is left all the same
    bool removed = false;     // or would be, in a dry run
    std::uint64_t bytes = 0;  // that it takes in its file system
    int system_errno = 0;     // of a removal that failed
};

}  // namespace shoal
