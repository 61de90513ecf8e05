// Locks on single bytes of a file, by open-file-description: the kernel drops them when the last reference to the
// description goes, hence at any death. Those that this process takes are on a LockDescription
// (arena/lock_description.hpp). Models have their own (tests/models).
//
// Thread safety: every function. Never blocks, but for wait_for_byte. A lock taken after another's unlock or death
// comes after all that the other did.
#pragma once

#include <cstdint>

namespace shoal {

// 0, EAGAIN or EACCES when another description holds it, or another errno. Who holds it gets it again.
[[nodiscard]] int try_lock_byte(int descriptor, std::uint64_t offset) noexcept;
// An unlock that fails is a lock that others wait for in vain: asserts, but for a descriptor that is not open,
// whose locks have ended with it.
void unlock_byte(int descriptor, std::uint64_t offset) noexcept;
void unlock_all(int descriptor) noexcept;  // of the description's locks; as unlock_byte

// The same, but several may hold it together, and nobody alone.
[[nodiscard]] int try_share_byte(int descriptor, std::uint64_t offset) noexcept;

// Waits until nobody else holds it; true when that came, without a lock on it.
[[nodiscard]] bool wait_for_byte(int descriptor, std::uint64_t offset) noexcept;

// Whether another description has a lock on some byte of [offset, offset + bytes); true also when that cannot be
// told.
[[nodiscard]] bool is_locked(int descriptor, std::uint64_t offset, std::uint64_t bytes) noexcept;

// What of [offset, offset + bytes) another description has locked: some such range, not always the first; all of it
// where that cannot be told. Empty where nothing is.
struct LockedBytes {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};
[[nodiscard]] LockedBytes locked_bytes(int descriptor, std::uint64_t offset, std::uint64_t bytes) noexcept;

}  // namespace shoal
