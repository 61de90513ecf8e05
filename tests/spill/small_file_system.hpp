// A small file system of its own on a folder, that another file fills in part until it is removed. Needs root; a
// loop device for ext4.
#pragma once

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "../store/temporary_store.hpp"

namespace shoal_test {

class SmallFileSystem {
public:
    enum class Kind { kTmpfs, kExt4 };

    // Has `free_bytes` and a little until make_room(), and some 64 MiB from then on.
    SmallFileSystem(Kind kind, const std::string& folder, std::uint64_t free_bytes) : folder_(folder) {
        if (kind == Kind::kTmpfs) {
            if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64m") != 0) why_not_ = std::strerror(errno);
        } else {
            const std::string image = image_folder_ / "image";
            const std::string make = "truncate -s 96M '" + image +
                                     "' && PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -m 0 '" + image +
                                     "' && mount -o loop '" + image + "' '" + folder + "' 2>/dev/null";
            if (std::system(make.c_str()) != 0) why_not_ = "no ext4 on a loop device";
        }
        if (!why_not_.empty()) return;
        const std::uint64_t available = std::filesystem::space(folder).available;
        const int filler = ::open(filler_path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (available > free_bytes &&
            ::posix_fallocate(filler, 0, static_cast<off_t>(available - free_bytes)) != 0) {
            why_not_ = "it cannot be filled";
        }
        ::close(filler);
    }
    SmallFileSystem(const SmallFileSystem&) = delete;
    SmallFileSystem& operator=(const SmallFileSystem&) = delete;
    ~SmallFileSystem() { ::umount2(folder_.c_str(), MNT_DETACH); }

    // Empty where all went well.
    [[nodiscard]] const std::string& why_not() const { return why_not_; }
    [[nodiscard]] bool make_room() const { return ::unlink(filler_path().c_str()) == 0; }

private:
    [[nodiscard]] std::string filler_path() const { return folder_ + "/filler"; }

    std::string folder_;
    TemporaryDirectory image_folder_;
    std::string why_not_;
};

}  // namespace shoal_test
