// Who is attached to an arena, who is making it, and who removes it: locks on bytes of its header, which the
// kernel drops at any death (arena/byte_lock.hpp). The bytes themselves mean nothing.
//
//   creation byte   held by a creator from before the arena has a name until store.meta names it
//   presence byte   shared by everybody who has the arena open; held alone by whoever removes or repairs it
//   repair byte     held by a repair, so that those whom it keeps out know to wait
//   hidden byte     held by a creator while its file has a name that nobody looks for (store/nameless_file.hpp)
//   slot bytes      each held by the owner of the slot of that number (arena/slots.hpp)
//
// Slot bytes lie side by side, though slots do not: the kernel joins the locks that a process has on neighbours,
// and all that it does with a lock takes time by the number of such joined locks in the file.
//
// Thread safety: every function; async-signal-safe; only announce_presence_or_wait blocks. A lock
// belongs to the LockDescription, so two of one process stand beside each other like two processes.
// Invariants: I1 who holds the presence byte alone, and sees that the file still has its name, may remove it:
// nobody
//                has it open, and who opens it now is refused until it is gone;
//             I2 who holds it alone without the repair byte is there to remove it.
#pragma once

#include <cstdint>

#include "arena/byte_lock.hpp"
#include "arena/layout.hpp"
#include "arena/lock_description.hpp"

namespace shoal {

inline constexpr std::uint64_t kCreationByte = 0;  // no slot's byte lies in the header
inline constexpr std::uint64_t kPresenceByte = 1;
inline constexpr std::uint64_t kRepairByte = 2;
inline constexpr std::uint64_t kHiddenByte = 3;
[[nodiscard]] constexpr std::uint64_t slot_byte(std::uint32_t slot_number) noexcept {
    return kSlotsAt + slot_number;
}

// 0 or an errno, as try_lock_byte.
[[nodiscard]] inline int begin_creation(const LockDescription& locks) noexcept {
    return try_lock_byte(locks.number(), kCreationByte);
}
[[nodiscard]] inline bool is_being_created(const LockDescription& locks) noexcept {
    return is_locked(locks.number(), kCreationByte, 1);
}
inline void finish_creation(const LockDescription& locks) noexcept { unlock_byte(locks.number(), kCreationByte); }

// Refused while its creator lives.
[[nodiscard]] inline int claim_hidden_name(const LockDescription& locks) noexcept {
    return try_lock_byte(locks.number(), kHiddenByte);
}
[[nodiscard]] inline bool is_hidden_name_claimed(const LockDescription& locks) noexcept {
    return is_locked(locks.number(), kHiddenByte, 1);
}

// Says that this process has the arena open, until the end of `locks`. Refused while it is being removed.
[[nodiscard]] inline int announce_presence(const LockDescription& locks) noexcept {
    return try_share_byte(locks.number(), kPresenceByte);
}
inline void withdraw_presence(const LockDescription& locks) noexcept { unlock_byte(locks.number(), kPresenceByte); }

// For a repair: refused while another is at it. Then claim_removal, which lets nobody else in.
[[nodiscard]] inline int begin_repair(const LockDescription& locks) noexcept {
    return try_lock_byte(locks.number(), kRepairByte);
}
inline void end_repair(const LockDescription& locks) noexcept { unlock_byte(locks.number(), kRepairByte); }
// As announce_presence, once no repair is under way: waits until one has ended, or its process has. So whoever is
// refused is refused by a removal.
[[nodiscard]] inline int announce_presence_or_wait(const LockDescription& locks) noexcept {
    for (;;) {
        if (announce_presence(locks) == 0) return 0;
        // Shared, so that of those who ask nobody waits for another; and none begins while we look again.
        if (const int repaired = try_share_byte(locks.number(), kRepairByte); repaired != 0) {
            if (!wait_for_byte(locks.number(), kRepairByte)) return repaired;
            continue;
        }
        const int refused = announce_presence(locks);
        unlock_byte(locks.number(), kRepairByte);
        return refused;
    }
}

// By another description.
[[nodiscard]] inline bool anyone_is_present(const LockDescription& locks) noexcept {
    return is_locked(locks.number(), kPresenceByte, 1);
}

// Refused while anybody has the arena open by another description.
[[nodiscard]] inline int claim_removal(const LockDescription& locks) noexcept {
    return try_lock_byte(locks.number(), kPresenceByte);
}

}  // namespace shoal
