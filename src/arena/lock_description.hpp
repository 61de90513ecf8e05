// An open file description for locks on bytes of a file (arena/byte_lock.hpp): the one type that takes them, and
// that knows every way in which such a lock can outlive its end or end too early.
//
// The kernel ends a lock by an unlock, or when the last reference to the description goes. References are numbers,
// in this process and in children that fork has copied them to, and mappings that were made of the description. So:
//   - the destructor unlocks before it closes: a copy of the number in a child keeps nothing locked;
//   - a child closes its copies before fork returns there: the parent's death ends the parent's locks;
//   - a description that serves a store (keep) is also held by a page of memory that no child inherits: a program
//   that
//     closes all numbers (close_range) does not unlock the slots of its living threads;
//   - a child of a process that may go on with the store there (inherit) finds a description of its own in its
//   place,
//     opened before the fork, with a shared lock on the byte that says so; where there is none to be had, none:
//     refusal() says why, number() is -1, and so every lock is refused with EBADF;
//   - number() is compared with the file before each use: it never means another file, or another description of
//   ours.
//
// Thread safety: const functions; different objects. A fork in another thread waits while a description is opened
// or closed. A vfork or posix_spawn child runs no handler: it closes its copies with exec (O_CLOEXEC). A crash
// leaves nothing: the kernel unlocks. Invariants: I1 a lock of this process's is on a description that the fork
// handler has known since it was opened;
//             I2 when fork has returned in a child, the child has no reference to a description of the parent's;
//             I3 only a mapping's own description is in a mapping, and that mapping is of one page, which no child
//             has:
//                the arena itself is mapped of another description, on which there is never a lock.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace shoal {

class LockDescription {
public:
    LockDescription() noexcept = default;
    LockDescription(LockDescription&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    LockDescription& operator=(LockDescription&& other) noexcept {
        std::swap(node_, other.node_);
        return *this;
    }
    LockDescription(const LockDescription&) = delete;
    LockDescription& operator=(const LockDescription&) = delete;
    ~LockDescription();  // unlocks all, and closes

    // A new description of the file that is open as `descriptor`: through /proc, or, where there is no /proc, by
    // `path` if that still means the file. None, and in `cause` the errno, where neither works.
    [[nodiscard]] static LockDescription of(int descriptor, const std::string& path, int* cause);
    // Of the file with that name in the directory that is open as `directory`; no link is followed.
    [[nodiscard]] static LockDescription at(int directory, const std::string& name, int* cause);
    // The same, and of a file that the process may not write: for shared locks alone.
    [[nodiscard]] static LockDescription to_share(int directory, const std::string& name, int* cause);
    // Another one of the same file.
    [[nodiscard]] LockDescription another(int* cause) const;
    // Of a file that has no name and that nobody reaches but by inheriting it, where there is no /proc: the
    // description of `descriptor` itself. Children get none of their own.
    [[nodiscard]] static LockDescription shared(int descriptor, int* cause);

    // The file has this path from now on.
    void set_path(std::string path) noexcept;

    [[nodiscard]] bool exists() const noexcept { return node_ != nullptr; }
    // To lock by. -1: there is none, the program has closed it, or it was the parent's (refusal).
    [[nodiscard]] int number() const noexcept;
    // In a child of fork that has no description of its own here: why not, an errno. Else 0.
    [[nodiscard]] int refusal() const noexcept;

    // From now on the locks stand until the object's end, whatever becomes of the number. 0 or an errno.
    [[nodiscard]] int keep() noexcept;
    // From now on a child of fork gets a description of its own, which shares that byte. After keep().
    void inherit(std::uint64_t shared_byte) noexcept;

private:
    struct Node;
    friend class LockDescriptions;
    explicit LockDescription(Node* node) noexcept : node_(node) {}

    Node* node_ = nullptr;
};

}  // namespace shoal
