#include "store/kin.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/crash_point.hpp"
#include "arena/descriptor.hpp"
#include "arena/paths_inside.hpp"
#include "arena/plan.hpp"
#include "arena/presence.hpp"
#include "spill/checkpoint_name.hpp"
#include "spill/file_table.hpp"
#include "spill/restores.hpp"
#include "store/arena_file.hpp"
#include "store/home.hpp"
#include "store/leftovers.hpp"

namespace shoal {
namespace {

// The bytes of an arena's header, read from its file.
struct Head {
    alignas(ArenaHeader) std::array<std::byte, sizeof(ArenaHeader)> bytes{};
    [[nodiscard]] bool read(int arena) noexcept {
        return ::pread(arena, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()) &&
               check_layout(header()).empty();
    }
    [[nodiscard]] const ArenaHeader& header() const noexcept {
        return *reinterpret_cast<const ArenaHeader*>(bytes.data());
    }
};

// To be looked at only; to be written to all the same where that can be, as who may not cannot use it either.
Descriptor open_arena(const std::string& path) {
    constexpr int kFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    Descriptor file(::open(path.c_str(), O_RDWR | kFlags));
    if (file.get() >= 0 || errno != EROFS) return file;
    return Descriptor(::open(path.c_str(), O_RDONLY | kFlags));  // on a read-only mount
}

bool exists(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
}

bool was_made_with(const Metadata& metadata, const MetaIdentity& mine) noexcept {
    return !metadata.file.is_known() || !mine.is_known() || metadata.file == mine;
}

// An id for a copy: always the same, so that of several processes that restore it one makes its arena.
std::string id_of_copy(const StoreId& id, const MetaIdentity& mine) {
    StoreId own = id;
    const std::array<std::uint64_t, 2> parts{mine.inode, mine.born_ns};
    std::uint64_t hash = XXH3_64bits_withSeed(parts.data(), sizeof parts, XXH3_64bits(id.data(), id.size()));
    for (std::size_t at = kPathDigits / 2; at < own.size(); ++at, hash >>= 8)
        own[at] = static_cast<std::uint8_t>(hash);
    return id_text(own);
}

struct Kin {
    std::string path;
    Descriptor file;
    std::uint64_t flags;
    StoreHome home;
    bool is_outdated;

    [[nodiscard]] bool is_open_somewhere() const noexcept { return is_locked(file.get(), kPresenceByte, 1); }
    // Whether it is, or may be, the arena of a store that lives.
    [[nodiscard]] bool lives() const noexcept {
        return is_open_somewhere() || (flags != kTemporaryFlag && !is_outdated);
    }
};

// Arenas of the store with that id and of its copies that this process may use.
std::vector<Kin> kin_of(const Metadata& metadata, const Access& access) {
    std::vector<Kin> all;
    const std::string folder = folder_of(metadata.arena_path);
    const std::string prefix = std::string(kArenaPrefix) + id_text(metadata.id).substr(0, kPathDigits);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), &::closedir);
    if (stream == nullptr) return all;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string name = static_cast<const char*>(entry->d_name);
        if (!name.starts_with(prefix)) continue;
        std::string path = folder + name;
        Descriptor file = open_arena(path);
        struct stat info {};
        Head head;
        if (file.get() < 0 || ::fstat(file.get(), &info) != 0 || !access.check_file(info, path) ||
            !head.read(file.get())) {
            continue;
        }
        const ArenaHeader& header = head.header();
        const bool is_destroyed = (header.epoch.load(std::memory_order_relaxed) & kDestroyedBit) != 0;  // a copy
        const auto home = read_home(file.get());
        if (header.store_id != metadata.id || is_destroyed || !home ||
            name != std::string(kArenaPrefix) + id_text(header.arena_id)) {
            continue;
        }
        const bool is_outdated = is_of_another_boot(header.boot_id) && is_on_disk(file.get());
        all.push_back(Kin{std::move(path), std::move(file), header.flags, *home, is_outdated});
    }
    return all;
}

bool is_same_file(const std::string& path, int descriptor) noexcept {
    struct stat named {};
    struct stat ours {};
    return ::lstat(path.c_str(), &named) == 0 && ::fstat(descriptor, &ours) == 0 && named.st_dev == ours.st_dev &&
           named.st_ino == ours.st_ino;
}

// Whether a folder beside the home has the home's store.meta: it was renamed.
bool is_beside(const StoreHome& home) {
    const std::string above = folder_of(path_of(home));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(above.c_str()), &::closedir);
    if (stream == nullptr) return true;  // cannot be told
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = ::readdir(stream.get())) {
        if (identity_at(above + static_cast<const char*>(entry->d_name)) == home.meta) return true;
    }
    return false;
}

