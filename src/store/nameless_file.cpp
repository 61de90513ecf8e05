#include "store/nameless_file.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "arena/presence.hpp"

namespace shoal {
namespace {

constexpr std::string_view kHiddenPrefix = ".shoal-";
constexpr std::size_t kHiddenDigits = 16;
constexpr int kTurns = 100;  // of those against us who take a file for abandoned that is not locked yet

bool is_hidden_name(std::string_view name) {
    return name.size() == kHiddenPrefix.size() + kHiddenDigits && name.starts_with(kHiddenPrefix) &&
           name.substr(kHiddenPrefix.size()).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string open_file(int descriptor) { return fmt::format("/proc/self/fd/{}", descriptor); }

// A new file under a hidden name, which `lock` keeps; -1 and errno.
int open_hidden(int directory, std::string* hidden_name, LockDescription* lock) {
    for (int turn = 0; turn < kTurns; ++turn) {
        std::uint64_t unique = 0;
        if (::getrandom(&unique, sizeof unique, 0) != static_cast<ssize_t>(sizeof unique)) return -1;
        const std::string name = fmt::format("{}{:016x}", kHiddenPrefix, unique);
        constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
        Descriptor file(::openat(directory, name.c_str(), kFlags | O_CREAT | O_EXCL, 0600));
        if (file.get() < 0) return -1;
        crash_point(CrashPoint::kHiddenNamed);
        int cause = 0;
        LockDescription again = LockDescription::at(directory, name, &cause);
        if (again.exists()) cause = claim_hidden_name(again);
        struct stat info {};
        if (cause == 0 && ::fstat(file.get(), &info) == 0 && info.st_nlink != 0) {
            *hidden_name = name;
            *lock = std::move(again);
            return file.release();
        }
        ::unlinkat(directory, name.c_str(), 0);
        errno = cause;
        if (cause != 0 && cause != EAGAIN && cause != EACCES && cause != ENOENT) return -1;
    }
    errno = EBUSY;
    return -1;
}

// A file without a name gets one by way of /proc, which a chroot or a sandbox may not have.
bool can_be_named_later() { return ::access("/proc/self/fd", F_OK) == 0; }

int open_in(int directory, std::string* hidden_name, LockDescription* lock) {
    if (!can_be_named_later()) return open_hidden(directory, hidden_name, lock);
    const int nameless = ::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (nameless >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return nameless;
    return open_hidden(directory, hidden_name, lock);
}

}  // namespace

NamelessFile::NamelessFile(int directory, const Access& access)
    : directory_(directory), descriptor_(open_in(directory, &hidden_name_, &lock_)) {
    cause_ = descriptor_.get() < 0 ? errno : access.grant_file(descriptor_.get());
}

NamelessFile::~NamelessFile() { give_up_hidden_name(); }

void NamelessFile::give_up_hidden_name() noexcept {
    if (!hidden_name_.empty()) ::unlinkat(directory_, hidden_name_.c_str(), 0);
    hidden_name_.clear();
}

std::string NamelessFile::hidden_path(const std::string& directory) const {
    return hidden_name_.empty() ? std::string() : directory + "/" + hidden_name_;
}

int NamelessFile::link(const std::string& name) {
    if (hidden_name_.empty()) {
        const std::string file = open_file(get());
        const int linked = ::linkat(AT_FDCWD, file.c_str(), directory_, name.c_str(), AT_SYMLINK_FOLLOW);
        return linked == 0 ? 0 : errno;
    }
    if (::linkat(directory_, hidden_name_.c_str(), directory_, name.c_str(), 0) != 0) return errno;
    crash_point(CrashPoint::kHiddenLinked);
    give_up_hidden_name();
    return 0;
}

std::optional<Abandoned> remove_abandoned(int directory, const std::string& name, bool dry_run) noexcept {
    if (!is_hidden_name(name)) return std::nullopt;
    int cause = 0;
    const LockDescription file = LockDescription::at(directory, name, &cause);
    struct stat info {};
    if (!file.exists() || ::fstat(file.number(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    if (dry_run ? is_hidden_name_claimed(file) : claim_hidden_name(file) != 0) return std::nullopt;
    // Where it had its name already, the hidden one takes nothing.
    Abandoned found{info.st_nlink > 1 ? 0 : static_cast<std::uint64_t>(info.st_blocks) * 512, 0};
    if (!dry_run && ::unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT) found.cause = errno;
    return found;
}

}  // namespace shoal
