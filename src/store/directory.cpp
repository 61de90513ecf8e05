#include "store/directory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "arena/descriptor.hpp"
#include "arena/file_identity.hpp"
#include "arena/presence.hpp"
#include "arena/system_failure.hpp"
#include "spill/files.hpp"
#include "spill/restores.hpp"
#include "store/access.hpp"
#include "store/home.hpp"
#include "store/kin.hpp"
#include "store/leftovers.hpp"
#include "store/metadata.hpp"
#include "store/nameless_file.hpp"
#include "store/place.hpp"
#include "store/restore.hpp"

namespace shoal {
namespace {

constexpr int kRaceTurns = 1000;  // of creators and destroyers against us, before we give up
constexpr int kBusyTurns = 50;    // of others with another arena, who may only have looked, or may be ending

std::string metadata_path(const std::string& path) { return path + "/" + std::string(kMetadataName); }

// The path as the kernel would find it, symbolic links resolved but for the last step, which is not followed.
Result<std::string> resolved_path(const std::string& path) {
    if (path.empty()) return tl::unexpected(Error{Code::kInvalidArgument, "the store's path is empty"});
    std::error_code cause;
    std::string whole = std::filesystem::absolute(path, cause).string();
    if (cause) return failed(path, cause.value());
    while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
    const std::size_t slash = whole.rfind('/');
    std::string name = whole.substr(slash + 1);
    const bool is_dots = name == "." || name == "..";
    const std::string folder = is_dots ? whole : whole.substr(0, slash + 1);
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(folder.c_str(), nullptr), &std::free);
    if (real != nullptr) {
        whole = real.get();
        if (!is_dots && !name.empty()) whole += (whole.back() == '/' ? "" : "/") + name;
    } else if (errno != ENOENT && errno != ENOTDIR) {  // those the next step answers
        return failed(folder, errno);
    }
    if (whole.size() >= kStorePathBytes) {
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  fmt::format("the store's path has {} bytes; up to {} go", whole.size(), kStorePathBytes - 1)});
    }
    return whole;
}

void pause_a_moment() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    // Not the same for all: of those that keep each other out one has its turn.
    const timespec pause{0, 500'000 + now.tv_nsec % 1'000'000};
    ::nanosleep(&pause, nullptr);
}

Error no_store(const std::string& path) {
    return {Code::kNotFound, fmt::format("there is no store at {}", path), ENOENT, 0};
}

// The directory itself, not read; kNotFound where there is none. Whatever its name comes to mean later, names are
// looked up in it.
Result<Descriptor> open_directory(const std::string& path, const Access& access) {
    Descriptor directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (directory.get() < 0) {
        const int cause = errno;
        if (cause == ENOENT) return tl::unexpected(no_store(path));
        if (cause != ENOTDIR) return failed("store directory " + path, cause);
        if (::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) return failed(path, ELOOP);
        return tl::unexpected(Error{Code::kInvalidArgument, fmt::format("{} is no directory", path), ENOTDIR});
    }
    if (::fstat(directory.get(), &info) != 0) return failed("store directory " + path, errno);
    if (auto checked = access.check_directory(info, "store directory " + path); !checked) {
        return tl::unexpected(std::move(checked.error()));
    }
    return directory;
}

// Whether the directory has lost its name to a destroyer, and perhaps another has it now.
bool has_lost_name(int directory, const std::string& path) {
    struct stat ours {};
    struct stat named {};
    if (::fstat(directory, &ours) != 0 || ::lstat(path.c_str(), &named) != 0) return true;
    return ours.st_dev != named.st_dev || ours.st_ino != named.st_ino;
}

// As a creator leaves it that is killed before it could share it.
bool is_own_and_empty(int directory, const std::string& path) {
    struct stat info {};
    std::error_code cause;
    return ::fstat(directory, &info) == 0 && info.st_uid == ::geteuid() && std::filesystem::is_empty(path, cause);
}

struct StoreDirectory {
    Descriptor directory;
    bool made;
};

