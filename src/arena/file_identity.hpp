// Which file a descriptor's number means, to be compared before each use of a number that is kept for long: the
// program may close the number (close_range, as daemons do) and get it again for another file.
//
// Thread safety: every function; async-signal-safe. Between the look and the use another thread can still close the
// number: what a program closes under a call of another thread is its own affair.
#pragma once

#include <sys/stat.h>

namespace shoal {

class FileIdentity {
public:
    FileIdentity() noexcept = default;
    // Of no file where `descriptor` is not open.
    explicit FileIdentity(int descriptor) noexcept {
        struct stat info {};
        if (::fstat(descriptor, &info) == 0) *this = FileIdentity(info);
    }
    explicit FileIdentity(const struct stat& info) noexcept
        : device_(info.st_dev), inode_(info.st_ino), known_(true) {}

    [[nodiscard]] bool is_of(const struct stat& info) const noexcept {
        return known_ && info.st_dev == device_ && info.st_ino == inode_;
    }
    // Whether the number means this file now. Cost: a system call, some 0.2 us.
    [[nodiscard]] bool is_of(int descriptor) const noexcept {
        struct stat info {};
        return descriptor >= 0 && ::fstat(descriptor, &info) == 0 && is_of(info);
    }

private:
    dev_t device_ = 0;
    ino_t inode_ = 0;
    bool known_ = false;
};

}  // namespace shoal
