// A mount namespace of the calling process's own, as a container has: with another file system in the place of a
// folder. As root, or else by a user namespace.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace shoal_test {

inline bool write_text(const char* path, const std::string& text) {
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    const bool written = file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (file >= 0) ::close(file);
    return written;
}

// Puts an empty tmpfs in the place of `folder`, for this process alone, which must have one thread. "" or why that
// cannot be.
inline std::string hide_by_tmpfs(const std::string& folder) {
    const uid_t user = ::geteuid();
    const gid_t group = ::getegid();
    if (user != 0) {
        if (::unshare(CLONE_NEWUSER) != 0) return std::string("no user namespace: ") + std::strerror(errno);
        // The same ids inside: files are the caller's own there too.
        const std::string users = std::to_string(user) + " " + std::to_string(user) + " 1";
        const std::string groups = std::to_string(group) + " " + std::to_string(group) + " 1";
        if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", users) ||
            !write_text("/proc/self/gid_map", groups)) {
            return std::string("no ids in the user namespace: ") + std::strerror(errno);
        }
    }
    if (::unshare(CLONE_NEWNS) != 0) return std::string("no mount namespace: ") + std::strerror(errno);
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64m") != 0) {
        return std::string("no tmpfs: ") + std::strerror(errno);
    }
    return {};
}

}  // namespace shoal_test