// The directory, made if need be. kNotFound when a destroyer took it away meanwhile.
Result<StoreDirectory> make_directory(const std::string& path, const Access& access) {
    const bool made = ::mkdir(path.c_str(), 0700) == 0;
    if (!made && errno == ENOENT) {
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  fmt::format("cannot make store directory {}: the folder above it does not exist", path), ENOENT});
    }
    if (!made && errno != EEXIST) return failed("cannot make store directory " + path, errno);
    if (made) crash_point(CrashPoint::kDirectoryMade);
    auto directory = open_directory(path, access);
    if (!directory) return tl::unexpected(std::move(directory.error()));
    const bool to_grant = made || (access.shares() && is_own_and_empty(directory->get(), path));
    if (const int cause = to_grant ? access.grant_directory(directory->get()) : 0; cause != 0) {
        if (made) ::rmdir(path.c_str());
        return failed("cannot share store directory " + path, cause);
    }
    return StoreDirectory{std::move(*directory), made};
}

// The folder that a file lies in, not read.
Descriptor open_folder_of(const std::string& file) {
    return Descriptor(::open(file.substr(0, file.rfind('/') + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// ArenaLock::join, by descriptors.
int join_arena(ArenaLock& lock, int arena, int folder) noexcept {
    struct stat file {};
    struct stat above {};
    if (::fstat(arena, &file) != 0 || ::fstat(folder, &above) != 0) return errno;
    return lock.join(file, above);
}

// Names the store's metadata; the lock on it is the creator's, who has `arena` in `arena_folder` open. `durable`:
// its text outlives a failure of power as soon as its name does.
Result<ArenaLock> publish_metadata(int directory, const std::string& path, Metadata metadata, const Access& access,
                                   int arena, int arena_folder, bool durable) {
    NamelessFile file(directory, access);
    if (file.cause() != 0) return failed("cannot write in store directory " + path, file.cause());
    metadata.file = identity_of(file.get());
    const std::string text = print_metadata(metadata, path);
    errno = 0;
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return failed("cannot write " + metadata_path(path), errno == 0 ? ENOSPC : errno);
    }
    if (durable && ::fsync(file.get()) != 0) return failed("cannot write " + metadata_path(path), errno);
    crash_point(CrashPoint::kMetadataWritten);
    int cause = 0;
    ArenaLock lock = ArenaLock::on_new(file.get(), file.hidden_path(path), &cause);
    if (lock.exists()) cause = join_arena(lock, arena, arena_folder);
    if (cause != 0) return failed("cannot lock " + metadata_path(path), cause);
    std::string named = metadata_path(path);  // made before there is a store
    if (cause = file.link(std::string(kMetadataName)); cause != 0) {
        return failed("cannot create " + metadata_path(path), cause);
    }
    lock.set_path(std::move(named));
    crash_point(CrashPoint::kMetadataNamed);
    // By its name too, which the kernel goes on telling when the directory is moved (ArenaLock::folder_now); of a
    // file that had none, or another, it tells nothing.
    ArenaLock again = ArenaLock::on(directory, std::string(kMetadataName), &cause);
    if (again.exists() && FileIdentity(again.number()).is_of(lock.number()) &&
        join_arena(again, arena, arena_folder) == 0) {
        again.set_path(metadata_path(path));
        lock = std::move(again);
    }
    // Where this fails, the next process that attaches writes it.
    static_cast<void>(write_home(arena, home_at(path, metadata.file)));
    crash_point(CrashPoint::kHomeWritten);
    return lock;
}

// The arena of a store that no store.meta names yet, opened by the process that makes it.
Result<OpenedArena> open_unnamed(const std::string& path, const Metadata& metadata, const Access& access) {
    auto file = open_arena_file(path, metadata, access);
    if (!file) return tl::unexpected(std::move(file.error()));
    int cause = 0;
    LockDescription locks = LockDescription::of(file->descriptor.get(), metadata.arena_path, &cause);
    if (locks.exists()) cause = announce_presence(locks);
    if (cause != 0) return failed("cannot lock the arena", cause);
    auto mapping = Mapping::map(file->descriptor.get(), std::move(locks), file->bytes, metadata.arena_path);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    return OpenedArena{std::move(*mapping), path, metadata.arena_path, ""};
}

// Removes an arena that no store.meta names, and before it its spill files, which nothing else leads to.
void remove_unnamed(int folder, const std::string& name, int arena, const Metadata& metadata) {
    struct stat own {};
    if (!metadata.spill_folder.empty() && ::fstat(arena, &own) == 0) {
        static_cast<void>(remove_spill_files(metadata.spill_folder, id_text(metadata.id), own));
    }
    crash_point(CrashPoint::kUnnamedFilesRemoved);
    ::unlinkat(folder, name.c_str(), 0);
}

// One try to create, with a spill_dir as spill_folder_of() gives it; kSystem with EEXIST or kNotFound when another
// creator or a destroyer was quicker.
Result<OpenedArena> create(int directory, const std::string& path, const Options& options, const Access& access,
                           const FillArena& fill, const FillStore& fill_store = {}) {
    auto place = choose_place(options, path);
    if (!place) return tl::unexpected(std::move(place.error()));
    auto id = new_store_id(path);
    if (!id) return tl::unexpected(std::move(id.error()));
    Metadata metadata;
    metadata.id = *id;
    std::error_code ignored;
    const std::string dir = std::filesystem::absolute(place->dir, ignored).lexically_normal().string();
    const std::string name = std::string(kArenaPrefix) + id_text(metadata.id);
    metadata.arena_path = dir + (dir.back() == '/' ? "" : "/") + name;
    metadata.spill_folder = options.spill_dir;
    if (metadata.arena_path.find('\n') != std::string::npos) {
        return tl::unexpected(Error{Code::kInvalidArgument, "the arena's folder has a newline in its name"});
    }
    sweep_leftovers(directory, path, dir, access);
    const Descriptor folder(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) return failed("cannot create an arena in " + dir, errno);
    NamelessFile file(folder.get(), access);
    if (file.cause() != 0) return failed("cannot create an arena in " + dir, file.cause());
    auto mapping = build_arena(
        file.get(), {metadata.arena_path, dir, place->bytes, metadata.id, metadata.id, path, file.hidden_path(dir)},
        options, fill);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    int cause = begin_creation(mapping->locks());
    crash_point(CrashPoint::kCreationBegun);
    if (cause == 0) cause = announce_presence(mapping->locks());
    if (cause != 0) return failed("cannot lock the arena", cause);
    crash_point(CrashPoint::kCreatorPresent);
    if (cause = file.link(name); cause != 0) {
        return failed("cannot create arena " + metadata.arena_path, cause);
    }
    mapping->set_path(metadata.arena_path);
    crash_point(CrashPoint::kArenaNamed);
    if (fill_store) {
        auto filled = open_unnamed(path, metadata, access).and_then(fill_store);
        if (!filled) {
            remove_unnamed(folder.get(), name, file.get(), metadata);
            return tl::unexpected(std::move(filled.error()));
        }
    }
    const bool durable = fill_store && !metadata.spill_folder.empty();
    auto lock = publish_metadata(directory, path, metadata, access, file.get(), folder.get(), durable);
    if (!lock) {
        remove_unnamed(folder.get(), name, file.get(), metadata);
        return tl::unexpected(std::move(lock.error()));
    }
    finish_creation(mapping->locks());
    crash_point(CrashPoint::kCreationFinished);
    return OpenedArena{std::move(*mapping), path, metadata.arena_path, place->note, false, std::move(*lock)};
}

// A store's metadata, and the lock on the file that it was read from.
struct Found {
    Metadata metadata;
    ArenaLock lock;
};

// Nothing where the directory has no store.meta.
Result<std::optional<Found>> find_store(int directory, const std::string& path, const Access& access) {
    int cause = 0;
    ArenaLock lock = ArenaLock::on(directory, std::string(kMetadataName), &cause);
    if (!lock.exists()) {
        if (cause == ENOENT) return std::optional<Found>{};
        return failed(metadata_path(path), cause);
    }
    auto metadata = read_metadata(lock.number(), metadata_path(path), access);
    if (!metadata) return tl::unexpected(std::move(metadata.error()));
    lock.set_path(metadata_path(path));
    return std::optional(Found{std::move(*metadata), std::move(lock)});
}

// One try to attach; kArenaGone also where the arena is being removed at this moment. `lock`, on the store.meta
// that was read, is taken over where it succeeds.
Result<OpenedArena> attach_once(int directory, const std::string& path, const Metadata& metadata,
                                const Access& access, ArenaLock& lock, Kinship kinship, Mapping::For use,
                                bool* outdated) {
    const bool read_only = use == Mapping::For::kReading;
    auto file = open_arena_file(path, metadata, access, use);
    if (!file) return tl::unexpected(std::move(file.error()));
    const int arena = file->descriptor.get();
    crash_point(CrashPoint::kArenaOpened);
    int no_description = 0;
    LockDescription locks = LockDescription::of(arena, metadata.arena_path, &no_description);
    if (!locks.exists()) return tl::unexpected(no_locks(metadata.arena_path, no_description));
    // A temporary store that nobody has open has ended, whatever its last owner could still do about it.
    if (file->temporary && read_only && !anyone_is_present(locks)) return tl::unexpected(no_store(path));
    if (file->temporary && !read_only && claim_removal(locks) == 0) {
        crash_point(CrashPoint::kRemovalClaimed);
        remove_ended_store(arena, path, metadata);
        return tl::unexpected(no_store(path));
    }
    // That a process has it open is as good as the boot's id, which a container may have of its own.
    if (file->outdated && !anyone_is_present(locks)) {
        *outdated = true;
        return tl::unexpected(arena_outdated(path, metadata.arena_path));
    }
    struct stat info {};
    const int refused = announce_presence_or_wait(locks);
    if (file->temporary && (refused == EAGAIN || refused == EACCES)) {
        // Whoever removes it may be stopped: done here too. Who removes it may also have let it go, for another to
        // attach: that one is told.
        if (!read_only) {
            static_cast<void>(announce_destruction(arena));
            remove_ended_store(arena, path, metadata);
        }
        return tl::unexpected(no_store(path));
    }
    if (refused != 0 || ::fstat(arena, &info) != 0 || info.st_nlink == 0) {
        return tl::unexpected(arena_gone(path, metadata.arena_path));
    }
    crash_point(CrashPoint::kPresenceAnnounced);
    const Descriptor folder = open_folder_of(metadata.arena_path);
    if (const int others = join_arena(lock, arena, folder.get()); others != 0) {
        if (others == EBUSY) return tl::unexpected(Error{Code::kInUse, ""});
        return failed("cannot lock " + metadata_path(path), others);
    }
    crash_point(CrashPoint::kArenaJoined);
    // Looked at again: a process that found no name, and then no lock, may have restored the store, or a destroyer
    // may have taken store.meta away and then found no lock.
    if (!lock.is_at(directory, std::string(kMetadataName)) || ::fstat(arena, &info) != 0 || info.st_nlink == 0) {
        return tl::unexpected(arena_gone(path, metadata.arena_path));
    }
    const bool at_home =
        read_only ? is_at_home_to_read(locks, lock, kinship) : is_at_home(locks, path, lock, kinship);
    if (!at_home) return tl::unexpected(Error{Code::kInUse, ""});
    crash_point(CrashPoint::kArenaAtHome);
    if (!read_only) ::futimens(arena, nullptr);  // gc looks at it
    auto mapping = Mapping::map(arena, std::move(locks), file->bytes, metadata.arena_path, use);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    crash_point(CrashPoint::kArenaMapped);
    return OpenedArena{std::move(*mapping), path, metadata.arena_path, "", false, std::move(lock)};
}

// kArenaGone where the store was restored into another arena since this one was made. Where a restore died before
// it could say which arena is the newest, that is said now.
Result<void> check_restore(const OpenedArena& opened, const Metadata& metadata, const Access& access) {
    if (metadata.spill_folder.empty()) return {};
    const std::string id = id_text(metadata.id);
    const std::uint64_t ours = opened.mapping.header().restore;
    const auto check = [&](const struct stat& info, const std::string& what) {
        return access.check_file(info, what);
    };
    const auto said = newest_restore(metadata.spill_folder, id, check);
    if (!said) return tl::unexpected(said.error());
    if (said->number > ours) return tl::unexpected(is_outdated(opened.path, opened.arena_path));
    // Where it cannot be said, the next attach tries again, and a restore looks at the names of files too.
    if (said->number < ours && !opened.mapping.is_read_only()) {
        static_cast<void>(say_restore(metadata.spill_folder, id, {ours, identity_of(opened.lock.number())},
                                      [&](int file) { return access.grant_file(file); }));
    }
    return {};
}

// `fill`: to restore an arena that is gone, by `options`; null: it stays gone.
Result<OpenedArena> attach_resolved(const std::string& path, const Access& access, const Options& options,
                                    const FillArena& fill, bool as_own) {
    for (int turn = 0;; ++turn) {
        auto directory = open_directory(path, access);
        if (!directory) return tl::unexpected(std::move(directory.error()));
        const auto read = [&] {
            return read_metadata_file(directory->get(), std::string(kMetadataName), metadata_path(path), access);
        };
        auto found = find_store(directory->get(), path, access);
        if (!found) return tl::unexpected(std::move(found.error()));
        if (!*found && turn < kRaceTurns) {
            // Set aside by mistake, and perhaps put back since.
            const bool restored = !options.read_only && restore_metadata(directory->get(), path, access);
            found = find_store(directory->get(), path, access);
            if (!found) return tl::unexpected(std::move(found.error()));
            if (!*found && restored) continue;
        }
        if (!*found) return tl::unexpected(no_store(path));
        Metadata& metadata = (*found)->metadata;
        ArenaLock& lock = (*found)->lock;
        const auto own = find_own_arena(metadata, path, lock, access, as_own);
        if (!own) return tl::unexpected(own.error());
        metadata.arena_path = own->arena_path;
        bool outdated = false;
        const Mapping::For use = options.read_only ? Mapping::For::kReading : Mapping::For::kReadingAndWriting;
        auto opened = attach_once(directory->get(), path, metadata, access, lock, own->kinship, use, &outdated);
        if (!opened && opened.error().code == Code::kInUse) {
            if (turn >= kBusyTurns) return tl::unexpected(has_another_arena(path, metadata.arena_path, lock));
            lock = {};
            pause_a_moment();
            continue;
        }
        if (opened) {
            if (auto current = check_restore(*opened, metadata, access); !current) {
                return tl::unexpected(std::move(current.error()));
            }
        }
        if (opened || opened.error().code != Code::kArenaGone || turn == kRaceTurns) return opened;
        // Gone, or destroyed between our two looks: then the metadata is gone or another now. Or it is just being
        // removed: then the file is still there.
        auto again = read();
        const bool same = again && *again && (*again)->id == metadata.id;
        if (!same) continue;
        if (outdated || ::access(metadata.arena_path.c_str(), F_OK) != 0) {
            if (fill == nullptr) return opened;
            if (options.read_only) {
                if (!lock.has_others(nullptr, nullptr)) {
                    return restore_to_read(path, metadata, options, access, fill, outdated);
                }
                if (turn >= kBusyTurns)
                    return tl::unexpected(cannot_read_elsewhere(path, metadata.arena_path, lock));
                lock = {};
                pause_a_moment();
                continue;
            }
            auto restored = restore_store(directory->get(), path, metadata, options, access, fill, lock, outdated);
            const bool is_busy = !restored && restored.error().code == Code::kInUse;
            if (is_busy && turn >= kBusyTurns) {
                return tl::unexpected(cannot_restore(path, metadata.arena_path, lock));
            }
            if (!restored && !is_busy) {
                // A destroyer takes the metadata first, then the checkpoint.
                if (restored.error().code == Code::kArenaGone &&
                    !lock.is_at(directory->get(), std::string(kMetadataName)))
                    continue;
                return tl::unexpected(std::move(restored.error()));
            }
            if (restored && *restored) return std::move(**restored);
        }
        lock = {};
        pause_a_moment();
    }
}

// kInUse where other processes have the store of the metadata `name` open, but, by force, for those of the arena
// that can be reached from here, which will be told. What is no readable metadata tells of no arena; and a store
// that another process has begun to destroy meanwhile is not what `name` means any more.
Result<void> check_unused(int directory, const std::string& path, const std::string& name,
                          const std::string& arena_path, const Access& access, bool force) {
    int cause = 0;
    const ArenaLock lock = ArenaLock::on(directory, name, &cause);
    struct stat info {};
    if (lock.number() < 0 || ::fstat(lock.number(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    if (!lock.has_others(nullptr, nullptr)) return {};
    if (force) {
        auto metadata = read_metadata(lock.number(), path + "/" + name, access);
        if (metadata) {
            if (!arena_path.empty()) metadata->arena_path = arena_path;
            const Descriptor folder = open_folder_of(metadata->arena_path);
            const auto arena = open_arena_file(path, *metadata, access);
            struct stat above {};
            const bool has_folder = ::fstat(folder.get(), &above) == 0;
            const bool has_arena = arena && ::fstat(arena->descriptor.get(), &info) == 0;
            if (!lock.has_others(has_arena ? &info : nullptr, has_folder ? &above : nullptr)) return {};
        }
    }
    Error in_use = force ? is_in_use_elsewhere(path, lock) : is_in_use(path, lock);
    // Last of all: the arena may have been missing since it was removed by a destroyer.
    if (!lock.is_at(directory, name)) return {};
    return tl::unexpected(std::move(in_use));
}

// Whether this process could take the arena's name away: in a folder with the sticky bit only the owner can.
Result<void> check_removable(const std::string& arena_path, int arena) {
    const std::string folder = arena_path.substr(0, arena_path.rfind('/') + 1);
    struct stat file {};
    struct stat above {};
    if (::fstat(arena, &file) != 0 || ::stat(folder.c_str(), &above) != 0) return failed(arena_path, errno);
    const uid_t caller = ::geteuid();
    const bool sticky = (above.st_mode & S_ISVTX) != 0 && caller != 0;
    if (!sticky || caller == file.st_uid || caller == above.st_uid) return {};
    return tl::unexpected(Error{Code::kPermission,
                                fmt::format("arena {} can only be removed by its owner, {}: let them destroy the "
                                            "store, or empty it (drop)",
                                            arena_path, user_text(file.st_uid)),
                                EPERM});
}

}  // namespace

Result<OpenedArena> attach_existing(const std::string& path, const Options& options) {
    return attach_or_restore(path, options, nullptr);
}

Result<OpenedArena> attach_or_restore(const std::string& path, const Options& options, const FillArena& fill,
                                      bool as_own) {
    auto access = Access::from(options);
    if (!access) return tl::unexpected(std::move(access.error()));
    auto whole = resolved_path(path);
    if (!whole) return tl::unexpected(std::move(whole.error()));
    return attach_resolved(*whole, *access, options, fill, as_own);
}

Result<OpenedArena> open_or_create(const std::string& path, const Options& options, const FillArena& fill) {
    auto access = Access::from(options);
    if (!access) return tl::unexpected(std::move(access.error()));
    auto whole = resolved_path(path);
    if (!whole) return tl::unexpected(std::move(whole.error()));
    for (int turn = 0;; ++turn) {
        auto attached = attach_resolved(*whole, *access, options, fill, false);
        if (attached || attached.error().code != Code::kNotFound) return attached;
        if (auto sized = arena_bytes_for(options, 0); !sized) return tl::unexpected(std::move(sized.error()));
        auto spill_folder = spill_folder_of(options);
        if (!spill_folder) return tl::unexpected(std::move(spill_folder.error()));
        Options resolved = options;
        resolved.spill_dir = std::move(*spill_folder);
        if (options.durable && options.temporary) {
            return tl::unexpected(Error{Code::kInvalidArgument, "a temporary store cannot be durable"});
        }
        if (options.durable && resolved.spill_dir.empty()) resolved.spill_dir = *whole;
        auto made = make_directory(*whole, *access);
        if (!made) {
            if (made.error().code == Code::kNotFound && turn < kRaceTurns) continue;
            return tl::unexpected(std::move(made.error()));
        }
        auto created = create(made->directory.get(), *whole, resolved, *access, fill);
        if (created) return created;
        // Another creator's or destroyer's doing; a directory that was removed under us answers EPERM on some file
        // systems.
        const bool lost = has_lost_name(made->directory.get(), *whole);
        if (made->made && !lost) ::rmdir(whole->c_str());  // fails where another creator has got further
        const int cause = created.error().system_errno;
        const bool raced = cause == EEXIST || (lost && (cause == ENOENT || cause == EPERM));
        if (!raced || turn == kRaceTurns) return created;
    }
}

Result<OpenedArena> create_filled(const std::string& path, const Options& options, const FillArena& fill,
                                  const FillStore& fill_store) {
    auto access = Access::from(options);
    if (!access) return tl::unexpected(std::move(access.error()));
    auto whole = resolved_path(path);
    if (!whole) return tl::unexpected(std::move(whole.error()));
    if (auto sized = arena_bytes_for(options, 0); !sized) return tl::unexpected(std::move(sized.error()));
    auto spill_folder = spill_folder_of(options);
    if (!spill_folder) return tl::unexpected(std::move(spill_folder.error()));
    Options resolved = options;
    resolved.spill_dir = std::move(*spill_folder);
    if (options.durable && resolved.spill_dir.empty()) resolved.spill_dir = *whole;
    auto made = make_directory(*whole, *access);
    if (!made) return tl::unexpected(std::move(made.error()));
    const auto is_there = [&] {
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  fmt::format("there is a store at {}: name another path, or destroy that store first", *whole),
                  EEXIST, 0});
    };
    const std::string meta(kMetadataName);
    if (::faccessat(made->directory.get(), meta.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return is_there();
    auto created = create(made->directory.get(), *whole, resolved, *access, fill, fill_store);
    if (!created) {
        const bool lost = has_lost_name(made->directory.get(), *whole);
        if (made->made && !lost) ::rmdir(whole->c_str());  // fails where another creator has got further
        if (created.error().system_errno == EEXIST) return is_there();
        return created;
    }
    if (resolved.spill_dir.empty()) return created;
    if (auto synced = sync_names(*whole); !synced) return tl::unexpected(std::move(synced.error()));
    return created;
}

Result<OpenedArena> create_in_memory(const Options& options, const FillArena& fill) {
    if (!options.spill_dir.empty()) {  // nobody would take its files away if its processes are killed
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  "a store in memory cannot spill: open one at a path, with Options::temporary if it is to go with "
                  "its last owner"});
    }
    auto bytes = arena_bytes_for(options, ~0ULL);
    if (!bytes) return tl::unexpected(std::move(bytes.error()));
    const Descriptor file(::memfd_create("shoal", MFD_CLOEXEC));
    if (file.get() < 0) return failed("memfd_create", errno);
    auto id = new_store_id("");
    if (!id) return tl::unexpected(std::move(id.error()));
    auto mapping =
        build_arena(file.get(), {"in memory", "the machine's memory", *bytes, *id, *id, "", ""}, options, fill);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    return OpenedArena{std::move(*mapping), "", "", ""};
}

Result<void> destroy_store(const std::string& path, const Options& options) {
    auto access = Access::from(options);
    if (!access) return tl::unexpected(std::move(access.error()));
    auto whole = resolved_path(path);
    if (!whole) return tl::unexpected(std::move(whole.error()));
    auto directory = open_directory(*whole, *access);
    if (!directory) {
        if (directory.error().system_errno == ENOTDIR) return tl::unexpected(no_store(*whole));
        return tl::unexpected(std::move(directory.error()));
    }
    const auto read = [&](const std::string& name) {
        return read_metadata_file(directory->get(), name, *whole + "/" + name, *access);
    };
    // Nothing is touched of what cannot be removed in the end. Damaged files do not keep a store from being
    // destroyed.
    std::string own_arena;
    StoreId own_id{};
    if (auto metadata = read(std::string(kMetadataName)); !metadata) {
        const bool may_remove = metadata.error().code != Code::kPermission;
        const bool knows_all = metadata.error().code != Code::kIncompatible;  // that there is to be removed
        if (!may_remove || !knows_all) return tl::unexpected(std::move(metadata.error()));
    } else if (*metadata) {
        int cause = 0;
        const ArenaLock lock = ArenaLock::on(directory->get(), std::string(kMetadataName), &cause);
        auto own = find_own_arena(**metadata, *whole, lock, *access, false);
        if (!own) return tl::unexpected(std::move(own.error()));
        if (own->kinship == Kinship::kOrphan) {  // from then on it is known for this store's
            auto taken = attach_existing(path, options);
            if (!taken) return tl::unexpected(std::move(taken.error()));
        }
        own_arena = own->arena_path;
        own_id = (*metadata)->id;
        (*metadata)->arena_path = own_arena;
        auto file = open_arena_file(*whole, **metadata, *access);
        if (!file && file.error().code == Code::kPermission) return tl::unexpected(std::move(file.error()));
        if (file) {
            auto removable = check_removable((*metadata)->arena_path, file->descriptor.get());
            if (!removable) return removable;
        }
    }
    const auto is_unused = [&](const std::string& name) {
        return check_unused(directory->get(), *whole, name, own_arena, *access, options.force);
    };
    if (auto unused = is_unused(std::string(kMetadataName)); !unused) return unused;
    // The metadata goes first, by a rename: of several who destroy one has it, and it is that store, whichever is
    // there at this moment, that is destroyed. From here on an open starts clean.
    const auto set_aside = [&] { return set_metadata_aside(directory->get(), std::string(kDestroyedPrefix)); };
    auto aside = set_aside();
    if (!aside && restore_metadata(directory->get(), *whole, *access)) aside = set_aside();
    if (!aside) {
        if (aside.error().code != Code::kNotFound) return tl::unexpected(std::move(aside.error()));
        // Somebody may have been killed over it.
        if (finish_destructions(directory->get(), *whole, *access)) ::rmdir(whole->c_str());
        return tl::unexpected(no_store(*whole));
    }
    crash_point(CrashPoint::kMetadataAside);
    // A process that has attached since, and took its lock before it looked for store.meta again, keeps the store;
    // one that looks later finds no store.
    if (auto unused = is_unused(*aside); !unused && put_metadata_back(directory->get(), *aside)) return unused;
    int untold = 0;
    if (auto metadata = read(*aside); metadata && *metadata) {  // damaged, it names no arena
        const auto arena = (*metadata)->id == own_id ? std::optional(own_arena)
                                                     : arena_of_aside(directory->get(), *aside, **metadata);
        const std::string arena_path = arena.value_or((*metadata)->arena_path);
        (*metadata)->arena_path = arena_path;
        if (arena) {
            if (auto file = open_arena_file(*whole, **metadata, *access)) {
                untold = announce_destruction(file->descriptor.get());
            }
        }
        crash_point(CrashPoint::kDestructionAnnounced);
        if (arena && ::unlink(arena_path.c_str()) != 0 && errno != ENOENT) {
            return failed("cannot remove arena " + arena_path, errno);
        }
        crash_point(CrashPoint::kArenaUnlinked);
        // After it was announced, so that no spiller makes another.
        if (const int cause = remove_spill_files_of(directory->get(), *aside, **metadata); cause != 0) {
            std::string what = "cannot remove spill files in " + (*metadata)->spill_folder;
            if (cause == EPERM) {
                what +=
                    " of another member of the store's group, as the folder has the sticky bit (they are empty "
                    "now; "
                    "let that member destroy the store too)";
            }
            return failed(what, cause);
        }
        crash_point(CrashPoint::kSpillFilesRemoved);
        sweep_leftovers(directory->get(), *whole, folder_of(arena_path), *access);
    }
    if (::unlinkat(directory->get(), aside->c_str(), 0) != 0 && errno != ENOENT) {
        return failed(fmt::format("cannot remove {}/{}", *whole, *aside), errno);
    }
    crash_point(CrashPoint::kAsideRemoved);
    if (::rmdir(whole->c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT) {
        return failed("cannot remove store directory " + *whole, errno);
    }
    crash_point(CrashPoint::kDirectoryRemoved);
    if (untold != 0) return failed("the store is removed, but those who have it open could not be told", untold);
    return {};
}

}  // namespace shoal
