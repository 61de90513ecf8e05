// How a step of the job says that it failed, and the files it holds open.
#pragma once

#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "shuffle/shuffle.hpp"

namespace shoal::shuffling {

template <class T>
using Outcome = tl::expected<T, ShuffleError>;

[[nodiscard]] inline tl::unexpected<ShuffleError> failure(ShuffleCause cause, std::string message) {
    return tl::unexpected<ShuffleError>(ShuffleError{cause, std::move(message)});
}

// The error of a step below, as it is.
[[nodiscard]] inline tl::unexpected<ShuffleError> passed_on(const ShuffleError& error) {
    return tl::unexpected<ShuffleError>(error);
}

// "cannot read flights.csv: Input/output error"
[[nodiscard]] inline tl::unexpected<ShuffleError> system_failure(std::string_view what, int error_number) {
    return failure(ShuffleCause::kSystem, fmt::format("{}: {}", what, std::strerror(error_number)));
}

// Owns a file descriptor; -1 is none. Moving leaves none behind.
class FileDescriptor {
public:
    FileDescriptor() noexcept = default;
    explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
    FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~FileDescriptor() {
        if (fd_ >= 0) close(fd_);
    }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

}  // namespace shoal::shuffling
