#include "arena/byte_lock.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace shoal {
namespace {

constexpr std::uint64_t kToTheEnd = 0;  // fcntl: of a length of 0 bytes

struct flock lock_of(std::uint64_t offset, std::uint64_t bytes, short type) noexcept {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(offset);
    lock.l_len = static_cast<off_t>(bytes);
    return lock;
}

int set_lock(int descriptor, std::uint64_t offset, std::uint64_t bytes, short type) noexcept {
    struct flock lock = lock_of(offset, bytes, type);
    return ::fcntl(descriptor, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

void unlock(int descriptor, std::uint64_t offset, std::uint64_t bytes) noexcept {
    const int cause = set_lock(descriptor, offset, bytes, F_UNLCK);
    assert((cause == 0 || cause == EBADF) && "the kernel refuses to end a lock");
    static_cast<void>(cause);
}

}  // namespace

int try_lock_byte(int descriptor, std::uint64_t offset) noexcept {
    return set_lock(descriptor, offset, 1, F_WRLCK);
}

void unlock_byte(int descriptor, std::uint64_t offset) noexcept { unlock(descriptor, offset, 1); }

void unlock_all(int descriptor) noexcept { unlock(descriptor, 0, kToTheEnd); }

int try_share_byte(int descriptor, std::uint64_t offset) noexcept {
    return set_lock(descriptor, offset, 1, F_RDLCK);
}

bool wait_for_byte(int descriptor, std::uint64_t offset) noexcept {
    struct flock lock = lock_of(offset, 1, F_RDLCK);
    while (::fcntl(descriptor, F_OFD_SETLKW, &lock) != 0) {
        if (errno != EINTR) return false;
    }
    unlock_byte(descriptor, offset);
    return true;
}

bool is_locked(int descriptor, std::uint64_t offset, std::uint64_t bytes) noexcept {
    const LockedBytes found = locked_bytes(descriptor, offset, bytes);
    return found.begin != found.end;
}

LockedBytes locked_bytes(int descriptor, std::uint64_t offset, std::uint64_t bytes) noexcept {
    const LockedBytes all{offset, offset + bytes};
    struct flock lock = lock_of(offset, bytes, F_WRLCK);
    if (::fcntl(descriptor, F_OFD_GETLK, &lock) != 0) return all;
    if (lock.l_type == F_UNLCK) return {};
    const auto begin = static_cast<std::uint64_t>(lock.l_start);
    const std::uint64_t end = lock.l_len == 0 ? all.end : begin + static_cast<std::uint64_t>(lock.l_len);
    return {std::max(begin, all.begin), std::min(end, all.end)};
}

}  // namespace shoal
