// store.meta: which arena a store has, and where it spills to. Lines of text, so that anybody can read where the
// data lies. A path below the store's directory begins with "./" there, so that the directory can be moved; here
// it is whole. The text says which file it was first, too: a copy of it is another (store/kin.hpp).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <shoal/error.hpp>

#include "arena/store_home.hpp"
#include "arena/store_id.hpp"
#include "store/access.hpp"

namespace shoal {

struct Metadata {
    StoreId id{};
    std::string arena_path;
    std::string spill_folder;  // empty: it does not spill
    MetaIdentity file{};       // of the file that was made with this text; unknown before version 2
};

// By the arena's name, which ends with its 32 digits.
[[nodiscard]] StoreId arena_id_of(const std::string& arena_path) noexcept;

inline constexpr std::string_view kMetadataName = "store.meta";
// Metadata that was set aside: of the store that is being destroyed, and of one that has ended, or of another that
// came in its place (store/leftovers.hpp).
inline constexpr std::string_view kDestroyedPrefix = ".destroyed-";
inline constexpr std::string_view kEndedPrefix = ".ended-";
inline constexpr std::size_t kMetadataMaxBytes = 8192;

// Makes the names durable that lead to the store.meta of the store at `path` (store/sync.cpp).
[[nodiscard]] Result<void> sync_names(const std::string& path);

// The id of a new store at `path`; kSystem where the system has no random number.
[[nodiscard]] Result<StoreId> new_store_id(const std::string& path);
// Whether a store with that id was made at `path`, or at one of the same hash.
[[nodiscard]] bool is_id_for(std::string_view id_digits, const std::string& path);

// Of the store in the directory `path`.
[[nodiscard]] std::string print_metadata(const Metadata& metadata, const std::string& path);
// kDamaged: not a metadata file of ours, or damaged; kIncompatible: of a later version. The message says how, and
// the caller adds which file it is.
[[nodiscard]] Result<Metadata> parse_metadata(std::string_view text, const std::string& path);

// The metadata in the file that is open as `descriptor`. `path` is the file's own: its folder is the store's.
// kDamaged, kIncompatible, kPermission, kSystem.
[[nodiscard]] Result<Metadata> read_metadata(int descriptor, const std::string& path, const Access& access);

// The metadata in the file `name` of the directory open as `directory`; nothing where there is no such file. `path`
// is the file's own. No symbolic link is followed, and no FIFO waited for. kDamaged, kIncompatible,
// kPermission, kSystem.
[[nodiscard]] Result<std::optional<Metadata>> read_metadata_file(int directory, const std::string& name,
                                                                 const std::string& path, const Access& access);

}  // namespace shoal
