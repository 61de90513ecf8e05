// Which boot of the kernel it is. A file on a disk that was made in another boot may hold any mixture of what was
// written to it: nobody synced it, and the pages that the kernel had not written yet are lost.
//
// Thread safety: every function.
#pragma once

#include <array>
#include <cstdint>

namespace shoal {

using BootId = std::array<std::uint8_t, 16>;

// Of this boot, by /proc/sys/kernel/random/boot_id; zeroes where that cannot be read. Cost: a file's read.
[[nodiscard]] BootId this_boot_id() noexcept;

// Whether both are known and differ.
[[nodiscard]] bool is_of_another_boot(const BootId& boot_id) noexcept;

}  // namespace shoal