// Whether all that the arena names of spill files and checkpoints is in the folder. Files only grow, so one that is
// as long as the arena says has all of it. While no process has the arena open.
bool has_all_files(const Kin& kin, const Metadata& metadata) {
    Head head;
    if (!head.read(kin.file.get())) return false;
    const ArenaHeader& header = head.header();
    if (header.spill_files_at == 0) return true;
    const auto table = std::make_unique<SpillFileTable>();
    if (::pread(kin.file.get(), table.get(), sizeof *table, static_cast<off_t>(header.spill_files_at)) !=
        static_cast<ssize_t>(sizeof *table)) {
        return false;
    }
    const std::string id = id_text(metadata.id);
    const std::uint64_t checkpoint = header.checkpoint.load(std::memory_order_relaxed);  // relaxed, all: a copy
    if (checkpoint > first_sync_of(header.restore) &&
        !exists(checkpoint_path(metadata.spill_folder, id, checkpoint)))
        return false;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(metadata.spill_folder.c_str()), &::closedir);
    if (stream == nullptr) return false;
    std::vector<std::uint64_t> own(kSpillFiles, 0);      // their bytes, by number
    std::vector<std::uint64_t> adopted(kSpillFiles, 0);  // the longest of earlier arenas
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = ::readdir(stream.get())) {
        const auto name = spill_file_name(static_cast<const char*>(entry->d_name), id);
        struct stat info {};
        if (!name || ::fstatat(::dirfd(stream.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        const auto bytes = static_cast<std::uint64_t>(info.st_size);
        if (name->restore == header.restore) own[name->number] = bytes;
        if (name->restore < header.restore) adopted[name->number] = std::max(adopted[name->number], bytes);
    }
    for (std::size_t number = 0; number < table->size(); ++number) {
        const SpillFile& file = (*table)[number];
        if (file.live_bytes.load(std::memory_order_relaxed) == 0) continue;
        const std::uint64_t end = file.end.load(std::memory_order_relaxed);
        if ((end & ~kAdoptedBit) > ((end & kAdoptedBit) != 0 ? adopted[number] : own[number])) return false;
    }
    return true;
}

bool is_orphan(const Kin& kin, const Metadata& metadata, const ArenaLock& lock) {
    const std::string home = path_of(kin.home);
    if (!kin.lives() || kin.is_open_somewhere() || home.empty() || kin.home.mount_namespace == 0 ||
        kin.home.mount_namespace != this_mount_namespace() || kin.home.device != device_of(home)) {
        return false;
    }
    const bool is_gone = !exists(home + "/" + std::string(kMetadataName)) ||
                         is_same_file(home + "/" + std::string(kMetadataName), lock.number());
    return is_gone && !is_beside(kin.home) && has_all_files(kin, metadata);
}

Error is_a_copy(const std::string& path, const Kin& kin) {
    return {Code::kCopied,
            fmt::format(
                "the store at {} is a copy: the arena {} is that of another store.meta, last opened at {}, and two "
                "directories with one arena would destroy each other's data. Make what was synced before it was "
                "copied a store of its own ('shoal recover {}'), or remove the copy (rm -r). A copy has all data "
                "if the store was synced ('shoal sync') and closed before, and is recovered then",
                path, kin.path, path_of(kin.home), path),
            EEXIST, 0};
}

Error shares_its_files(const std::string& path, const Metadata& metadata, bool lives) {
    const char* advice =
        lives ? "remove the copy (rm -r)"
              : "if the other is gone for good, take its spill files over ('shoal recover'); else remove "
                "the copy (rm -r)";
    return {Code::kCopied,
            fmt::format(
                "the store at {} is a copy, or was moved to another file system, and its spill folder {} was not: "
                "it may be that of another store still; {}",
                path, metadata.spill_folder, advice),
            EEXIST, 0};
}

}  // namespace

std::string folder_of(const std::string& file) { return file.substr(0, file.rfind('/') + 1); }

Result<OwnArena> find_own_arena(const Metadata& metadata, const std::string& path, const ArenaLock& lock,
                                const Access& access, bool as_own) {
    const MetaIdentity mine = identity_of(lock.number());
    const bool made_with = was_made_with(metadata, mine);
    const std::string& named = metadata.arena_path;
    if (made_with) {
        const Descriptor file = open_arena(named);
        Head head;
        const bool is_there = file.get() >= 0 || errno != ENOENT;
        if (is_there && (file.get() < 0 || !head.read(file.get()) || head.header().store_id != metadata.id)) {
            return OwnArena{Kinship::kOwn, named};  // open_arena_file says what is wrong
        }
        const auto home = is_there ? read_home(file.get()) : std::nullopt;
        if (is_there && (!home || !home->meta.is_known() || home->meta == mine)) {
            return OwnArena{Kinship::kOwn, named};
        }
    }
    const std::vector<Kin> kin = kin_of(metadata, access);
    for (const Kin& each : kin) {
        struct stat info {};
        const bool is_shared = ::fstat(each.file.get(), &info) == 0 && lock.is_shared_with(info);
        if (each.home.meta == mine || is_shared) return OwnArena{Kinship::kOwn, each.path};
    }
    const auto check = [&](const struct stat& info, const std::string& what) {
        return access.check_file(info, what);
    };
    MetaIdentity restored;
    if (!metadata.spill_folder.empty()) {
        const auto newest = newest_restore(metadata.spill_folder, id_text(metadata.id), check);
        if (!newest) return tl::unexpected(newest.error());
        restored = newest->meta;
    }
    const bool has_restored = restored.is_known() && restored == mine;
    for (const Kin& each : kin) {
        if (!has_restored && is_orphan(each, metadata, lock)) return OwnArena{Kinship::kOrphan, each.path};
    }
    const auto living = std::find_if(kin.begin(), kin.end(), [](const Kin& each) { return each.lives(); });
    const bool has_name = made_with && !exists(named);
    if (seen_from(path, metadata.spill_folder).starts_with('/')) {
        const bool is_others = restored.is_known() ? !has_restored : !made_with;
        const bool lives = living != kin.end();
        if (lives || (is_others && !as_own)) return tl::unexpected(shares_its_files(path, metadata, lives));
    } else if (living != kin.end() && !has_name && !has_restored && !as_own) {
        return tl::unexpected(is_a_copy(path, *living));
    }
    if (has_name) return OwnArena{Kinship::kMissing, named};
    return OwnArena{Kinship::kMissing,
                    folder_of(named) + std::string(kArenaPrefix) + id_of_copy(metadata.id, mine)};
}

bool is_at_home(const LockDescription& locks, const std::string& path, const ArenaLock& lock, Kinship kinship) {
    const int arena = locks.number();
    const auto before = read_home(arena);
    if (!before) return kinship == Kinship::kOwn;  // damaged
    const MetaIdentity mine = identity_of(lock.number());
    const StoreHome ours = home_at(path, mine);
    if (!before->meta.is_known() || before->meta == mine) {
        const bool is_same = before->meta == mine && before->mount_namespace == ours.mount_namespace &&
                             before->device == ours.device && before->path == ours.path;
        if (!is_same) static_cast<void>(write_home(arena, ours));
        return true;
    }
    struct stat info {};
    if (::fstat(arena, &info) == 0 && lock.is_shared_with(info)) return true;
    if (kinship != Kinship::kOrphan || anyone_is_present(locks)) return false;
    if (write_home(arena, ours) != 0) return false;
    crash_point(CrashPoint::kHomeTaken);
    // The write before the look, as another's announcement is before its read.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const bool is_alone = !anyone_is_present(locks);
    const auto after = read_home(arena);
    const bool is_ours = after && after->meta == mine;
    if (!is_alone && is_ours) static_cast<void>(write_home(arena, *before));
    return is_alone && is_ours;
}

bool is_at_home_to_read(const LockDescription& locks, const ArenaLock& lock, Kinship kinship) {
    const int arena = locks.number();
    const auto home = read_home(arena);
    if (!home) return kinship == Kinship::kOwn;  // damaged
    if (!home->meta.is_known() || home->meta == identity_of(lock.number())) return true;
    struct stat info {};
    if (::fstat(arena, &info) == 0 && lock.is_shared_with(info)) return true;
    // As long as none has taken it over; from here on none does, since we are present.
    return kinship == Kinship::kOrphan && identity_at(path_of(*home)) != home->meta;
}

std::optional<std::string> arena_of_aside(int directory, const std::string& aside, const Metadata& metadata) {
    const Descriptor file(
        ::openat(directory, aside.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    const MetaIdentity mine = identity_of(file.get());
    Options any_owner;
    any_owner.any_owner = true;
    for (const Kin& each : kin_of(metadata, *Access::from(any_owner))) {
        if (each.home.meta == mine) return each.path;
    }
    if (!was_made_with(metadata, mine)) return std::nullopt;
    const Descriptor named = open_arena(metadata.arena_path);
    Head head;
    if (named.get() < 0 || !head.read(named.get())) return metadata.arena_path;
    const auto home = read_home(named.get());
    return !home || !home->meta.is_known() || home->meta == mine ? std::optional(metadata.arena_path)
                                                                 : std::nullopt;
}

}  // namespace shoal
