// Holds back SIGINT, SIGTERM and SIGHUP while a job has something to clean up, and wakes its parent process when a
// child ends. Signals that the caller ignores stay ignored (nohup). When the guard goes, the signal that came is
// raised for whatever disposition the caller has.
//
// Process-wide state: the signal mask and SIGCHLD's disposition, both restored. One at a time, no other threads.
// A crash leaves nothing.
#pragma once

#include <csignal>
#include <memory>
#include <optional>

#include "shuffle/failure.hpp"

namespace shoal::shuffling {

class Interruption {
public:
    [[nodiscard]] static Outcome<std::unique_ptr<Interruption>> guard();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;
    ~Interruption();

    // Readable when a child has ended or a signal has come; poll it, then call requested().
    [[nodiscard]] int wake_fd() const noexcept { return signals_.get(); }

    // Takes what has come so far. The signal that asks the job to end, if one has; it stays.
    [[nodiscard]] std::optional<int> requested() noexcept;

    // The failure to return when requested() says so.
    [[nodiscard]] tl::unexpected<ShuffleError> failed() const;

    // For a forked child: signals as the caller had them, but that SIGINT is left to the parent (a terminal sends
    // it to both).
    void leave_to_parent() noexcept;

private:
    Interruption() = default;

    sigset_t held_{};
    sigset_t mask_before_{};
    struct sigaction child_before_ {};
    FileDescriptor signals_;
    std::optional<int> signal_;
};

}  // namespace shoal::shuffling
