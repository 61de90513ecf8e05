#include "shuffle/output_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>

namespace shoal::shuffling {
namespace {

namespace fs = std::filesystem;

[[nodiscard]] mode_t current_umask() noexcept {
    const mode_t mask = umask(0);
    umask(mask);
    return mask;
}

[[nodiscard]] bool same_place(int fd, const std::string& path) noexcept {
    struct stat held {};
    struct stat named {};
    return fstat(fd, &held) == 0 && lstat(path.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

}  // namespace

Outcome<OutputFolder> OutputFolder::prepare(const std::string& path, bool force) {
    OutputFolder folder;
    folder.force_ = force;
    folder.mode_ = 0777 & ~current_umask();
    std::error_code error;
    fs::path place = path;
    if (path.empty()) return failure(ShuffleCause::kUsage, "the output folder's name is empty");
    const bool there = fs::exists(place, error);
    if (there) {
        place = fs::canonical(place, error);
        struct stat status {};
        if (error || stat(place.c_str(), &status) != 0) return system_failure("cannot look at " + path, errno);
        if (!S_ISDIR(status.st_mode)) {
            return failure(ShuffleCause::kUsage, fmt::format("{} is there and is not a folder", path));
        }
        folder.mode_ = status.st_mode & 07777;
        const bool empty = fs::is_empty(place, error);
        if (error) return system_failure("cannot read the folder " + path, error.value());
        if (!empty && !force) {
            return failure(ShuffleCause::kUsage,
                           fmt::format("{} is not empty; choose another folder, or replace it with --force", path));
        }
    } else {
        if (place.filename().empty()) place = place.parent_path();
        const fs::path parent = fs::canonical(place.has_parent_path() ? place.parent_path() : ".", error);
        if (error) return system_failure("cannot make " + path + " in its parent folder", error.value());
        place = parent / place.filename();
    }
    folder.path_ = place;
    folder.parent_ = place.parent_path();
    folder.name_ = place.filename();
    if (folder.name_.empty()) return failure(ShuffleCause::kUsage, path + " cannot be replaced");
    folder.remove_abandoned();
    if (const auto made = folder.make_hidden(); !made) return passed_on(made.error());
    return folder;
}

OutputFolder::OutputFolder(OutputFolder&& other) noexcept
    : parent_(std::move(other.parent_)),
      name_(std::move(other.name_)),
      path_(std::move(other.path_)),
      hidden_(std::exchange(other.hidden_, {})),
      force_(other.force_),
      mode_(other.mode_),
      fd_(std::move(other.fd_)) {}

OutputFolder::~OutputFolder() {
    std::error_code ignored;  // nobody is left to tell
    try {
        if (!hidden_.empty()) fs::remove_all(hidden_, ignored);
    } catch (const std::bad_alloc&) {
        // The next job for that folder removes it (remove_abandoned).
    }
}

void OutputFolder::remove_abandoned() const {
    const std::string prefix = "." + name_ + ".shoal-";
    std::error_code error;
    for (fs::directory_iterator entry(parent_, error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename();
        if (!name.starts_with(prefix) || name.size() != prefix.size() + 6) continue;
        const FileDescriptor fd(open(entry->path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!fd.valid() || flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
        std::error_code ignored;
        fs::remove_all(entry->path(), ignored);
    }
}

Outcome<void> OutputFolder::make_hidden() {
    // A turn is lost only to another job that took the fresh folder for abandoned before it was locked.
    while (true) {
        std::string path = parent_ + "/." + name_ + ".shoal-XXXXXX";
        if (mkdtemp(path.data()) == nullptr) return system_failure("cannot make a folder in " + parent_, errno);
        FileDescriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!fd.valid() && errno == ENOENT) continue;
        if (!fd.valid()) return system_failure("cannot open " + path, errno);
        const bool taken = flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (taken || !same_place(fd.get(), path)) continue;
        hidden_ = path;
        fd_ = std::move(fd);
        return {};
    }
}

Outcome<void> OutputFolder::publish() {
    fchmod(fd_.get(), mode_);
    if (rename(hidden_.c_str(), path_.c_str()) == 0) {  // nothing there, or an empty folder
        hidden_.clear();
        return {};
    }
    const std::string what = fmt::format("cannot put the output in place at {}", path_);
    if ((errno != ENOTEMPTY && errno != EEXIST) || !force_) return system_failure(what, errno);
    if (renameat2(AT_FDCWD, hidden_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0) {
        return {};  // what was there is the hidden one now, and goes with it
    }
    if (errno != EINVAL && errno != ENOSYS) return system_failure(what, errno);
    const std::string aside = hidden_ + ".old";  // a file system that cannot exchange
    if (rename(path_.c_str(), aside.c_str()) != 0) return system_failure(what, errno);
    if (rename(hidden_.c_str(), path_.c_str()) != 0) {
        const int error_number = errno;
        static_cast<void>(rename(aside.c_str(), path_.c_str()));
        return system_failure(what, error_number);
    }
    hidden_ = aside;
    return {};
}

}  // namespace shoal::shuffling
