#include "backup/file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "arena/system_failure.hpp"
#include "io/file_limit_signal.hpp"
#include "spill/sync_finish.hpp"

namespace shoal {
namespace {

constexpr int kTurns = 100;                                // of other backups that give the file its name meanwhile
constexpr std::uint64_t kToDiskBytes = kBackupChunkBytes;  // that the disk gets at once, while others are made

// As failed(), but kNotFound is of keys and stores.
tl::unexpected<Error> file_failed(const std::string& what, int cause) {
    auto error = failed(what, cause);
    if (error.value().code == Code::kNotFound) error.value().code = Code::kSystem;
    return error;
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_at(int descriptor, const std::string& path) {
    struct stat ours {};
    struct stat named {};
    return ::fstat(descriptor, &ours) == 0 && ::lstat(path.c_str(), &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

void wait_for(int descriptor, short events) {
    pollfd waited{.fd = descriptor, .events = events, .revents = 0};
    static_cast<void>(::poll(&waited, 1, -1));  // an interruption or an error shows in what follows
}

}  // namespace

Result<Descriptor> open_backup(const std::string& path) {
    Descriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (opened.get() < 0) return file_failed("cannot read backup " + path, errno);
    return opened;
}

Result<void> write_all(int descriptor, ByteView bytes, const std::string& what) {
    const FileLimitSignalHeld held_back;
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = ::write(descriptor, bytes.data() + done, bytes.size() - done);
        if (count >= 0) {
            done += static_cast<std::size_t>(count);
        } else if (errno == EAGAIN) {
            wait_for(descriptor, POLLOUT);
        } else if (errno != EINTR) {
            return file_failed(what, errno);
        }
    }
    return {};
}

Result<std::size_t> read_some(int descriptor, std::span<std::byte> room, const std::string& what) {
    for (;;) {
        const ssize_t count = ::read(descriptor, room.data(), room.size());
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno == EAGAIN) {
            wait_for(descriptor, POLLIN);
        } else if (errno != EINTR) {
            return file_failed(what, errno);
        }
    }
}

Result<BackupFile> BackupFile::open(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
        Descriptor descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
        if (descriptor.get() < 0) return file_failed("cannot write backup " + path, errno);
        return BackupFile(path, "", std::move(descriptor));
    }
    const std::string part = path + ".part";
    for (int turn = 0; turn < kTurns; ++turn) {
        Descriptor descriptor(::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
        if (descriptor.get() < 0) return file_failed("cannot make backup " + part, errno);
        if (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) {
            const int cause = errno;
            if (cause != EWOULDBLOCK) return file_failed("cannot lock backup " + part, cause);
            return tl::unexpected(
                Error{Code::kInUse,
                      fmt::format("another process is writing backup {}: wait for it, or name another file", part),
                      cause, 0});
        }
        // The process that had it before may have given it its name since it was opened here.
        if (is_at(descriptor.get(), part)) return BackupFile(path, part, std::move(descriptor));
    }
    return file_failed("cannot make backup " + part, EBUSY);
}

Result<std::optional<BackupFile::Interrupted>> BackupFile::interrupted(const BackupHeader& header) {
    if (!has_part()) return std::optional<Interrupted>{};
    if (::lseek(descriptor_.get(), 0, SEEK_SET) != 0) return file_failed("cannot read backup " + part_, errno);
    const BackupSource source = [&](std::span<std::byte> room) {
        return read_some(descriptor_.get(), room, "cannot read backup " + part_);
    };
    BackupReader reader(source, "backup " + part_);
    const auto begun = reader.begin();
    if (!begun && begun.error().code != Code::kDamaged) return tl::unexpected(begun.error());
    if (!begun) {
        struct stat info {};
        const bool is_new =
            ::fstat(descriptor_.get(), &info) == 0 && info.st_size < static_cast<off_t>(sizeof header);
        if (!is_new) return tl::unexpected(begun.error());
        if (auto emptied = begin_anew(); !emptied) return tl::unexpected(std::move(emptied.error()));
        return std::optional<Interrupted>{};
    }
    if (begun->store_id != header.store_id || begun->hash_seed != header.hash_seed ||
        begun->restore != header.restore) {
        const bool same_store = begun->store_id == header.store_id;
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  fmt::format("backup {} cannot be resumed: it is of {}; begin anew without resuming", part_,
                              same_store ? "this store before it lost its memory" : "another store"),
                  0, 0});
    }
    Interrupted found{*begun, reader.position()};
    for (;;) {
        const auto more = reader.next_chunk();
        // Cut off, or damaged: what is before it counts.
        if (!more && more.error().code != Code::kDamaged) return tl::unexpected(more.error());
        if (!more || !*more) break;
        if (reader.is_resumable()) found.position = reader.position();
    }
    offset_ = found.position.file_bytes;
    begun_to_disk_ = offset_;
    const auto end = static_cast<off_t>(offset_);
    if (::ftruncate(descriptor_.get(), end) != 0 || ::lseek(descriptor_.get(), end, SEEK_SET) != end) {
        return file_failed("cannot write backup " + part_, errno);
    }
    return std::optional(found);
}

Result<void> BackupFile::begin_anew() {
    offset_ = 0;
    begun_to_disk_ = 0;
    if (!has_part()) return {};
    if (::ftruncate(descriptor_.get(), 0) != 0 || ::lseek(descriptor_.get(), 0, SEEK_SET) != 0) {
        return file_failed("cannot write backup " + part_, errno);
    }
    return {};
}

Result<void> BackupFile::write(ByteView bytes) {
    if (auto written = write_all(descriptor_.get(), bytes, "cannot write backup " + written_path()); !written) {
        return written;
    }
    offset_ += bytes.size();
    if (has_part() && offset_ - begun_to_disk_ >= kToDiskBytes) {
        // Only so that the disk works while the next bytes are made; where it cannot be, fsync does it all.
        static_cast<void>(::sync_file_range(descriptor_.get(), static_cast<off_t>(begun_to_disk_),
                                            static_cast<off_t>(offset_ - begun_to_disk_), SYNC_FILE_RANGE_WRITE));
        begun_to_disk_ = offset_;
    }
    return {};
}

Result<void> BackupFile::publish() {
    if (!has_part()) return {};
    if (::fsync(descriptor_.get()) != 0) return file_failed("cannot write backup " + part_, errno);
    crash_point(CrashPoint::kBackupDurable);
    if (::rename(part_.c_str(), path_.c_str()) != 0) {
        return file_failed(fmt::format("cannot rename backup {} to {}", part_, path_), errno);
    }
    crash_point(CrashPoint::kBackupNamed);
    return sync_folder(folder_of(path_));
}

}  // namespace shoal
