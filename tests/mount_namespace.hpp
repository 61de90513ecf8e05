// A mount namespace of the calling process's own, as a container has: with another file system in the place of a
// folder. As root, or else by a user namespace.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "catch.hpp"

namespace shoal_test {

inline bool write_text(const char* path, const std::string& text) {
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    const bool written = file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (file >= 0) ::close(file);
    return written;
}

// Gives this process, which must have one thread, mounts of its own. "" or why that cannot be.
inline std::string enter_mount_namespace() {
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
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return std::string("no mount namespace: ") + std::strerror(errno);
    }
    return {};
}

// Puts an empty file system of that type in the place of `folder`, for this process alone. "" or why that cannot
// be.
inline std::string hide_by(const char* type, const std::string& folder, const char* options = nullptr) {
    if (std::string cannot = enter_mount_namespace(); !cannot.empty()) return cannot;
    if (::mount(type, folder.c_str(), type, 0, options) != 0) {
        return std::string("no ") + type + ": " + std::strerror(errno);
    }
    return {};
}
inline std::string hide_by_tmpfs(const std::string& folder) { return hide_by("tmpfs", folder, "size=64m"); }

// The same by a new ext2, whose files have no extents and so no fallocate, in the file `image` of that size.
inline std::string hide_by_ext2(const std::string& image, const std::string& size, const std::string& folder) {
    if (std::string cannot = enter_mount_namespace(); !cannot.empty()) return cannot;
    const std::string make = "truncate -s " + size + " '" + image +
                             "' && PATH=$PATH:/sbin:/usr/sbin mkfs.ext2 -q -m 0 '" + image +
                             "' && mount -o loop '" + image + "' '" + folder + "' 2>/dev/null";
    return std::system(make.c_str()) == 0 ? "" : "no ext2 on a loop device";  // NOLINT(concurrency-mt-unsafe)
}

// What another has mounted on `from` is on `to` as well, for this process alone.
inline std::string bind_mount(const std::string& from, const std::string& to) {
    if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0) return {};
    return std::string("no bind mount: ") + std::strerror(errno);
}

// The folders are on read-only mounts, for this process alone. "" or why that cannot be.
inline std::string mount_read_only(const std::vector<std::string>& folders) {
    if (std::string cannot = enter_mount_namespace(); !cannot.empty()) return cannot;
    for (const std::string& folder : folders) {
        if (std::string cannot = bind_mount(folder, folder); !cannot.empty()) return cannot;
        if (::mount(nullptr, folder.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) {
            return std::string("no read-only mount: ") + std::strerror(errno);
        }
    }
    return {};
}

// Begins the text of a child that lacks what the above takes.
inline constexpr const char* kCannot = "cannot: ";

}  // namespace shoal_test

// Of a child's text. Where it could not, the test is to be skipped: so a macro.
#define REQUIRE_IN_NAMESPACE(...)                                                \
    do {                                                                         \
        const std::string ended = __VA_ARGS__;                                   \
        const std::size_t reason_at = ended.find(shoal_test::kCannot);           \
        if (reason_at != std::string::npos) SHOAL_SKIP(ended.substr(reason_at)); \
        REQUIRE(ended == "");                                                    \
    } while (false)
