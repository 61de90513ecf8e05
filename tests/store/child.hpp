// A forked child that runs a function, and what became of it. The function returns what failed, "" for nothing;
// Catch2 stays in the parent. A child that hangs ends by its own alarm; one whose parent is gone, by SIGKILL.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace shoal_test {

inline constexpr unsigned kChildWatchdogSeconds = 200;

class Child {
public:
    using Body = std::function<std::string()>;

    enum class OnParentDeath { kDie, kGoOn };

    static Child start(const Body& body, OnParentDeath on_parent_death = OnParentDeath::kDie) {
        int ends[2];
        if (::pipe(ends) != 0) return Child(-1, -1);
        std::fflush(nullptr);
        const pid_t parent = ::getpid();
        const pid_t pid = ::fork();
        if (pid != 0) {
            ::close(ends[1]);
            return Child(pid, ends[0]);
        }
        ::close(ends[0]);
        for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGALRM})
            ::signal(number, SIG_DFL);
        if (on_parent_death == OnParentDeath::kDie) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent) ::_exit(1);
        }
        ::alarm(kChildWatchdogSeconds);
        std::string failure;
        try {
            failure = body();
        } catch (const std::exception& thrown) {
            failure = std::string("exception: ") + thrown.what();
        }
        failure.resize(failure.size() < kMostText ? failure.size() : kMostText);
        (void)!::write(ends[1], failure.data(), failure.size());
        ::_exit(failure.empty() ? 0 : 1);
    }

    // Runs the body in a child and waits for it.
    static std::string run(const Body& body) { return start(body).wait(); }

    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)), pipe_(std::exchange(other.pipe_, -1)) {}
    Child& operator=(Child&&) = delete;
    ~Child() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            (void)wait();
        }
    }

    pid_t pid() const { return pid_; }
    void kill(
        int number = SIGKILL) const {  // one that was waited for has no pid: 0 would be this process's own group
        if (pid_ > 0) ::kill(pid_, number);
    }
    // Without a wait; wait() still says how.
    bool has_ended() const {
        siginfo_t info{};
        return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
               info.si_pid != 0;
    }

    // What failed in the child, or how it died; "" when it ended well. Waits for its end.
    std::string wait() {
        if (pid_ < 0) return "cannot fork";
        const std::string text = read_all();
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = 0;
        if (WIFSIGNALED(status)) {
            killed_by_ = WTERMSIG(status);
            return "killed by signal " + std::to_string(killed_by_) + " (" + strsignal(killed_by_) + ") " + text;
        }
        if (WEXITSTATUS(status) == 0 && text.empty()) return {};
        return "exit code " + std::to_string(WEXITSTATUS(status)) + ": " + text;
    }

    // After wait(): the signal that ended the child, 0 when it ended by itself.
    int killed_by() const { return killed_by_; }

private:
    static constexpr std::size_t kMostText = 4000;  // fits into any pipe, so that write() cannot block

    Child(pid_t pid, int pipe) : pid_(pid), pipe_(pipe) {}

    // Ends when the child has written its text or has died: children of its own may keep the pipe open.
    std::string read_all() {
        std::string text;
        char buffer[512];
        while (true) {
            const ssize_t got = ::read(pipe_, buffer, sizeof buffer);
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) break;
            text.append(buffer, static_cast<std::size_t>(got));
        }
        ::close(pipe_);
        pipe_ = -1;
        return text;
    }

    pid_t pid_;
    int pipe_;
    int killed_by_ = 0;
};

// Waits for all; joins what failed.
inline std::string wait_for(std::vector<Child>& children) {
    std::string failures;
    for (Child& child : children) {
        const std::string failure = child.wait();
        if (!failure.empty()) failures += failure + "\n";
    }
    children.clear();
    return failures;
}

}  // namespace shoal_test
