// Where a new arena goes, and how large it is.
#pragma once

#include <cstdint>
#include <string>

#include <shoal/error.hpp>
#include <shoal/options.hpp>

namespace shoal {

struct ArenaPlace {
    std::string dir;
    std::string note;         // why not a tmpfs, else empty
    std::uint64_t bytes = 0;  // of the arena, a multiple of kPieceBytes
};

// options.arena_dir if given, else the first tmpfs with room, else `store_dir` where that is on a tmpfs, or the
// store is temporary. kNoSpace: none of these.
[[nodiscard]] Result<ArenaPlace> choose_place(const Options& options, const std::string& store_dir);

// options.spill_dir as the kernel finds it, symbolic links resolved; empty where it is. kInvalidArgument: there is
// no such folder, or its name does not do; kPermission: nothing can be made there, which is tried.
[[nodiscard]] Result<std::string> spill_folder_of(const Options& options);

// The limit asked for; or half of `free_bytes`, of the machine's memory, or of what the process's control groups
// may still take, whichever is least; rounded to pieces.
[[nodiscard]] Result<std::uint64_t> arena_bytes_for(const Options& options, std::uint64_t free_bytes);

// What to do about a file system that is full, in words.
[[nodiscard]] std::string advice_for_space(const std::string& dir);

}  // namespace shoal
