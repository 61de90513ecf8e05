#include "store/nameless_file.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

namespace shoal {
namespace {

int open_in(int directory, std::string* temporary) {
    const int nameless = ::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (nameless >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return nameless;
    std::uint64_t unique = 0;
    if (::getrandom(&unique, sizeof unique, 0) != static_cast<ssize_t>(sizeof unique)) return -1;
    *temporary = fmt::format(".shoal-{:016x}", unique);
    const int named =
        ::openat(directory, temporary->c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (named < 0) temporary->clear();
    return named;
}

}  // namespace

NamelessFile::NamelessFile(int directory, const Access& access)
    : directory_(directory), descriptor_(open_in(directory, &temporary_)) {
    cause_ = descriptor_.get() < 0 ? errno : access.grant_file(descriptor_.get());
}

NamelessFile::~NamelessFile() {
    if (!temporary_.empty()) ::unlinkat(directory_, temporary_.c_str(), 0);
}

int NamelessFile::link(int descriptor, const std::string& name) const {
    const int linked = temporary_.empty() ? ::linkat(AT_FDCWD, fmt::format("/proc/self/fd/{}", descriptor).c_str(),
                                                     directory_, name.c_str(), AT_SYMLINK_FOLLOW)
                                          : ::linkat(directory_, temporary_.c_str(), directory_, name.c_str(), 0);
    return linked == 0 ? 0 : errno;
}

}  // namespace shoal
