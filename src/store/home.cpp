#include "store/home.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <xxhash.h>

#include "arena/descriptor.hpp"
#include "arena/layout.hpp"
#include "store/metadata.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kBillion = 1'000'000'000;
constexpr unsigned long kGetMountNamespaceId = _IOR(0xb7, 0x5, std::uint64_t);  // NS_GET_MNTNS_ID, Linux 6.12
constexpr int kReads = 100;                                                     // of a home, beside writers

MetaIdentity identity_of(const struct statx& info) noexcept {
    MetaIdentity identity{info.stx_ino, 0};
    if ((info.stx_mask & STATX_BTIME) != 0) {
        identity.born_ns = static_cast<std::uint64_t>(info.stx_btime.tv_sec) * kBillion + info.stx_btime.tv_nsec;
    }
    return identity;
}

std::uint64_t sum_of(const StoreHome& home) noexcept {
    const auto* bytes = reinterpret_cast<const std::byte*>(&home);
    return XXH3_64bits(bytes + sizeof home.sum, sizeof home - sizeof home.sum);
}

}  // namespace

MetaIdentity identity_of(int descriptor) noexcept {
    struct statx info {};
    if (::statx(descriptor, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &info) != 0) return {};
    return identity_of(info);
}

MetaIdentity identity_at(const std::string& path) {
    struct statx info {};
    const std::string meta = path + "/" + std::string(kMetadataName);
    if (::statx(AT_FDCWD, meta.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME | STATX_TYPE, &info) != 0 ||
        !S_ISREG(info.stx_mode)) {
        return {};
    }
    return identity_of(info);
}

std::uint64_t this_mount_namespace() noexcept {
    const Descriptor file(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    std::uint64_t id = 0;
    if (file.get() >= 0 && ::ioctl(file.get(), kGetMountNamespaceId, &id) == 0 && id != 0) return id;
    struct stat info {};
    // The number of a namespace that has ended may be another's by now, where the kernel has nothing better.
    return file.get() >= 0 && ::fstat(file.get(), &info) == 0 ? info.st_ino : 0;
}

std::uint64_t device_of(const std::string& path) {
    std::string there = path;
    for (;;) {
        struct stat info {};
        struct statfs system {};
        if (::stat(there.c_str(), &info) == 0 && ::statfs(there.c_str(), &system) == 0) {
            std::array<std::uint64_t, 2> parts{info.st_dev, 0};
            static_assert(sizeof system.f_fsid == sizeof parts[1]);
            std::memcpy(&parts[1], &system.f_fsid, sizeof parts[1]);
            return XXH3_64bits(parts.data(), sizeof parts);
        }
        if ((errno != ENOENT && errno != ENOTDIR) || there.size() <= 1) return 0;
        there.resize(std::max<std::size_t>(there.rfind('/'), 1));
    }
}

StoreHome home_at(const std::string& path, const MetaIdentity& meta) {
    StoreHome home;
    home.meta = meta;
    home.mount_namespace = this_mount_namespace();
    home.device = device_of(path);
    path.copy(home.path.data(), home.path.size() - 1);
    home.sum = sum_of(home);
    return home;
}

std::optional<StoreHome> read_home(int arena) noexcept {
    StoreHome home;
    for (int turn = 0; turn < kReads; ++turn) {
        if (::pread(arena, &home, sizeof home, offsetof(ArenaHeader, home)) != static_cast<ssize_t>(sizeof home)) {
            return std::nullopt;
        }
        if (home.sum == sum_of(home) && home.path.back() == '\0') return home;
    }
    return std::nullopt;
}

int write_home(int arena, StoreHome home) noexcept {
    home.sum = sum_of(home);
    errno = 0;
    const ssize_t written = ::pwrite(arena, &home, sizeof home, offsetof(ArenaHeader, home));
    if (written == static_cast<ssize_t>(sizeof home)) return 0;
    return errno == 0 ? EIO : errno;
}

std::string path_of(const StoreHome& home) {
    return {home.path.data(), ::strnlen(home.path.data(), home.path.size())};
}

}  // namespace shoal
