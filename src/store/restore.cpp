#include "store/restore.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "arena/presence.hpp"
#include "arena/system_failure.hpp"
#include "spill/checkpoint_name.hpp"
#include "spill/checkpoint_reader.hpp"
#include "spill/files.hpp"
#include "spill/restores.hpp"
#include "store/home.hpp"
#include "store/nameless_file.hpp"
#include "store/place.hpp"

namespace shoal {
namespace {

// The newest checkpoint has replaced those before it: where it cannot be read, no older one takes its place. A file
// of another owner is passed over, where there is one of the store's: anybody may put a file into a folder like
// /var/tmp.
Result<CheckpointReader> open_newest(const Metadata& metadata, const CheckpointReader::Check& check) {
    const std::string id = id_text(metadata.id);
    for (bool replaced = true; replaced;) {
        replaced = false;
        const auto all = checkpoints_in(metadata.spill_folder, id);
        if (!all) return tl::unexpected(all.error());
        std::optional<Error> refused;
        for (const CheckpointName& name : *all) {
            if (name.is_unpublished) continue;
            const std::string path = checkpoint_path(metadata.spill_folder, id, name.number);
            auto opened = CheckpointReader::open(path, metadata.id, check, name.number);
            if (opened) return opened;
            replaced = opened.error().code == Code::kNotFound;  // by another, who has restored the store
            if (replaced) break;
            if (opened.error().code != Code::kPermission) return opened;
            if (!refused) refused = std::move(opened.error());
        }
        if (refused && !replaced) return tl::unexpected(std::move(*refused));
    }
    return tl::unexpected(Error{Code::kNotFound, "there is no checkpoint in " + metadata.spill_folder, ENOENT});
}

// What the arena is made anew with.
Options options_as_before(const Options& options, const Metadata& metadata, const CheckpointHeader& header) {
    Options as_before = options;
    if (as_before.memory_limit_bytes == 0) as_before.memory_limit_bytes = header.arena_bytes;
    as_before.first_segment_bytes = header.first_segment_bytes;
    as_before.max_segment_bytes = header.max_segment_bytes;
    as_before.spill_dir = metadata.spill_folder;
    as_before.temporary = false;
    return as_before;
}

// Takes the name of an arena away that is on a disk, of another boot, and in nobody's hands: only a process that
// has its presence byte alone does, and no process can open it then, so the name is that file's until it is gone.
// 0, also where another arena has the name; or an errno.
int remove_outdated(int folder, const std::string& name, const std::string& path, const Metadata& metadata,
                    const Access& access) {
    const auto file = open_arena_file(path, metadata, access);
    if (!file || !file->outdated) return 0;
    int cause = 0;
    const LockDescription locks = LockDescription::of(file->descriptor.get(), metadata.arena_path, &cause);
    if (!locks.exists()) return cause;
    if (claim_removal(locks) != 0) return 0;  // another is at it, or has it open
    struct stat info {};
    if (::fstat(locks.number(), &info) != 0 || info.st_nlink == 0) return 0;
    if (::unlinkat(folder, name.c_str(), 0) != 0 && errno != ENOENT) return errno;
    crash_point(CrashPoint::kOutdatedRemoved);
    return 0;
}

}  // namespace

Result<std::optional<OpenedArena>> restore_store(int directory, const std::string& path, const Metadata& metadata,
                                                 const Options& options, const Access& access,
                                                 const FillArena& fill, ArenaLock& lock, bool outdated) {
    const auto look_again = [] { return Result<std::optional<OpenedArena>>(std::nullopt); };
    const std::size_t slash = metadata.arena_path.rfind('/');
    const std::string dir = slash == 0 ? "/" : metadata.arena_path.substr(0, slash);
    const std::string name = metadata.arena_path.substr(slash + 1);
    const Descriptor folder(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct stat above {};
    if (folder.get() < 0 || ::fstat(folder.get(), &above) != 0) {
        return failed("cannot restore the arena in " + dir, errno);
    }
    const auto is_there = [&] { return ::faccessat(folder.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0; };
    if (const int refused = lock.begin_restore(above); refused != 0) {
        if (refused != EBUSY) return failed(fmt::format("cannot lock {}/{}", path, kMetadataName), refused);
        if (is_there()) return look_again();  // another has restored it
        return tl::unexpected(Error{Code::kInUse, ""});
    }
    crash_point(CrashPoint::kRestoreLocked);
    if (metadata.spill_folder.empty()) return tl::unexpected(never_synced(path, metadata.arena_path, outdated));
    const auto check = [&](const struct stat& info, const std::string& what) {
        return access.check_file(info, what);
    };
    auto checkpoint = open_newest(metadata, check);
    if (!checkpoint) {
        if (checkpoint.error().code == Code::kNotFound) {
            return tl::unexpected(never_synced(path, metadata.arena_path, outdated));
        }
        return tl::unexpected(std::move(checkpoint.error()));
    }
    const Options as_before = options_as_before(options, metadata, checkpoint->header());
    auto bytes = arena_bytes_for(as_before, 0);
    if (!bytes) return tl::unexpected(std::move(bytes.error()));

    const auto restore = next_restore(metadata.spill_folder, id_text(metadata.id), check);
    if (!restore) return tl::unexpected(restore.error());
    NamelessFile file(folder.get(), access);
    if (file.cause() != 0) return failed("cannot restore the arena in " + dir, file.cause());
    auto mapping = build_arena(file.get(),
                               {metadata.arena_path, dir, *bytes, metadata.id, arena_id_of(metadata.arena_path),
                                path, file.hidden_path(dir), identity_of(lock.number()), *restore},
                               as_before, fill, &*checkpoint);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    int cause = begin_creation(mapping->locks());
    if (cause == 0) cause = announce_presence(mapping->locks());
    if (cause != 0) return failed("cannot lock the arena", cause);
    crash_point(CrashPoint::kArenaRestored);
    if (outdated) cause = remove_outdated(folder.get(), name, path, metadata, access);
    if (cause != 0) return failed("cannot remove arena " + metadata.arena_path, cause);
    cause = file.link(name);
    if (cause == EEXIST) return look_again();  // another was quicker
    if (cause != 0) return failed("cannot name arena " + metadata.arena_path, cause);
    mapping->set_path(metadata.arena_path);
    crash_point(CrashPoint::kRestoredNamed);
    const auto take_back = [&] {
        static_cast<void>(announce_destruction(mapping->descriptor()));
        ::unlinkat(folder.get(), name.c_str(), 0);
    };
    // Looked at again: a process may have opened an arena that was there before, and have lost its name to others
    // than us since it took its lock.
    struct stat arena {};
    const int refused = ::fstat(mapping->descriptor(), &arena) != 0 ? errno : lock.join(arena, above);
    if (refused != 0) {
        take_back();
        if (refused != EBUSY) return failed(fmt::format("cannot lock {}/{}", path, kMetadataName), refused);
        return tl::unexpected(Error{Code::kInUse, ""});
    }
    crash_point(CrashPoint::kRestoredJoined);
    // A destroyer takes the metadata away first, then what it finds of an arena: it has seen ours, or we see that.
    auto now =
        read_metadata_file(directory, std::string(kMetadataName), path + "/" + std::string(kMetadataName), access);
    if (!now || !*now || (*now)->id != metadata.id) {
        take_back();
        return look_again();
    }
    const auto grant = [&](int descriptor) { return access.grant_file(descriptor); };
    const NewestRestore newest{*restore, identity_of(lock.number())};
    if (auto said = say_restore(metadata.spill_folder, id_text(metadata.id), newest, grant); !said) {
        take_back();
        return tl::unexpected(std::move(said.error()));
    }
    crash_point(CrashPoint::kRestoreSaid);
    finish_creation(mapping->locks());
    return std::optional(OpenedArena{std::move(*mapping), path, metadata.arena_path, "", true, std::move(lock)});
}

Result<OpenedArena> restore_to_read(const std::string& path, const Metadata& metadata, const Options& options,
                                    const Access& access, const FillArena& fill, bool outdated) {
    if (metadata.spill_folder.empty()) return tl::unexpected(never_synced(path, metadata.arena_path, outdated));
    const std::string id = id_text(metadata.id);
    const auto check = [&](const struct stat& info, const std::string& what) {
        return access.check_file(info, what);
    };
    auto checkpoint = open_newest(metadata, check);
    if (!checkpoint) {
        if (checkpoint.error().code == Code::kNotFound) {
            return tl::unexpected(never_synced(path, metadata.arena_path, outdated));
        }
        return tl::unexpected(std::move(checkpoint.error()));
    }
    const std::string checkpoint_at = checkpoint_path(metadata.spill_folder, id, checkpoint->number());
    Options as_before = options_as_before(options, metadata, checkpoint->header());
    as_before.memory_limit_bytes = checkpoint->header().arena_bytes;  // no more than that becomes real
    as_before.reserve_bytes = 0;
    auto bytes = arena_bytes_for(as_before, 0);
    if (!bytes) return tl::unexpected(std::move(bytes.error()));
    const auto restore = next_restore(metadata.spill_folder, id, check);
    if (!restore) return tl::unexpected(restore.error());
    const Descriptor file(::memfd_create("shoal", MFD_CLOEXEC));
    if (file.get() < 0) return failed("memfd_create", errno);
    // Spill files are taken that belong with the arena (belongs_with): as the checkpoint does. Where this process
    // may not give its file that owner, it may read no file of that owner either, but by the group.
    struct stat owner {};
    if (::stat(checkpoint_at.c_str(), &owner) == 0 && owner.st_uid != ::geteuid()) {
        static_cast<void>(::fchown(file.get(), owner.st_uid, owner.st_gid));
    }
    if (const int cause = access.grant_file(file.get()); cause != 0) return failed("memfd_create", cause);
    auto mapping = build_arena(file.get(),
                               {"in memory",
                                "the machine's memory",
                                *bytes,
                                metadata.id,
                                arena_id_of(metadata.arena_path),
                                path,
                                "",
                                {},
                                *restore},
                               as_before, fill, &*checkpoint);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    return OpenedArena{std::move(*mapping),
                       path,
                       "",
                       "only read: in this process's memory, made of the checkpoint " + checkpoint_at,
                       false,
                       {},
                       checkpoint_at};
}

}  // namespace shoal
