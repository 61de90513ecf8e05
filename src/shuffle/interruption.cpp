#include "shuffle/interruption.hpp"

#include <sys/signalfd.h>

#include <cerrno>

namespace shoal::shuffling {

Outcome<std::unique_ptr<Interruption>> Interruption::guard() {
    std::unique_ptr<Interruption> guard(new Interruption);
    sigemptyset(&guard->held_);
    sigaddset(&guard->held_, SIGCHLD);
    for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction action {};
        sigaction(signal_number, nullptr, &action);
        const bool ignored = (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
        if (!ignored) sigaddset(&guard->held_, signal_number);
    }
    guard->signals_ = FileDescriptor(signalfd(-1, &guard->held_, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!guard->signals_.valid()) return system_failure("cannot watch for signals", errno);
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;  // were it ignored, the kernel would reap the workers and keep their causes
    sigaction(SIGCHLD, &by_default, &guard->child_before_);
    sigprocmask(SIG_BLOCK, &guard->held_, &guard->mask_before_);
    return guard;
}

Interruption::~Interruption() {
    if (!signals_.valid()) return;
    static_cast<void>(requested());  // a SIGCHLD of ours is not to reach a handler of the caller's
    sigaction(SIGCHLD, &child_before_, nullptr);
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
    if (signal_) raise(*signal_);
}

std::optional<int> Interruption::requested() noexcept {
    signalfd_siginfo info{};
    while (read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        if (info.ssi_signo != SIGCHLD && !signal_) signal_ = static_cast<int>(info.ssi_signo);
    }
    return signal_;
}

tl::unexpected<ShuffleError> Interruption::failed() const {
    return failure(ShuffleCause::kInterrupted, fmt::format("interrupted by signal {} ({}); nothing was written",
                                                           signal_.value_or(0), strsignal(signal_.value_or(0))));
}

void Interruption::leave_to_parent() noexcept {
    sigaction(SIGCHLD, &child_before_, nullptr);
    struct sigaction ignored {};
    ignored.sa_handler = SIG_IGN;
    sigaction(SIGINT, &ignored, nullptr);
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
    signals_ = FileDescriptor();
}

}  // namespace shoal::shuffling
