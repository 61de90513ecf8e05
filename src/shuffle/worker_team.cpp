#include "shuffle/worker_team.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <exception>
#include <vector>

namespace shoal::shuffling {
namespace {

constexpr int kTickMs = 100;
constexpr int kReported = 1;  // exit status of a worker that left its cause on its desk

[[noreturn]] void be_worker(const Phase& phase, unsigned index, Desk& desk, Interruption& interruption,
                            pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(kReported);  // it died before the line above
    prctl(PR_SET_NAME, fmt::format("shoal-{}-{}", phase.role, index).c_str());
    interruption.leave_to_parent();
    try {
        const auto done = phase.work(index);
        if (done) _exit(0);
        desk.fail(done.error());
    } catch (const std::exception& exception) {
        desk.fail({ShuffleCause::kSystem, fmt::format("{} {}: {}", phase.role, index, exception.what())});
    }
    _exit(kReported);
}

class Team {
public:
    Team(const Phase& phase, SharedArray<Desk>& desks) : phase_(phase), desks_(desks) {}
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;
    ~Team() {
        for (const pid_t pid : pids_) {
            if (pid > 0) kill(pid, SIGKILL);
        }
        for (const pid_t pid : pids_) {
            if (pid > 0) static_cast<void>(wait_for(pid, 0));
        }
    }

    [[nodiscard]] Outcome<void> start(Interruption& interruption) {
        const pid_t parent = getpid();
        for (unsigned index = 0; index < phase_.workers; ++index) {
            const pid_t pid = fork();
            if (pid < 0) return system_failure(fmt::format("cannot start {} {}", phase_.role, index), errno);
            if (pid == 0) be_worker(phase_, index, desks_[index], interruption, parent);
            pids_.push_back(pid);
            ++running_;
        }
        return {};
    }

    [[nodiscard]] bool running() const noexcept { return running_ > 0; }

    // Takes the children that have ended.
    [[nodiscard]] Outcome<void> reap() {
        for (unsigned index = 0; index < pids_.size(); ++index) {
            if (pids_[index] == 0) continue;
            const auto status = wait_for(pids_[index], WNOHANG);
            if (!status) continue;
            const pid_t pid = std::exchange(pids_[index], 0);
            --running_;
            if (*status != 0) return failure_of(index, pid, *status);
        }
        return {};
    }

private:
    [[nodiscard]] static std::optional<int> wait_for(pid_t pid, int flags) noexcept {
        int status = 0;
        pid_t reaped;
        do {
            reaped = waitpid(pid, &status, flags);
        } while (reaped < 0 && errno == EINTR);
        if (reaped == 0) return std::nullopt;
        return status;
    }

    [[nodiscard]] tl::unexpected<ShuffleError> failure_of(unsigned index, pid_t pid, int status) const {
        const Desk& desk = desks_[index];
        if (desk.message[0] != '\0') return failure(desk.cause, desk.message);
        const std::string how = WIFSIGNALED(status) ? fmt::format("was killed by signal {} ({})", WTERMSIG(status),
                                                                  strsignal(WTERMSIG(status)))
                                                    : fmt::format("ended with status {}", WEXITSTATUS(status));
        return failure(ShuffleCause::kWorker, fmt::format("{} {} (pid {}) {} while {}", phase_.role, index, pid,
                                                          how, phase_.busy_with(index)));
    }

    const Phase& phase_;
    SharedArray<Desk>& desks_;
    std::vector<pid_t> pids_;  // 0: reaped
    unsigned running_ = 0;
};

}  // namespace

Outcome<void> run_phase(const Phase& phase, SharedArray<Desk>& desks, Interruption& interruption) {
    Team team(phase, desks);
    if (const auto started = team.start(interruption); !started) return started;
    while (team.running()) {
        pollfd wake{interruption.wake_fd(), POLLIN, 0};
        poll(&wake, 1, phase.tick ? kTickMs : -1);
        if (interruption.requested()) return interruption.failed();
        if (const auto reaped = team.reap(); !reaped) return reaped;
        if (phase.tick) phase.tick();
    }
    return {};
}

}  // namespace shoal::shuffling
