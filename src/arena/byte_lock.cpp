#include "arena/byte_lock.hpp"

#include <fcntl.h>

#include <cerrno>

namespace shoal {
namespace {

struct flock lock_of(std::uint64_t offset, std::uint64_t bytes, short type) noexcept {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(offset);
    lock.l_len = static_cast<off_t>(bytes);
    return lock;
}

int set_lock(int descriptor, std::uint64_t offset, short type) noexcept {
    struct flock lock = lock_of(offset, 1, type);
    return ::fcntl(descriptor, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

}  // namespace

int try_lock_byte(int descriptor, std::uint64_t offset) noexcept { return set_lock(descriptor, offset, F_WRLCK); }

void unlock_byte(int descriptor, std::uint64_t offset) noexcept {
    static_cast<void>(set_lock(descriptor, offset, F_UNLCK));
}

int try_share_byte(int descriptor, std::uint64_t offset) noexcept { return set_lock(descriptor, offset, F_RDLCK); }

bool wait_for_byte(int descriptor, std::uint64_t offset) noexcept {
    struct flock lock = lock_of(offset, 1, F_RDLCK);
    while (::fcntl(descriptor, F_OFD_SETLKW, &lock) != 0) {
        if (errno != EINTR) return false;
    }
    unlock_byte(descriptor, offset);
    return true;
}

bool is_locked(int descriptor, std::uint64_t offset, std::uint64_t bytes) noexcept {
    struct flock lock = lock_of(offset, bytes, F_WRLCK);
    return ::fcntl(descriptor, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

}  // namespace shoal
