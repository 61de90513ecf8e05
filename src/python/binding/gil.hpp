// When the interpreter's lock is let go.
//
// To let it go and take it again costs an append of a small record half as much again, and where another thread
// computes in Python it takes that thread's turn, 5 ms, to get it back: so only copies of kReleaseBytes and more go
// on without it, what always takes long, and waits inside of the library: for room, and for reads of files.
#pragma once

#include <cstddef>
#include <optional>

#include <nanobind/nanobind.h>

#include <shoal/options.hpp>

namespace shoal::python {

inline constexpr std::size_t kReleaseBytes = 64 * 1024;

// Without the lock while it lives, where `bytes` are many.
class Released {
public:
    explicit Released(std::size_t bytes = kReleaseBytes) {
        if (bytes >= kReleaseBytes) released_.emplace();
    }

private:
    std::optional<nanobind::gil_scoped_release> released_;
};

// For Options::wait_hooks: lets the lock go, where the caller has not, and takes it again.
[[nodiscard]] WaitHooks without_lock_in_waits() noexcept;

}  // namespace shoal::python
