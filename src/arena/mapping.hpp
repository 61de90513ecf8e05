// The arena in this process: an open file, mapped whole, made real piece by piece.
//
// What stands in the arena may be damaged, or written by somebody who means harm, and is never believed so far that
// it leads outside: at() takes any offset. One beyond the end becomes the end, where private zero memory of this
// process follows; objects are at most kGuardBytes long, so one that begins near the end stays inside of that. What
// is longer, or found by adding to a pointer, is asked for first: holds().
//
// A mapping for reading alone goes through the second look with every offset, which costs at() for writing nothing.
//
// It is mapped of a description without locks, which parent and child share after a fork; the locks are on another
// one (arena/lock_description.hpp), which the child has of its own.
//
// Thread safety: const after construction but for descriptor(), which the fork handler replaces in the child.
// A crash leaves nothing: the kernel unmaps.
// Invariants: I1 at<T>() of any offset gives an aligned T, of which kGuardBytes can be read and written;
//             I2 behind those no byte can: what runs on there stops the process, and reaches nothing else.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <boost/interprocess/mapped_region.hpp>
#include <shoal/error.hpp>

#include "arena/atomic.hpp"
#include "arena/layout.hpp"
#include "arena/lock_description.hpp"
#include "arena/page_owner.hpp"
#include "arena/presence.hpp"

namespace shoal {

// How far this process may write into a file (ulimit -f). Beyond it the kernel would not only refuse but raise
// SIGXFSZ, which ends the process.
[[nodiscard]] std::uint64_t file_size_limit() noexcept;

// More than the longest claim (248 KiB), key (64 KiB) or node (32 KiB).
inline constexpr std::uint64_t kGuardBytes = 1ULL << 20;

// Addresses behind the arena that are this process's own.
class Guard {
public:
    Guard() noexcept = default;
    Guard(void* begin, std::size_t bytes) noexcept : begin_(begin), bytes_(bytes) {}
    Guard(Guard&& other) noexcept : begin_(std::exchange(other.begin_, nullptr)), bytes_(other.bytes_) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
        if (begin_ != nullptr) ::munmap(begin_, bytes_);
    }

private:
    void* begin_ = nullptr;
    std::size_t bytes_ = 0;
};

class Mapping {
public:
    enum class For : std::uint8_t { kReadingAndWriting, kReading };

    // Maps `bytes` of the file that is open as `descriptor`, on which there are no locks, and keeps `locks`, of the
    // same file. The descriptor remains the caller's. kMemoryLimit, kSystem.
    [[nodiscard]] static Result<Mapping> map(int descriptor, LockDescription&& locks, std::uint64_t bytes,
                                             const std::string& name, For use = For::kReadingAndWriting);

    Mapping(Mapping&& other) noexcept = default;
    Mapping& operator=(Mapping&&) = delete;
    ~Mapping() = default;

