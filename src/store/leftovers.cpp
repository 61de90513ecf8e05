#include "store/leftovers.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "arena/byte_lock.hpp"
#include "arena/crash_point.hpp"
#include "arena/descriptor.hpp"
#include "arena/file_identity.hpp"
#include "arena/paths_inside.hpp"
#include "arena/plan.hpp"
#include "arena/presence.hpp"
#include "arena/system_failure.hpp"
#include "spill/files.hpp"
#include "spill/restores.hpp"
#include "store/arena_file.hpp"
#include "store/arena_lock.hpp"
#include "store/home.hpp"
#include "store/kin.hpp"
#include "store/nameless_file.hpp"

namespace shoal {
namespace {

constexpr std::size_t kIdDigits = 32;

// The entries of the directory open as `directory`; none where it cannot be read.
std::vector<std::string> entries_of(int directory) {
    std::vector<std::string> names;
    const int readable = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (readable < 0) return names;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(readable), &::closedir);
    if (stream == nullptr) {
        ::close(readable);
        return names;
    }
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = ::readdir(stream.get())) names.emplace_back(entry->d_name);
    return names;
}

bool is_arena_name(std::string_view name) {
    return name.size() == kArenaPrefix.size() + kIdDigits && name.starts_with(kArenaPrefix) &&
           name.substr(kArenaPrefix.size()).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string path_of(const std::string& folder, const std::string& name) {
    return folder + (folder.back() == '/' ? "" : "/") + name;
}

Leftover describe(const Abandoned& hidden, const std::string& path) {
    Leftover found{path,         "",          "its creator was killed before it had its name", true, false,
                   hidden.bytes, hidden.cause};
    if (hidden.cause == 0) return found;
    found.removed = false;
    found.why += fmt::format(", but it cannot be removed: {}", std::strerror(hidden.cause));
    return found;
}

// An arena file, found by its name in a folder.
struct Candidate {
    int folder;
    std::string name;
    std::string path;
    LockDescription arena;
    std::string store_path;
    StoreHome home;
    Metadata own;  // what store.meta would say of it, if that is no copy
    bool temporary;
    bool destroyed;
    bool synced;
    std::uint64_t bytes;
    std::int64_t used_unix_s;  // when it was opened or closed last, or took new memory
};

std::optional<Candidate> look_at(int folder, const std::string& folder_path, const std::string& name) {
    int cause = 0;
    LockDescription arena = LockDescription::at(folder, name, &cause);
    const int number = arena.number();
    struct stat info {};
    if (number < 0 || ::fstat(number, &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    alignas(ArenaHeader) std::array<std::byte, sizeof(ArenaHeader)> head{};
    if (::pread(number, head.data(), head.size(), 0) != static_cast<ssize_t>(head.size())) return std::nullopt;
    const auto& header = *reinterpret_cast<const ArenaHeader*>(head.data());
    // Another build's arena is another build's to judge.
    const auto home = read_home(number);
    if (!check_layout(header).empty() || !home || home->path[0] != '/' || header.spill_folder.back() != 0 ||
        name != std::string(kArenaPrefix) + id_text(header.arena_id)) {
        return std::nullopt;
    }
    const std::string path = path_of(folder_path, name);
    const std::string store_path = path_of(*home);
    Metadata own;
    own.id = header.store_id;
    own.arena_path = path;
    own.spill_folder = from_there(store_path, header.spill_folder.data());
    // relaxed, all: a private copy
    return Candidate{folder,
                     name,
                     path,
                     std::move(arena),
                     store_path,
                     *home,
                     std::move(own),
                     header.flags == kTemporaryFlag,
                     (header.epoch.load(std::memory_order_relaxed) & kDestroyedBit) != 0,
                     header.restore != 0 || header.checkpoint.load(std::memory_order_relaxed) != 0,
                     static_cast<std::uint64_t>(info.st_blocks) * 512,
                     info.st_mtim.tv_sec};
}

// kTemporary: garbage if no process has it open; kEnded: its destroyer has begun, and was killed
enum class Verdict { kData, kTemporary, kEnded, kGarbage, kUnclear };

struct Judgement {
    Verdict verdict;
    std::string why;
};

// What is taken of that which seems to be garbage.
struct Rules {
    bool dry_run = false;
    bool force = false;
    std::uint64_t min_age_s = 0;       // of whatever it is
    std::uint64_t min_age_data_s = 0;  // of what was a store, and is not known to have ended
};

// Reading tells what is there; whose it is plays no part, as nothing but the candidate is ever removed.
Access any_owner() {
    Options options;
    options.any_owner = true;
    return *Access::from(options);
}

// Metadata that was set aside. `mistaken`: of another store than the one that was meant, which lives.
struct Aside {
    Metadata metadata;
    bool mistaken;
};

std::string ended_prefix(const StoreId& id) { return fmt::format("{}{}-", kEndedPrefix, id_text(id)); }

std::optional<Aside> read_aside(int directory, const std::string& name, const std::string& path,
                                const Access& access) {
    const bool ended = name.starts_with(kEndedPrefix);
    if (!ended && !name.starts_with(kDestroyedPrefix)) return std::nullopt;
    auto metadata = read_metadata_file(directory, name, path + "/" + name, access);
    if (!metadata || !*metadata) return std::nullopt;
    const bool mistaken = ended && !name.starts_with(ended_prefix((*metadata)->id));
    return Aside{std::move(**metadata), mistaken};
}

// The metadata of the store in the directory: store.meta, or what was set aside by mistake.
std::optional<Result<std::optional<Metadata>>> metadata_in(int above, const std::string& directory_name,
                                                           const std::string& path) {
    const Descriptor directory(
        ::openat(above, directory_name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory.get() < 0) return std::nullopt;
    auto metadata = read_metadata_file(directory.get(), std::string(kMetadataName),
                                       path + "/" + std::string(kMetadataName), any_owner());
    if (!metadata || *metadata) return metadata;
    for (const std::string& name : entries_of(directory.get())) {
        auto aside = read_aside(directory.get(), name, path, any_owner());
        if (aside && aside->mistaken) return std::optional(std::move(aside->metadata));
    }
    return metadata;
}

// Whether the store's own metadata was set aside there by a destroyer.
bool is_being_destroyed(const Candidate& candidate) {
    const std::string& path = candidate.store_path;
    const Descriptor directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory.get() < 0) return false;
    for (const std::string& name : entries_of(directory.get())) {
        if (!name.starts_with(kDestroyedPrefix)) continue;
        const auto aside = read_aside(directory.get(), name, path, any_owner());
        if (aside && arena_of_aside(directory.get(), name, aside->metadata) == candidate.path) return true;
    }
    return false;
}

// A directory that was renamed is looked for beside its old place.
std::optional<std::string> find_renamed(const std::string& path, const StoreId& id) {
    const std::string above_path = path.substr(0, path.rfind('/') + 1);
    const Descriptor above(::open(above_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (above.get() < 0) return std::nullopt;
    for (const std::string& name : entries_of(above.get())) {
        if (above_path + name == path) continue;
        const auto metadata = metadata_in(above.get(), name, above_path + name);
        if (metadata && *metadata && **metadata && (**metadata)->id == id) return above_path + name;
    }
    return std::nullopt;
}

bool is_same_arena(const LockDescription& one, const LockDescription& other) noexcept {
    struct stat first {};
    return ::fstat(one.number(), &first) == 0 && FileIdentity(first).is_of(other.number());
}

// Whether the store.meta at the candidate's home is another file than the one whose arena this is, a copy that was
// put in its place, and has an arena of its own.
bool has_another_arena_now(const Candidate& candidate, const Metadata& metadata) {
    const MetaIdentity now = identity_at(candidate.store_path);
    if (!now.is_known() || !candidate.home.meta.is_known() || now == candidate.home.meta) return false;
    const Descriptor directory(::open(candidate.store_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto arena = arena_of_aside(directory.get(), std::string(kMetadataName), metadata);
    struct stat named {};
    return arena && ::lstat(arena->c_str(), &named) == 0 && !FileIdentity(named).is_of(candidate.arena.number());
}

Judgement garbage_unless_renamed(const Candidate& candidate, const std::string& why) {
    const bool had_store = candidate.home.meta.is_known();
    const auto renamed = had_store ? find_renamed(candidate.store_path, candidate.own.id) : std::nullopt;
    if (!renamed) return {candidate.destroyed ? Verdict::kEnded : Verdict::kGarbage, why};
    return {Verdict::kUnclear, fmt::format("its directory {} is {} now", candidate.store_path, *renamed)};
}

// Why it may be a store's all the same, whatever this process finds; empty where it cannot.
std::string doubt(const Candidate& candidate, Verdict verdict, const Rules& rules) {
    const StoreHome& home = candidate.home;
    const std::string& path = candidate.store_path;
    if (home.mount_namespace == 0 || home.mount_namespace != this_mount_namespace()) {
        return fmt::format("it was last open in another mount namespace (a container?), where {} may be", path);
    }
    if (home.device != device_of(path)) {
        return fmt::format("{} was on another file system, which is not mounted there now", path);
    }
    const bool may_be_data = verdict == Verdict::kGarbage && home.meta.is_known();
    if (may_be_data && candidate.synced) return "it was synced, to be kept";
    const std::int64_t age = std::max<std::int64_t>(::time(nullptr) - candidate.used_unix_s, 0);
    const std::uint64_t min_age = may_be_data ? std::max(rules.min_age_s, rules.min_age_data_s) : rules.min_age_s;
    if (static_cast<std::uint64_t>(age) < min_age) return fmt::format("it was in use {} seconds ago", age);
    return {};
}

Judgement judge(const Candidate& candidate) {
    const std::string& path = candidate.store_path;
    const auto metadata = metadata_in(AT_FDCWD, path, path);
    if (!metadata) {
        const int cause = errno;
        struct stat info {};
        const bool is_something_else = cause == ENOTDIR && ::lstat(path.c_str(), &info) == 0;
        if (is_something_else || (cause != ENOENT && cause != ENOTDIR)) {
            return {Verdict::kUnclear, fmt::format("cannot look into {}: {}", path, std::strerror(cause))};
        }
        return garbage_unless_renamed(candidate, fmt::format("its directory {} is gone", path));
    }
    if (!*metadata) return {Verdict::kUnclear, metadata->error().message};
    if (!**metadata && (candidate.destroyed || is_being_destroyed(candidate))) {
        return {Verdict::kEnded, fmt::format("the destroyer of the store {} was killed", path)};
    }
    if (!**metadata) return garbage_unless_renamed(candidate, fmt::format("no store is at {} any more", path));
    if ((**metadata)->id != candidate.own.id && (**metadata)->arena_path.ends_with("/" + candidate.name)) {
        return {Verdict::kUnclear, fmt::format("the store at {} names it, and its header has another id", path)};
    }
    if ((**metadata)->id != candidate.own.id) {
        return garbage_unless_renamed(candidate, fmt::format("another store is at {} now", path));
    }
    if (has_another_arena_now(candidate, ***metadata)) {
        return garbage_unless_renamed(candidate, fmt::format("the store at {} has another arena now", path));
    }
    if ((**metadata)->arena_path != candidate.path) {
        // The same file by another way (a bind mount), or a copy of it.
        if (!candidate.temporary) return {Verdict::kData, ""};
        return {Verdict::kUnclear, fmt::format("its store calls it {}", (**metadata)->arena_path)};
    }
    if (!candidate.temporary) return {Verdict::kData, ""};
    return {Verdict::kTemporary, fmt::format("the temporary store {} has no owner left", path)};
}

// Whether a thread is attached: it would have its presence too, so this is to be safe twice.
bool has_live_slot(const LockDescription& arena) { return is_locked(arena.number(), slot_byte(0), kSlots); }

bool still_has_its_name(int folder, const std::string& name, int arena) {
    struct stat named {};
    struct stat ours {};
    return ::fstatat(folder, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 && ::fstat(arena, &ours) == 0 &&
           named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
}

// Whether the store.meta at `path` is not that of the arena.
bool is_of_a_copy(int arena, const std::string& path) {
    const auto home = read_home(arena);
    const MetaIdentity there = identity_at(path);
    return home && home->meta.is_known() && there.is_known() && there != home->meta;
}

// Whether the spill files are those of an arena that was restored since.
bool has_lost_files(int arena, const Metadata& metadata) {
    std::uint64_t restore = 0;
    struct stat own {};
    if (::pread(arena, &restore, sizeof restore, offsetof(ArenaHeader, restore)) != sizeof restore ||
        ::fstat(arena, &own) != 0) {
        return true;
    }
    const auto check = [&](const struct stat& info, const std::string&) -> Result<void> {
        if (belongs_with(own, info)) return {};
        return tl::unexpected(Error{});
    };
    const auto newest = newest_restore(metadata.spill_folder, id_text(metadata.id), check);
    return !newest || newest->number > restore;
}

// 0 or an errno; EEXIST where a third store has come meanwhile.
int put_back(int directory, const std::string& aside) {
    const std::string meta(kMetadataName);
    if (::renameat2(directory, aside.c_str(), directory, meta.c_str(), RENAME_NOREPLACE) != 0) return errno;
    crash_point(CrashPoint::kEndedMetadataBack);
    return 0;
}

// Removes the arena, `name` in `folder` and open as `arena`, and before it store.meta if that names it, so that
// nobody finds a store whose arena is gone, and the spill files, which nothing else may name; in the end the
// directory, if that was its store and nothing else is in it. 0 or an errno.
int remove_store(int folder, const std::string& name, int arena, const std::string& path, const Metadata& ended) {
    const StoreId& id = ended.id;
    Descriptor directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    // A copy of the store may be there by now, or have taken its spill files over: they have the same id.
    const bool is_copy = directory.get() >= 0 && is_of_a_copy(arena, path);
    if (is_copy) directory = Descriptor(-1);
    const bool has_files = !ended.spill_folder.empty() && !is_copy && !has_lost_files(arena, ended);
    const auto unlink_files = [&] {
        struct stat own {};
        if (::fstat(arena, &own) != 0) return errno;
        if (has_files) {
            if (const int cause = remove_spill_files(ended.spill_folder, id_text(id), own); cause != 0)
                return cause;
            crash_point(CrashPoint::kEndedSpillRemoved);
        }
        return ::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT ? 0
                                                                           : errno;  // another may have been at it
    };
    if (directory.get() < 0) return unlink_files();
    const std::string meta(kMetadataName);
    const auto metadata = read_metadata_file(directory.get(), meta, path + "/" + meta, any_owner());
    if (metadata && *metadata && (*metadata)->id == id) {
        // Nobody has this arena open: who has the store open has another one, perhaps behind another mount.
        int cause = 0;
        const ArenaLock lock = ArenaLock::on(directory.get(), meta, &cause);
        if (lock.exists() && lock.has_others(nullptr, nullptr)) return EBUSY;
        crash_point(CrashPoint::kEndedMetadataSeen);
        if (set_metadata_aside(directory.get(), ended_prefix(id))) {
            crash_point(CrashPoint::kEndedMetadataAside);
            static_cast<void>(restore_metadata(directory.get(), path, any_owner()));
        }
    }
    if (const int cause = unlink_files(); cause != 0) return cause;
    crash_point(CrashPoint::kEndedArenaUnlinked);
    bool was_ours = false;
    for (const std::string& entry : entries_of(directory.get())) {
        const auto aside = read_aside(directory.get(), entry, path, any_owner());
        if (!aside || aside->metadata.id != id) continue;
        was_ours = true;
        ::unlinkat(directory.get(), entry.c_str(), 0);
    }
    crash_point(CrashPoint::kEndedAsideRemoved);
    if (was_ours) ::rmdir(path.c_str());
    crash_point(CrashPoint::kEndedDirectoryRemoved);
    return 0;
}

// Removes the candidate if it is garbage, or says why not. Nothing for what is somebody's data.
std::optional<Leftover> collect_one(Candidate candidate, const std::string& folder_path, const Rules& rules) {
    const bool dry_run = rules.dry_run;
    Judgement judgement = judge(candidate);
    if (judgement.verdict == Verdict::kData) return std::nullopt;
    Leftover found{candidate.path, candidate.store_path, judgement.why, false, false, candidate.bytes, 0};
    if (judgement.verdict == Verdict::kUnclear) return found;
    crash_point(CrashPoint::kGarbageSeen);
    const auto is_open = [&] { return anyone_is_present(candidate.arena) || has_live_slot(candidate.arena); };
    const auto left_open = [&]() -> std::optional<Leftover> {
        if (judgement.verdict == Verdict::kTemporary) return std::nullopt;  // as it should be
        found.why += ", but processes have it open";
        return found;
    };
    if (is_being_created(candidate.arena)) return std::nullopt;
    if (is_open()) return left_open();
    if (const std::string why_not = doubt(candidate, judgement.verdict, rules); !why_not.empty()) {
        found.needs_force = true;
        found.why += fmt::format(", but {}", why_not);
        if (!rules.force) return found;
    }
    const LockDescription& arena = candidate.arena;
    const auto is_garbage = [&] {
        // Another process may have opened and closed it since, perhaps elsewhere.
        auto now = look_at(candidate.folder, folder_path, candidate.name);
        if (!now || !is_same_arena(now->arena, arena)) return false;
        now->arena = std::move(candidate.arena);
        candidate = std::move(*now);
        judgement = judge(candidate);
        const bool takes = judgement.verdict == Verdict::kGarbage || judgement.verdict == Verdict::kTemporary ||
                           judgement.verdict == Verdict::kEnded;
        return takes && (found.needs_force || doubt(candidate, judgement.verdict, rules).empty());
    };
    // A dry run locks nothing: who is refused by a lock takes it for a removal.
    if (dry_run ? is_being_created(arena) : begin_creation(arena) != 0) return std::nullopt;
    crash_point(CrashPoint::kCollectionBegun);
    if (!is_garbage()) return std::nullopt;  // its creator has finished since
    if ((dry_run ? anyone_is_present(arena) : claim_removal(arena) != 0) || has_live_slot(arena))
        return left_open();
    crash_point(CrashPoint::kRemovalClaimed);
    if (!is_garbage()) return std::nullopt;
    if (!found.needs_force) found.why = judgement.why;
    if (!still_has_its_name(candidate.folder, candidate.name, arena.number())) return std::nullopt;
    found.removed = true;
    if (dry_run) return found;
    found.system_errno =
        remove_store(candidate.folder, candidate.name, arena.number(), candidate.store_path, candidate.own);
    if (found.system_errno != 0) {
        found.removed = false;
        found.why += fmt::format(", but it cannot be removed: {}", std::strerror(found.system_errno));
    }
    return found;
}

// Of a folder that is looked through: a hidden file whose creator was killed.
std::optional<Leftover> collect_hidden(int folder, const std::string& dir, const std::string& name,
                                       const Rules& rules) {
    struct stat info {};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
    const std::int64_t age = std::max<std::int64_t>(::time(nullptr) - info.st_mtim.tv_sec, 0);
    const bool is_young = static_cast<std::uint64_t>(age) < rules.min_age_s;
    const auto hidden = remove_abandoned(folder, name, rules.dry_run || (is_young && !rules.force));
    if (!hidden) return std::nullopt;
    Leftover found = describe(*hidden, path_of(dir, name));
    found.needs_force = is_young;
    if (is_young) found.why += fmt::format(", but it was in use {} seconds ago", age);
    if (is_young && !rules.force) found.removed = false;
    return found;
}

std::vector<std::string> usual_dirs() {
    std::vector<std::string> dirs;
    struct stat info {};
    if (::stat("/dev/shm", &info) == 0) dirs.emplace_back("/dev/shm");
    // NOLINTNEXTLINE(concurrency-mt-unsafe): read once
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    if (runtime != nullptr && *runtime == '/' && ::stat(runtime, &info) == 0) dirs.emplace_back(runtime);
    return dirs;
}

}  // namespace

Result<std::string> set_metadata_aside(int directory, const std::string& prefix) {
    StoreId unique{};
    if (::getrandom(unique.data(), unique.size(), 0) != static_cast<ssize_t>(unique.size())) {
        return failed("getrandom", errno);
    }
    std::string aside = prefix + id_text(unique);
    if (::renameat(directory, std::string(kMetadataName).c_str(), directory, aside.c_str()) != 0) {
        return failed("cannot remove " + std::string(kMetadataName), errno);
    }
    return aside;
}

bool put_metadata_back(int directory, const std::string& aside) { return put_back(directory, aside) == 0; }

int remove_spill_files_of(int directory, const std::string& aside, const Metadata& metadata) {
    if (metadata.spill_folder.empty()) return 0;
    struct stat own {};
    // Where it is gone, another has done all this.
    if (::fstatat(directory, aside.c_str(), &own, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : errno;
    return remove_spill_files(metadata.spill_folder, id_text(metadata.id), own);
}

bool finish_destructions(int directory, const std::string& path, const Access& access) {
    bool any = false;
    for (const std::string& name : entries_of(directory)) {
        static_cast<void>(remove_abandoned(directory, name));
        if (!name.starts_with(kDestroyedPrefix) && !name.starts_with(kEndedPrefix)) continue;
        if (const auto aside = read_aside(directory, name, path, access)) {  // damaged, it names no arena
            // Where a third store is in its place, this one has lost it, as by a destroy.
            if (aside->mistaken && put_back(directory, name) != EEXIST) continue;
            Metadata its = aside->metadata;
            const auto arena = arena_of_aside(directory, name, its);
            if (arena) {
                its.arena_path = *arena;
                if (auto file = open_arena_file(path, its, access)) {
                    static_cast<void>(announce_destruction(file->descriptor.get()));
                }
            }
            crash_point(CrashPoint::kAsideAnnounced);
            if (arena) ::unlink(arena->c_str());
            crash_point(CrashPoint::kAsideUnlinked);
            if (remove_spill_files_of(directory, name, aside->metadata) != 0) continue;  // for one who may
            crash_point(CrashPoint::kAsideSpillRemoved);
        }
        any |= ::unlinkat(directory, name.c_str(), 0) == 0;
        crash_point(CrashPoint::kAsideFinished);
    }
    return any;
}

bool restore_metadata(int directory, const std::string& path, const Access& access) {
    bool any = false;
    for (const std::string& name : entries_of(directory)) {
        const auto aside = read_aside(directory, name, path, access);
        any |= aside && aside->mistaken && put_back(directory, name) == 0;
    }
    return any;
}

void sweep_leftovers(int directory, const std::string& path, const std::string& arena_dir, const Access& access) {
    static_cast<void>(finish_destructions(directory, path, access));
    const Descriptor folder(::open(arena_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) return;
    for (const std::string& name : entries_of(folder.get())) {
        static_cast<void>(remove_abandoned(folder.get(), name));
        // By its name: to open each arena of the folder would make each creation dearer than the one before.
        if (!is_arena_name(name) || !is_id_for(name.substr(kArenaPrefix.size()), path)) continue;
        auto candidate = look_at(folder.get(), arena_dir, name);
        if (!candidate || candidate->store_path != path) continue;
        Rules rules;
        rules.min_age_data_s = CollectOptions{}.min_age_s;
        static_cast<void>(collect_one(std::move(*candidate), arena_dir, rules));
    }
}

void remove_ended_store(int arena, const std::string& path, const Metadata& metadata) {
    const std::size_t slash = metadata.arena_path.rfind('/');
    const Descriptor folder(
        ::open(metadata.arena_path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const std::string name = metadata.arena_path.substr(slash + 1);
    if (folder.get() < 0 || !still_has_its_name(folder.get(), name, arena)) return;
    static_cast<void>(remove_store(folder.get(), name, arena, path, metadata));
}

Result<std::vector<Leftover>> collect_leftovers(const CollectOptions& options) {
    std::vector<std::string> dirs;
    if (!options.only_dirs) dirs = usual_dirs();
    for (const std::string& dir : options.dirs) {
        const std::unique_ptr<char, void (*)(void*)> real(::realpath(dir.c_str(), nullptr), &std::free);
        if (real == nullptr) return failed(dir, errno);
        const std::string whole = real.get();
        if (std::find(dirs.begin(), dirs.end(), whole) == dirs.end()) dirs.push_back(whole);
    }
    const Rules rules{options.dry_run, options.force, options.min_age_s, options.min_age_s};
    std::vector<Leftover> all;
    for (const std::string& dir : dirs) {
        const Descriptor folder(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (folder.get() < 0) return failed(dir, errno);
        for (const std::string& name : entries_of(folder.get())) {
            if (options.only_temporary) {
                auto ended = is_arena_name(name) ? look_at(folder.get(), dir, name) : std::nullopt;
                if (!ended || !ended->temporary) continue;
            }
            if (auto hidden = collect_hidden(folder.get(), dir, name, rules)) all.push_back(std::move(*hidden));
            if (!is_arena_name(name)) continue;
            auto candidate = look_at(folder.get(), dir, name);
            if (!candidate) continue;
            if (auto found = collect_one(std::move(*candidate), dir, rules)) all.push_back(std::move(*found));
        }
    }
    return all;
}

}  // namespace shoal
