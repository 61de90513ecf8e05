#include "shuffle/input.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>

#include "shuffle/structural_masks.hpp"

namespace shoal::shuffling {
namespace {

constexpr std::size_t kCopyBytes = 1 << 20;

[[nodiscard]] Outcome<FileDescriptor> unlinked_file(const std::string& folder) {
    FileDescriptor file(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file.valid()) {  // a file system without O_TMPFILE
        std::string path = folder + "/.shoal-input-XXXXXX";
        file = FileDescriptor(mkostemp(path.data(), O_CLOEXEC));
        if (file.valid()) unlink(path.c_str());
    }
    if (!file.valid()) return system_failure(fmt::format("cannot make a temporary file in {}", folder), errno);
    return file;
}

[[nodiscard]] Outcome<void> write_all(int fd, const char* data, std::size_t bytes, const std::string& what) {
    while (bytes > 0) {
        const ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return system_failure(what, errno);
        data += written;
        bytes -= static_cast<std::size_t>(written);
    }
    return {};
}

// Copies what comes from `source` until it ends; a signal ends it too, which a plain read would not notice.
[[nodiscard]] Outcome<FileDescriptor> spool(const FileDescriptor& source, const std::string& name,
                                            const std::string& folder, Interruption& interruption) {
    auto copy = unlinked_file(folder);
    if (!copy) return copy;
    std::string buffer(kCopyBytes, '\0');
    while (true) {
        pollfd ready[2] = {{source.get(), POLLIN, 0}, {interruption.wake_fd(), POLLIN, 0}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR) return system_failure("cannot wait for " + name, errno);
        if (interruption.requested()) return interruption.failed();
        if (ready[0].revents == 0) continue;
        const ssize_t got = read(source.get(), buffer.data(), buffer.size());
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got < 0) return system_failure("cannot read " + name, errno);
        if (got == 0) return copy;
        const auto stored = write_all(copy->get(), buffer.data(), static_cast<std::size_t>(got),
                                      fmt::format("cannot copy {} to a temporary file in {} (set TMPDIR to have it "
                                                  "elsewhere)",
                                                  name, folder));
        if (!stored) return passed_on(stored.error());
    }
}

}  // namespace

Outcome<std::size_t> InputFile::read_at(std::uint64_t offset, char* buffer, std::size_t bytes) const {
    std::size_t done = 0;
    while (done < bytes) {
        const ssize_t got = pread(fd.get(), buffer + done, bytes - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_failure("cannot read " + name, errno);
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

Outcome<InputFile> open_input(const std::string& path, const std::string& spool_folder,
                              Interruption& interruption) {
    InputFile file;
    const bool standard = path == "-";
    file.name = standard ? "standard input" : path;
    // O_NONBLOCK: opening a FIFO must not wait where signals cannot end it; reading waits in poll.
    file.fd = FileDescriptor(standard ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.fd.valid()) return system_failure("cannot open " + file.name, errno);
    struct stat status {};
    if (fstat(file.fd.get(), &status) != 0) return system_failure("cannot open " + file.name, errno);
    if (S_ISDIR(status.st_mode)) return system_failure("cannot read " + file.name, EISDIR);
    const bool at_start = !standard || lseek(file.fd.get(), 0, SEEK_CUR) == 0;
    const bool sized = status.st_size > 0;  // a file of /proc is not
    if (!S_ISREG(status.st_mode) || !at_start || !sized) {
        auto copy = spool(file.fd, file.name, spool_folder, interruption);
        if (!copy) return passed_on(copy.error());
        file.fd = std::move(*copy);
        if (fstat(file.fd.get(), &status) != 0) return system_failure("cannot read " + file.name, errno);
    }
    file.size = static_cast<std::uint64_t>(status.st_size);
    posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return file;
}

Outcome<std::uint64_t> line_of(const InputFile& file, std::uint64_t offset) {
    std::string buffer(kCopyBytes, '\0');
    std::uint64_t line = 1;
    for (std::uint64_t at = 0; at < offset;) {
        const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), offset - at));
        const auto got = file.read_at(at, buffer.data(), want);
        if (!got) return passed_on(got.error());
        if (*got == 0) break;
        const std::size_t whole = *got / kBlockBytes * kBlockBytes;
        for (std::size_t block = 0; block < whole; block += kBlockBytes) {
            line += static_cast<std::uint64_t>(std::popcount(find_byte(buffer.data() + block, '\n')));
        }
        line += static_cast<std::uint64_t>(std::count(buffer.data() + whole, buffer.data() + *got, '\n'));
        at += *got;
    }
    return line;
}

}  // namespace shoal::shuffling
