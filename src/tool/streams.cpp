#include "tool/streams.hpp"

#include <cerrno>
#include <climits>
#include <vector>

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tool/failure.hpp"

namespace shoal::tool {
namespace {

constexpr std::size_t kGatherBytes = 64 * 1024;  // what a pipe takes at once

void wait_for(int descriptor, short events) {
    pollfd waited{.fd = descriptor, .events = events, .revents = 0};
    // An interruption or an error shows in the read or write that follows.
    (void)::poll(&waited, 1, -1);
}

// Writes all of `pieces`, whose members it uses up. Returns 0 or the errno.
int write_fully(int descriptor, std::span<iovec> pieces) {
    while (!pieces.empty()) {
        const auto count = static_cast<int>(std::min<std::size_t>(pieces.size(), IOV_MAX));
        const ssize_t written = ::writev(descriptor, pieces.data(), count);
        if (written < 0) {
            if (errno == EAGAIN) wait_for(descriptor, POLLOUT);
            if (errno != EAGAIN && errno != EINTR) return errno;
            continue;
        }
        auto left = static_cast<std::size_t>(written);
        while (!pieces.empty() && left >= pieces.front().iov_len) {
            left -= pieces.front().iov_len;
            pieces = pieces.subspan(1);
        }
        if (left > 0) {
            pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + left;
            pieces.front().iov_len -= left;
        }
    }
    return 0;
}

}  // namespace

std::ptrdiff_t read_some(int descriptor, std::span<char> room) {
    for (;;) {
        const ssize_t count = ::read(descriptor, room.data(), room.size());
        if (count >= 0) return count;
        if (errno == EAGAIN) {
            wait_for(descriptor, POLLIN);
        } else if (errno != EINTR) {
            return -1;
        }
    }
}

int write_fully(int descriptor, ByteView bytes) {
    // writev only reads; its struct has no const.
    iovec all{const_cast<std::byte*>(bytes.data()), bytes.size()};
    return write_fully(descriptor, std::span(&all, 1));
}

Output::Output() : Output(STDOUT_FILENO, "standard output") {}

bool Output::write(std::span<const ByteView> pieces) {
    if (stopped_ || !write_gathered()) return false;
    std::vector<iovec> vectors;
    vectors.reserve(std::min<std::size_t>(pieces.size(), IOV_MAX));
    while (!pieces.empty()) {
        const auto now = pieces.first(std::min<std::size_t>(pieces.size(), IOV_MAX));
        pieces = pieces.subspan(now.size());
        vectors.clear();
        for (const ByteView piece : now) {
            // writev only reads; its struct has no const.
            vectors.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
        }
        if (const int error_number = write_fully(descriptor_, vectors); error_number != 0) {
            stop(error_number);
            return false;
        }
    }
    return true;
}

bool Output::add(std::string_view text) {
    if (stopped_) return false;
    gathered_.append(text);
    return gathered_.size() < kGatherBytes || write_gathered();
}

ExitCode Output::finish() {
    if (!stopped_) write_gathered();
    return result_;
}

bool Output::write_gathered() {
    iovec all{gathered_.data(), gathered_.size()};
    if (all.iov_len == 0) return true;
    const int error_number = write_fully(descriptor_, std::span(&all, 1));
    gathered_.clear();
    if (error_number != 0) stop(error_number);
    return error_number == 0;
}

void Output::stop(int error_number) {
    stopped_ = true;
    if (error_number != EPIPE) result_ = fail_system("cannot write to " + name_, error_number);
}

}  // namespace shoal::tool
