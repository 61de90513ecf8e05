// The arena as a file: opened with care, and built.
//
// Thread safety: every function. A crash while building leaves a file without a name, which the kernel frees.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <shoal/error.hpp>
#include <shoal/options.hpp>

#include "arena/descriptor.hpp"
#include "arena/mapping.hpp"
#include "store/access.hpp"
#include "store/metadata.hpp"

namespace shoal {

class CheckpointReader;

// How a new arena's contents come to be: called with its tables real and zeroed, before it has a name. Empty, or as
// the checkpoint says, if there is one. `store_path`: the store's directory; empty in memory.
using FillArena = std::function<Result<void>(Mapping& mapping, const Options& options,
                                             const std::string& store_path, CheckpointReader* checkpoint)>;

struct ArenaFile {
    Descriptor descriptor;
    std::uint64_t bytes = 0;
    bool temporary = false;  // Options::temporary
    bool outdated = false;   // on a disk, and of another boot: it may hold any part of what was written to it
};

// The arena that `metadata`, of the store at `path`, names: a regular file of an owner that `access` takes, with a
// header that can be mapped and is of this build. Nothing is mapped yet. kArenaGone, kPermission, kDamaged,
// kIncompatible, kSystem.
[[nodiscard]] Result<ArenaFile> open_arena_file(const std::string& path, const Metadata& metadata,
                                                const Access& access,
                                                Mapping::For use = Mapping::For::kReadingAndWriting);

// Whether files outlive the kernel where that one is; also where that cannot be told.
[[nodiscard]] bool is_on_disk(int file) noexcept;

[[nodiscard]] Error arena_gone(const std::string& path, const std::string& arena_path);
[[nodiscard]] Error no_locks(const std::string& arena, int cause);  // LockDescription's
[[nodiscard]] Error is_on_read_only_mount(const std::string& path, const std::string& arena_path);
[[nodiscard]] Error is_outdated(const std::string& path, const std::string& arena_path);
// `outdated`: as ArenaFile's.
[[nodiscard]] Error never_synced(const std::string& path, const std::string& arena_path, bool outdated);
[[nodiscard]] Error arena_outdated(const std::string& path, const std::string& arena_path);

struct ArenaPlans {
    std::string name;     // in messages
    std::string where;    // the folder, in messages
    std::uint64_t bytes;  // a multiple of kPieceBytes
    StoreId id;
    StoreId arena_id;
    std::string store_path;   // empty in memory
    std::string hidden_path;  // of a file that has a name already (store/nameless_file.hpp)
    MetaIdentity meta{};      // of its store.meta, where there is one
    std::uint64_t restore = 0;
};

// Makes an arena of the empty file, mapped whole.
[[nodiscard]] Result<Mapping> build_arena(int descriptor, const ArenaPlans& plans, const Options& options,
                                          const FillArena& fill, CheckpointReader* checkpoint = nullptr);

// Tells everybody who has the arena open that the store is destroyed. 0 or an errno.
[[nodiscard]] int announce_destruction(int descriptor) noexcept;

}  // namespace shoal
