#include "store/leftovers.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string_view>

#include "arena/byte_lock.hpp"
#include "arena/plan.hpp"
#include "store/descriptor.hpp"
#include "store/metadata.hpp"

namespace shoal {
namespace {

constexpr std::string_view kArenaPrefix = "shoal-";
constexpr std::uint64_t kCreationByte = 0;  // of the header: no slot's byte lies there

bool is_abandoned(int descriptor, const std::string& path) {
    alignas(ArenaHeader) std::array<std::byte, sizeof(ArenaHeader)> head{};
    if (::pread(descriptor, head.data(), head.size(), 0) != static_cast<ssize_t>(head.size())) return false;
    const auto& header = *reinterpret_cast<const ArenaHeader*>(head.data());
    if (!check_layout(header).empty() || header.store_path.back() != 0) return false;
    if (header.store_path.data() != path) return false;
    if (begin_creation(descriptor) != 0) return false;  // its creator is at it
    // Read under the lock: a creator that had it has published by now, or never will.
    const auto metadata = read_metadata_file(path + "/" + std::string(kMetadataName));
    return metadata && (!*metadata || (*metadata)->id != header.store_id);
}

}  // namespace

int begin_creation(int descriptor) noexcept { return try_lock_byte(descriptor, kCreationByte); }
void finish_creation(int descriptor) noexcept { unlock_byte(descriptor, kCreationByte); }

void sweep_leftovers(const std::string& path, const std::string& arena_dir) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(path, ignored)) {
        if (entry.path().filename().string().starts_with(kDestroyedPrefix)) {
            const auto metadata = read_metadata_file(entry.path().string());
            if (metadata && *metadata) ::unlink((*metadata)->arena_path.c_str());
            ::unlink(entry.path().c_str());
        }
    }
    for (const auto& entry : fs::directory_iterator(arena_dir, ignored)) {
        if (!entry.path().filename().string().starts_with(kArenaPrefix)) continue;
        const Descriptor arena(::open(entry.path().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        struct stat info {};
        if (arena.get() < 0 || ::fstat(arena.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
        if (is_abandoned(arena.get(), path)) ::unlink(entry.path().c_str());
    }
}

}  // namespace shoal
