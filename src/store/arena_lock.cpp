#include "store/arena_lock.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/byte_lock.hpp"
#include "arena/file_identity.hpp"
#include "arena/kernel_file.hpp"

namespace shoal {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kArenas = 4096;           // before it: bytes with another meaning (arena/presence.hpp)
constexpr std::uint64_t kRestorers = 1ULL << 62;  // arenas' bytes are before it, restorers' from it on
constexpr std::uint64_t kEnd = ~0ULL >> 1;        // no file has more bytes
constexpr std::size_t kMostNamed = 3;             // processes, in a message

std::uint64_t hash_of(const struct stat& info) noexcept {
    const std::array<std::uint64_t, 2> identity{info.st_dev, info.st_ino};
    return XXH3_64bits(identity.data(), sizeof identity);
}
std::uint64_t arena_byte(const struct stat& arena) noexcept {
    return kArenas + hash_of(arena) % (kRestorers - kArenas);
}
std::uint64_t restorer_byte(const struct stat& folder) noexcept {
    return kRestorers + hash_of(folder) % (kEnd - kRestorers);
}

// But for the byte `own`, which may lie anywhere.
bool is_locked_beside(int descriptor, std::uint64_t begin, std::uint64_t end, const std::uint64_t* own) noexcept {
    const auto locked = [&](std::uint64_t from, std::uint64_t to) {
        return from < to && is_locked(descriptor, from, to - from);
    };
    if (own == nullptr) return locked(begin, end);
    return locked(begin, *own) || locked(*own + 1, end);
}

// Whether /proc shows a lock on a descriptor of the process that means the file.
bool has_lock(const fs::path& process, const FileIdentity& file, int own) {
    std::error_code cause;
    for (fs::directory_iterator each(process / "fd", cause), end; !cause && each != end; each.increment(cause)) {
        struct stat info {};
        const std::string name = each->path().filename().string();
        if (::stat(each->path().c_str(), &info) != 0 || !file.is_of(info) || name == std::to_string(own)) continue;
        if (text_of((process / "fdinfo" / name).string()).find("\nlock:") != std::string::npos) return true;
    }
    return false;
}

}  // namespace

ArenaLock ArenaLock::on(int directory, const std::string& name, int* cause) {
    LockDescription lock = LockDescription::at(directory, name, cause);
    const bool may_not_write = *cause == EACCES || *cause == EPERM || *cause == EROFS || *cause == EISDIR;
    if (!lock.exists() && may_not_write) lock = LockDescription::to_share(directory, name, cause);
    return ArenaLock(std::move(lock));
}

ArenaLock ArenaLock::on_new(int descriptor, const std::string& path, int* cause) {
    return ArenaLock(LockDescription::of(descriptor, path, cause));
}

