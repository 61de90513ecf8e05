#include "store/place.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "arena/descriptor.hpp"
#include "arena/group_memory.hpp"
#include "arena/layout.hpp"
#include "arena/system_failure.hpp"
#include "store/access.hpp"

namespace shoal {
namespace {

struct Room {
    bool tmpfs = false;
    std::uint64_t free_bytes = 0;
};

bool room_of(const std::string& dir, Room* room) {
    struct statfs info {};
    if (::statfs(dir.c_str(), &info) != 0) return false;
    room->tmpfs = info.f_type == TMPFS_MAGIC;
    room->free_bytes = static_cast<std::uint64_t>(info.f_bavail) * static_cast<std::uint64_t>(info.f_bsize);
    return true;
}

std::vector<std::string> tmpfs_candidates() {
    std::vector<std::string> dirs{"/dev/shm"};
    // NOLINTNEXTLINE(concurrency-mt-unsafe): read once, at creation
    if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime != 0) {
        dirs.emplace_back(runtime);
    }
    return dirs;
}

}  // namespace

std::string advice_for_space(const std::string& dir) {
    const bool shm = dir == "/dev/shm";
    return fmt::format("make {} larger ({}), lower memory_limit_bytes, or set arena_dir to a folder with room", dir,
                       shm ? "mount -o remount,size=…, or docker run --shm-size=…" : "or free some of it");
}

Result<std::string> spill_folder_of(const Options& options) {
    const std::string& asked = options.spill_dir;
    if (asked.empty()) return std::string();
    const auto refuse = [&](Code code, const std::string& why, int cause) {
        return tl::unexpected(Error{code, fmt::format("spill_dir {} {}", asked, why), cause});
    };
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(asked.c_str(), nullptr), &std::free);
    if (real == nullptr) {
        const int cause = errno;
        if (cause == ENOENT || cause == ENOTDIR) {
            return refuse(Code::kInvalidArgument, "does not exist: make that folder, or name another", cause);
        }
        return failed("spill_dir " + asked, cause);
    }
    const std::string folder = real.get();
    const Descriptor opened(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (opened.get() < 0) {
        const int cause = errno;
        if (cause != ENOTDIR) return failed("spill_dir " + asked, cause);
        return refuse(Code::kInvalidArgument, "is no folder: name one", cause);
    }
    if (folder.size() >= kStorePathBytes || folder.find('\n') != std::string::npos) {
        return refuse(
            Code::kInvalidArgument,
            fmt::format("is {} to shoal, which takes up to {} bytes, none a newline", folder, kStorePathBytes - 1),
            0);
    }
    Descriptor tried(::openat(opened.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    int cause = tried.get() < 0 ? errno : 0;
    // Where the file system has no nameless files: asked, so that nothing is left.
    if (cause == EOPNOTSUPP || cause == EISDIR) {
        cause = ::faccessat(opened.get(), ".", W_OK | X_OK, AT_EACCESS) != 0 ? errno : 0;
    }
    if (cause == EACCES || cause == EPERM || cause == EROFS) {
        return refuse(Code::kPermission,
                      fmt::format("cannot be written to ({}): name another folder, or let {} write there",
                                  std::strerror(cause), user_text(::geteuid())),
                      cause);
    }
    if (cause != 0) return failed("cannot make a file in spill_dir " + asked, cause);
    return folder;
}

Result<std::uint64_t> arena_bytes_for(const Options& options, std::uint64_t free_bytes) {
    std::uint64_t bytes = options.memory_limit_bytes;
    if (bytes == 0) {
        const auto memory = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                            static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        const std::uint64_t room = std::min({free_bytes, memory, group_memory_left()});
        bytes = std::max(room / 2 / kPieceBytes * kPieceBytes, kMinimumLimitBytes);
    }
    if (bytes < kMinimumLimitBytes || bytes > kMostLimitBytes) {
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  fmt::format("memory_limit_bytes is {}: an arena takes from {} (8 MiB) to {} bytes", bytes,
                              kMinimumLimitBytes, kMostLimitBytes)});
    }
    const auto is_size = [](std::uint32_t value, std::uint32_t low, std::uint32_t high) {
        return std::has_single_bit(value) && value >= low && value <= high;
    };
    if (!is_size(options.max_segment_bytes, 64U << 10, 1U << 20) ||
        !is_size(options.first_segment_bytes, 64, options.max_segment_bytes)) {
        return tl::unexpected(Error{
            Code::kInvalidArgument,
            fmt::format("first_segment_bytes {} and max_segment_bytes {}: both take a power of two, the second "
                        "from 64 KiB to 1 MiB, the first from 64 to the second",
                        options.first_segment_bytes, options.max_segment_bytes)});
    }
    return round_up(bytes, kPieceBytes) + kSlotTableBytes;
}

Result<ArenaPlace> choose_place(const Options& options, const std::string& store_dir) {
    Room room;
    const auto place_in = [&](const std::string& dir, std::string note) -> Result<ArenaPlace> {
        return arena_bytes_for(options, room.free_bytes).map([&](std::uint64_t bytes) {
            return ArenaPlace{dir, std::move(note), bytes};
        });
    };
    if (!options.arena_dir.empty()) {
        if (!room_of(options.arena_dir, &room)) {
            const int cause = errno;
            return tl::unexpected(Error{cause == EACCES ? Code::kPermission : Code::kSystem,
                                        fmt::format("arena_dir {}: {}", options.arena_dir, std::strerror(cause)),
                                        cause});
        }
        return place_in(options.arena_dir, room.tmpfs ? "" : "on a disk, as arena_dir asks");
    }
    const std::uint64_t wanted = std::max(options.memory_limit_bytes, kMinimumLimitBytes);
    std::string refused;
    for (const std::string& dir : tmpfs_candidates()) {
        if (!room_of(dir, &room) || !room.tmpfs) {
            refused += fmt::format("{}{} is no tmpfs", refused.empty() ? "" : ", ", dir);
        } else if (::access(dir.c_str(), W_OK | X_OK) != 0) {
            refused += fmt::format("{}{} may not be written", refused.empty() ? "" : ", ", dir);
        } else if (room.free_bytes < wanted) {
            refused += fmt::format("{}{} has {} of {} bytes free", refused.empty() ? "" : ", ", dir,
                                   room.free_bytes, wanted);
        } else {
            return place_in(dir, "");
        }
    }
    if (!room_of(store_dir, &room)) {
        const int cause = errno;
        return tl::unexpected(
            Error{Code::kSystem, fmt::format("store directory {}: {}", store_dir, std::strerror(cause)), cause});
    }
    if (room.tmpfs) return place_in(store_dir, "");
    // A temporary store does not outlive its processes, so it may lie where a failure of power leaves parts of it.
    if (options.temporary) return place_in(store_dir, "in the store's own directory, on a disk: " + refused);
    return tl::unexpected(Error{
        Code::kNoSpace,
        fmt::format("no tmpfs has room for the arena ({}): make one larger (mount -o remount,size=… /dev/shm, or "
                    "docker run --shm-size=…), lower memory_limit_bytes, or ask for a folder on a disk by "
                    "arena_dir (--arena-dir), where the arena is slower and is lost by a reboot all the same",
                    refused),
        ENOSPC});
}

}  // namespace shoal
