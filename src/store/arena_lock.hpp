// Which arena is the store's: locks on bytes of store.meta. That file goes with the store's directory, so processes
// meet in it that have each a /dev/shm of their own (two containers with one volume), and processes whose arena has
// lost its name.
//
//   arena byte     shared by each process that has an arena of the store open; the arena's inode says which byte
//   restorer byte  shared by each process that restores the store; the inode of the arena's folder says which byte
//
// A process first takes its byte, and then looks for locks on all other bytes. Where it finds one it lets its own
// go and fails with kInUse. The kernel orders the locks of one file: of two processes with different arenas at
// least one sees the other. No lock is exclusive, so a process that is stopped anywhere keeps no other out that
// uses the same arena, or that restores into the same folder; of those the link of the arena's name decides.
//
// Thread safety: const functions; different objects. No function blocks. A crash leaves nothing: the kernel
// unlocks. Invariants: I1 all processes that are attached to the store have one arena open, whatever they can reach
// by name;
//             I2 no process restores the store while another has an arena of it open.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include <shoal/error.hpp>

#include "arena/lock_description.hpp"

namespace shoal {

class ArenaLock {
public:
    ArenaLock() noexcept = default;
    // On the file `name` (store.meta, or what it was renamed to) in the directory that is open as `directory`.
    // None, and in `cause` the errno, where it cannot be opened.
    [[nodiscard]] static ArenaLock on(int directory, const std::string& name, int* cause);
    // On a new store.meta, open as `descriptor`; `path` is its hidden one, if it has any.
    [[nodiscard]] static ArenaLock on_new(int descriptor, const std::string& path, int* cause);

    [[nodiscard]] bool exists() const noexcept { return lock_.exists(); }
    [[nodiscard]] int number() const noexcept { return lock_.number(); }    // to read the file by
    [[nodiscard]] int refusal() const noexcept { return lock_.refusal(); }  // LockDescription::refusal
    void set_path(std::string path) noexcept { lock_.set_path(std::move(path)); }

    // Whether `name` in the directory still means the file.
    [[nodiscard]] bool is_at(int directory, const std::string& name) const noexcept;

    // This process has the arena open, by a file with that status in a folder with that status, until the object's
    // end. 0; EBUSY where another process has another arena of the store open, or restores into another folder;
    // else an errno. A restore of this object's has ended then.
    [[nodiscard]] int join(const struct stat& arena, const struct stat& folder) noexcept;
    // This process restores the store into the folder, until join() or the object's end. 0; EBUSY where another
    // process has an arena of the store open, or restores into another folder; else an errno.
    [[nodiscard]] int begin_restore(const struct stat& folder) noexcept;
    // A child of fork has its own lock from now on. After join().
    void share_with_children() noexcept;

    // Whether another description has a lock; those of that arena, and of that folder, do not count. Null: none.
    [[nodiscard]] bool has_others(const struct stat* arena, const struct stat* folder) const noexcept;

    // Whether another description has joined with that arena: then it has this very file open.
    [[nodiscard]] bool is_shared_with(const struct stat& arena) const noexcept;
    // The folder of the file as it is called now; nothing where it has no name any more, or that cannot be told.
    [[nodiscard]] std::optional<std::string> folder_now() const;

    // "process 12 "name" and 2 others", of those that have a lock, as far as /proc shows it.
    [[nodiscard]] std::string others() const;

private:
    explicit ArenaLock(LockDescription&& lock) noexcept : lock_(std::move(lock)) {}
    [[nodiscard]] int take(std::uint64_t byte, const struct stat* arena, const struct stat& folder) noexcept;

    LockDescription lock_;
    std::uint64_t joined_ = kNone;
    std::uint64_t restoring_ = kNone;
    static constexpr std::uint64_t kNone = ~0ULL;
};

// Errors, kInUse, that name the processes and say what to do. Cost: a look at every process in /proc.
// The arena of this name is there, and others use another one:
[[nodiscard]] Error has_another_arena(const std::string& path, const std::string& arena_path,
                                      const ArenaLock& lock);
// No arena of this name is there, and others use one:
[[nodiscard]] Error cannot_restore(const std::string& path, const std::string& arena_path, const ArenaLock& lock);
// The same, and the store is only to be read:
[[nodiscard]] Error cannot_read_elsewhere(const std::string& path, const std::string& arena_path,
                                          const ArenaLock& lock);
[[nodiscard]] Error is_in_use(const std::string& path, const ArenaLock& lock);            // not to be destroyed
[[nodiscard]] Error is_in_use_elsewhere(const std::string& path, const ArenaLock& lock);  // not even by force

}  // namespace shoal
