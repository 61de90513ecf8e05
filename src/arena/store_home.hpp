// Where the store of an arena is: what a process knows of the store that has found the arena alone, as gc does, or
// that has a store.meta which may be a copy.
//
// Thread safety: none of its own. It is written as a whole, by one pwrite(2) into the arena's first page, by the
// creator and by each process that attaches at another place than the last one; and read by one pread(2), never
// through the mapping. A crash leaves one or the other: no signal ends a write inside of a page. A read beside a
// write may be torn, which `sum` shows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace shoal {

inline constexpr std::size_t kStorePathBytes = 1024;

// Which file a store.meta is: a copy has another inode, or was born at another time. Both stay through renames,
// bind mounts and remounts. A device number does not, and says nothing here.
struct MetaIdentity {
    std::uint64_t inode = 0;    // 0: none
    std::uint64_t born_ns = 0;  // since 1970; 0 where the file system does not say

    [[nodiscard]] bool operator==(const MetaIdentity&) const = default;
    [[nodiscard]] bool is_known() const noexcept { return inode != 0; }
};

struct StoreHome {
    std::uint64_t sum = 0;              // XXH3-64 of all that follows
    MetaIdentity meta;                  // of the store.meta whose arena this is; unknown before there was one
    std::uint64_t mount_namespace = 0;  // in which `path` means something; 0 where unknown
    std::uint64_t device = 0;           // of the store's directory: number and id of its file system, hashed
    std::array<char, kStorePathBytes> path{};  // of the store's directory, NUL-terminated; empty in memory
};

static_assert(sizeof(StoreHome) == 1064 && offsetof(StoreHome, path) == 40, "part of the format: src/FORMAT.md");
static_assert(std::is_trivially_copyable_v<StoreHome>, "read and written as bytes");

}  // namespace shoal
