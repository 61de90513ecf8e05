#include "store/place.hpp"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "arena/layout.hpp"

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

Result<std::uint64_t> arena_bytes_for(const Options& options, std::uint64_t free_bytes) {
    std::uint64_t bytes = options.memory_limit_bytes;
    if (bytes == 0) {
        const auto memory = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                            static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        bytes = std::max(std::min(free_bytes / 2, memory / 2) / kPieceBytes * kPieceBytes, kMinimumArenaBytes);
    }
    if (bytes < kMinimumArenaBytes || bytes > 1ULL << 44) {
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  fmt::format("memory_limit_bytes is {}: an arena takes from {} (8 MiB) to {} bytes", bytes,
                              kMinimumArenaBytes, 1ULL << 44)});
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
    return round_up(bytes, kPieceBytes);
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
        return place_in(options.arena_dir, "");
    }
    const std::uint64_t wanted = std::max(options.memory_limit_bytes, kMinimumArenaBytes);
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
    return place_in(store_dir, room.tmpfs ? "" : "in the store's own directory, on a disk: " + refused);
}

}  // namespace shoal