bool ArenaLock::is_at(int directory, const std::string& name) const noexcept {
    struct stat named {};
    return ::fstatat(directory, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           FileIdentity(named).is_of(number());
}

int ArenaLock::take(std::uint64_t byte, const struct stat* arena, const struct stat& folder) noexcept {
    const int refused = try_share_byte(number(), byte);
    if (refused != 0) return refused == EACCES ? EAGAIN : refused;
    if (!has_others(arena, &folder)) return 0;
    unlock_byte(number(), byte);
    return EBUSY;
}

int ArenaLock::join(const struct stat& arena, const struct stat& folder) noexcept {
    const std::uint64_t byte = arena_byte(arena);
    if (const int refused = take(byte, &arena, folder); refused != 0) return refused;
    joined_ = byte;
    if (restoring_ != kNone) unlock_byte(number(), std::exchange(restoring_, kNone));
    return 0;
}

int ArenaLock::begin_restore(const struct stat& folder) noexcept {
    const std::uint64_t byte = restorer_byte(folder);
    const int refused = take(byte, nullptr, folder);
    if (refused == 0) restoring_ = byte;
    return refused;
}

void ArenaLock::share_with_children() noexcept {
    // Without a page of memory the lock ends when the program closes the number: that is all.
    static_cast<void>(lock_.keep());
    lock_.inherit(joined_);
}

bool ArenaLock::has_others(const struct stat* arena, const struct stat* folder) const noexcept {
    const std::uint64_t own_arena = arena == nullptr ? 0 : arena_byte(*arena);
    const std::uint64_t own_folder = folder == nullptr ? 0 : restorer_byte(*folder);
    return is_locked_beside(number(), kArenas, kRestorers, arena == nullptr ? nullptr : &own_arena) ||
           is_locked_beside(number(), kRestorers, kEnd, folder == nullptr ? nullptr : &own_folder);
}

bool ArenaLock::is_shared_with(const struct stat& arena) const noexcept {
    return is_locked(number(), arena_byte(arena), 1);
}

std::optional<std::string> ArenaLock::folder_now() const {
    const int file = number();
    std::error_code cause;
    const fs::path now = fs::read_symlink(fmt::format("/proc/self/fd/{}", file), cause);
    struct stat named {};
    if (cause || ::lstat(now.c_str(), &named) != 0 || !FileIdentity(named).is_of(file)) return std::nullopt;
    return now.parent_path().string();
}

std::string ArenaLock::others() const {
    const FileIdentity file(number());
    std::vector<std::string> found;
    std::size_t more = 0;
    std::error_code cause;
    for (fs::directory_iterator each("/proc", cause), end; !cause && each != end; each.increment(cause)) {
        const std::string name = each->path().filename().string();
        pid_t process = 0;
        const auto read = std::from_chars(name.data(), name.data() + name.size(), process);
        if (read.ec != std::errc{} || read.ptr != name.data() + name.size()) continue;
        const bool is_this = process == ::getpid();
        if (!has_lock(each->path(), file, is_this ? number() : -1)) continue;
        if (found.size() == kMostNamed) {
            more += 1;
            continue;
        }
        std::string command = text_of((each->path() / "comm").string());
        while (command.ends_with('\n')) command.pop_back();
        found.push_back(is_this ? std::string("this process") : fmt::format("process {} \"{}\"", process, command));
    }
    if (found.empty()) return "a process that cannot be seen from here (of another container, or another user)";
    std::string text;
    for (const std::string& each : found) text += (text.empty() ? "" : ", ") + each;
    if (more != 0) text += fmt::format(" and {} more", more);
    return text;
}

Error has_another_arena(const std::string& path, const std::string& arena_path, const ArenaLock& lock) {
    return {
        Code::kInUse,
        fmt::format("store {} is open with another arena than {}, by {} (an arena whose name was removed, or of "
                    "another container's /dev/shm): two arenas of one store would destroy each other's data; "
                    "close the store there, then open it again",
                    path, arena_path, lock.others()),
        EBUSY, 0};
}

Error cannot_restore(const std::string& path, const std::string& arena_path, const ArenaLock& lock) {
    return {
        Code::kInUse,
        fmt::format("the arena {} of store {} is not there, and {} has the store open (its name was removed, or "
                    "it lies in another container's /dev/shm): restored now, the store would have two arenas "
                    "that destroy each other's data; sync and close the store there, then open it again",
                    arena_path, path, lock.others()),
        EBUSY, 0};
}

Error cannot_read_elsewhere(const std::string& path, const std::string& arena_path, const ArenaLock& lock) {
    return {
        Code::kInUse,
        fmt::format("the arena {} of store {} is not there, and {} has the store open (its name was removed, or "
                    "it lies in another container's /dev/shm): what was synced last is not what the store holds "
                    "now; read it where its arena is, or close it there",
                    arena_path, path, lock.others()),
        EBUSY, 0};
}

Error is_in_use(const std::string& path, const ArenaLock& lock) {
    return {Code::kInUse,
            fmt::format("store {} is open, by {}: close it there, or destroy it by force (Options::force, "
                        "'shoal destroy --force'), which gives those processes errors",
                        path, lock.others()),
            EBUSY, 0};
}

Error is_in_use_elsewhere(const std::string& path, const ArenaLock& lock) {
    return {Code::kInUse,
            fmt::format("store {} is open with an arena that cannot be reached from here, by {} (its name was "
                        "removed, or it lies in another container's /dev/shm): not destroyed, also by force, since "
                        "that process cannot be told; close the store there",
                        path, lock.others()),
            EBUSY, 0};
}

}  // namespace shoal
