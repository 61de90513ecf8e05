// Stands in for src/arena/byte_lock.cpp and lock_description.cpp in models: a lock belongs to a process, not to a
// descriptor.
#include "arena/byte_lock.hpp"

#include <array>
#include <cerrno>

#include "arena/layout.hpp"
#include "arena/lock_description.hpp"

namespace shoal {
namespace {

// By slot; the process that has it + 1, or 0. What the kernel orders is acquire and release here.
std::array<Atomic<std::uint64_t>, kSlots> holders;

Atomic<std::uint64_t>& holder_of(std::uint64_t offset) noexcept { return holders[(offset - kSlotsAt) % kSlots]; }

}  // namespace

int try_lock_byte(int, std::uint64_t offset) noexcept {
    const std::uint64_t process = model::current_process() + 1;
    std::uint64_t holder = 0;
    const bool locked = holder_of(offset).compare_exchange_strong(holder, process, std::memory_order_acq_rel,
                                                                  std::memory_order_acquire);
    return locked || holder == process ? 0 : EAGAIN;
}

void unlock_byte(int, std::uint64_t offset) noexcept {
    std::uint64_t process = model::current_process() + 1;  // another's stays
    holder_of(offset).compare_exchange_strong(process, 0, std::memory_order_acq_rel, std::memory_order_relaxed);
}

bool is_locked(int, std::uint64_t offset, std::uint64_t) noexcept {
    const std::uint64_t holder = holder_of(offset).load(std::memory_order_acquire);
    return holder != 0 && holder != model::current_process() + 1;
}

LockedBytes locked_bytes(int descriptor, std::uint64_t offset, std::uint64_t bytes) noexcept {
    for (std::uint64_t at = offset; at < offset + bytes; ++at) {
        if (is_locked(descriptor, at, 1)) return {at, at + 1};
    }
    return {};
}

LockDescription::~LockDescription() = default;
int LockDescription::number() const noexcept { return 0; }

void model::release_locks(unsigned process) noexcept {
    for (Atomic<std::uint64_t>& holder : holders) {
        std::uint64_t dead = process + 1;
        holder.compare_exchange_strong(dead, 0, std::memory_order_acq_rel, std::memory_order_relaxed);
    }
}

}  // namespace shoal
