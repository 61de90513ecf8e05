// An arena on a disk as another boot of the machine has left it.
#pragma once

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <string>

namespace shoal_test {

inline bool is_on_tmpfs(const std::string& path) {
    struct statfs info {};
    return ::statfs(path.c_str(), &info) == 0 && info.f_type == TMPFS_MAGIC;
}

// Changes the boot's id in the arena's header (src/FORMAT.md).
inline bool pretend_reboot(const std::string& arena) {
    constexpr off_t kBootId = 1272;
    const int file = ::open(arena.c_str(), O_RDWR | O_CLOEXEC);
    char byte = 0;
    bool done = file >= 0 && ::pread(file, &byte, 1, kBootId) == 1;
    byte = static_cast<char>(byte ^ 1);
    done = done && ::pwrite(file, &byte, 1, kBootId) == 1;
    if (file >= 0) ::close(file);
    return done;
}

}  // namespace shoal_test