    template <class T>
    [[nodiscard]] T* at(ArenaOffset offset) const noexcept {
        return at<T>(raw(offset));
    }
    template <class T>
    [[nodiscard]] T* at(std::uint64_t offset) const noexcept {
        // A branch, not a conditional move: foreseen, it adds nothing to the way from one offset to the next.
        if (offset >= reach_ || offset % alignof(T) != 0) [[unlikely]]
            offset = place_inside(offset, alignof(T));
        return reinterpret_cast<T*>(base_ + offset);
    }
    // Where a field of the arena lies.
    [[nodiscard]] std::uint64_t offset_of(const void* field) const noexcept {
        return static_cast<std::uint64_t>(static_cast<const std::byte*>(field) - base_);
    }
    // Whether [offset, offset + length) lies in the arena.
    [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t length) const noexcept {
        return length <= bytes_ && offset <= bytes_ - length;
    }
    [[nodiscard]] ArenaHeader& header() const noexcept { return *reinterpret_cast<ArenaHeader*>(base_); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    // A store to it faults; it is looked at by glances (arena/glance.hpp).
    [[nodiscard]] bool is_read_only() const noexcept { return reach_ == 0; }
    [[nodiscard]] const LockDescription& locks() const noexcept { return locks_; }
    // To lock, write and allocate by, at this moment; -1 where there is none: see LockDescription::number. Cost: a
    // system call.
    [[nodiscard]] int descriptor() const noexcept { return locks_.number(); }
    // The file has a name from now on, which has_lost_name() looks for. Before other threads use this object.
    void watch_name() noexcept { is_named_ = true; }
    // Whether the file's name was removed: only those that have it open reach it then. Cost: two system calls.
    [[nodiscard]] bool has_lost_name() const noexcept { return has_lost_name(descriptor()); }
    void set_path(std::string path) noexcept { locks_.set_path(std::move(path)); }  // of the file, once it is named
    // A child of fork may use this object from now on: see LockDescription::inherit.
    void share_with_children() noexcept { locks_.inherit(kPresenceByte); }

    // Allocate the file's bytes [offset, offset + length), so that writing there cannot fault for lack of space. 0
    // or an errno (ENOSPC; EFBIG beyond file_size_limit; EBADF without a descriptor; ESTALE, of write_zeroes, where
    // the file has lost its name, so that nothing more is kept in it). allocate() keeps what is
    // there and may be repeated by anyone; where the file system has no fallocate (ext2, ramfs), it writes to the
    // pages by faults, which takes Linux 5.14 (EOPNOTSUPP before that). write_zeroes() is for whoever owns the
    // bytes alone: what fallocate gives is not yet zeroed inside the kernel, and then each kernel page faults at
    // its first write; what was written once is mapped 16 kernel pages at a fault.
    [[nodiscard]] int allocate(std::uint64_t offset, std::uint64_t length) const noexcept;
    [[nodiscard]] int write_zeroes(std::uint64_t offset, std::uint64_t length) const noexcept;

private:
    friend class Glance;

    [[nodiscard]] bool has_lost_name(int arena) const noexcept;
    [[nodiscard]] int populate(std::uint64_t offset, std::uint64_t length) const noexcept;

    [[nodiscard, gnu::cold, gnu::noinline]] std::uint64_t place_inside(std::uint64_t offset,
                                                                       std::uint64_t alignment) const noexcept {
        if (is_read_only() && glance_epoch_ != 0 && !glance_holds()) offset = bytes_;
        return (offset < bytes_ ? offset : bytes_) & ~(alignment - 1);  // at bytes_ begins the guard
    }
    [[nodiscard]] bool glance_holds() const noexcept {
        thread_fence(std::memory_order_acquire);  // what was read was there before the epoch that is read now
        // relaxed: by the fence
        return header().epoch.load(std::memory_order_relaxed) <= glance_epoch_ + 1;
    }
    // In which this thread's glance has begun; 0: it has none.
    static inline thread_local constinit std::uint64_t glance_epoch_ = 0;

    Mapping(LockDescription&& locks, boost::interprocess::mapped_region&& region, Guard&& guard,
            For use = For::kReadingAndWriting) noexcept;

    LockDescription locks_;
    boost::interprocess::mapped_region region_;
    Guard guard_;
    std::byte* base_;
    std::uint64_t bytes_;
    std::uint64_t reach_;  // below it at() takes an offset without a second look: bytes_, or 0 for reading alone
    bool is_named_ = false;
};

// A slot's number in the process table; kNoSlotNumber for one that is not in it, as a repair has
// (verify/verify.cpp).
[[nodiscard]] inline std::uint32_t slot_number_of(const Mapping& mapping, const Slot& slot) noexcept {
    const auto table = reinterpret_cast<std::uintptr_t>(mapping.at<std::byte>(kSlotsAt));
    const std::uintptr_t number = (reinterpret_cast<std::uintptr_t>(&slot) - table) / sizeof(Slot);
    return number < kSlots ? static_cast<std::uint32_t>(number) : kNoSlotNumber;
}

}  // namespace shoal
