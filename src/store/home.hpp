// What an arena says of its store's place (arena/store_home.hpp), and what a process sees of such a place.
//
// Thread safety: every function, beside anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "arena/store_home.hpp"

namespace shoal {

// Of the file that is open as `descriptor`; unknown where it is not open.
[[nodiscard]] MetaIdentity identity_of(int descriptor) noexcept;
// Of `path`/store.meta; unknown where there is none, or no regular file.
[[nodiscard]] MetaIdentity identity_at(const std::string& path);

// Of this process; 0 where it cannot be told. Two at one time differ, and so do two of one boot from Linux 6.12 on.
[[nodiscard]] std::uint64_t this_mount_namespace() noexcept;
// Of the file system of `path`, or of the nearest folder above it that is there; 0 where it cannot be told.
[[nodiscard]] std::uint64_t device_of(const std::string& path);

// The home of a store at `path` as this process sees it.
[[nodiscard]] StoreHome home_at(const std::string& path, const MetaIdentity& meta);

// Of the arena that is open as `arena`. Nothing where it is damaged.
[[nodiscard]] std::optional<StoreHome> read_home(int arena) noexcept;
// 0 or an errno.
[[nodiscard]] int write_home(int arena, StoreHome home) noexcept;
[[nodiscard]] std::string path_of(const StoreHome& home);

}  // namespace shoal
