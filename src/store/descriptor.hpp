// A file descriptor that is closed in the end, and what a failed system call means to shoal.
#pragma once

#include <unistd.h>

#include <string>
#include <utility>

#include <shoal/error.hpp>

namespace shoal {

class Descriptor {
public:
    explicit Descriptor(int value) noexcept : value_(value) {}
    Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (value_ >= 0) ::close(value_);
    }
    [[nodiscard]] int get() const noexcept { return value_; }
    [[nodiscard]] int release() noexcept { return std::exchange(value_, -1); }

private:
    int value_;
};

[[nodiscard]] Code code_of(int cause) noexcept;
// kPermission, kNoSpace, kNotFound or kSystem, by the errno; "what: its text".
[[nodiscard]] tl::unexpected<Error> failed(const std::string& what, int cause);

}  // namespace shoal
