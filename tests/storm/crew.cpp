#include "crew.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "../store/scale.hpp"
#include "hand.hpp"

namespace storm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kHang{60};
// What the others do while one is stopped, before it may go on.
constexpr std::uint64_t kProgress = 200;

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// LeakSanitizer stops the threads of a process that ends from a process of its own, which is the supervisor's where
// the first is killed meanwhile: it dies by its parent's death, or sees that and ends with 4.
bool is_leak_check(int status) {
    if (!shoal_test::kAddressSanitizer) return false;
    return WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 4;
}

bool is_child(pid_t pid) {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

Crew::Crew(const Ledger& ledger, Chance& chance) : ledger_(ledger), chance_(chance) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

pid_t Crew::fork_member(const std::function<int()>& body) {
    const pid_t supervisor = ::getpid();
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0) ledger_.fail("cannot fork: " + std::string(std::strerror(errno)));
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != supervisor) ::_exit(0);
    ::signal(SIGINT, SIG_IGN);  // of the terminal's: the supervisor ends us
    for (const int number : {SIGTERM, SIGHUP}) ::signal(number, SIG_DFL);
    std::exit(body());
}

pid_t Crew::start(Part part) {
    const std::uint32_t process = ledger_.take_process(0);
    const pid_t pid = fork_member([&] {
        ::prctl(PR_SET_NAME, "storm worker");
        return run_part(ledger_, process, part);
    });
    if (pid < 0) return pid;
    ledger_.process(process).pid.store(pid);
    Member member;
    member.process = process;
    member.part = part;
    members_[pid] = member;
    ++counts_.started;
    return pid;
}

void Crew::start_hogs(std::uint64_t hogs) {
    while (hogs_.size() < hogs) {
        const pid_t pid = fork_member([]() -> int {
            ::prctl(PR_SET_NAME, "storm hog");
            for (std::atomic<std::uint64_t> turns{0};; turns.fetch_add(1, std::memory_order_relaxed)) {
            }
        });
        if (pid < 0) return;
        hogs_.insert(pid);
    }
}

void Crew::end_hogs() {
    for (const pid_t pid : hogs_) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
    hogs_.clear();
}

std::size_t Crew::alive(Part part) const {
    return static_cast<std::size_t>(std::count_if(members_.begin(), members_.end(),
                                                  [&](const auto& member) { return member.second.part == part; }));
}

std::uint64_t Crew::take_ended(Part part) { return std::exchange(ended_[part], 0); }

template <class Use>
void Crew::each_lane(std::uint32_t process, Use&& use) const {
    for (std::uint32_t next = ledger_.process(process).newest_lane.load(); next != 0;) {
        Lane& lane = ledger_.lane(next - 1);
        use(next - 1, lane);
        next = lane.older;
    }
}

void Crew::look() {
    const std::uint32_t processes = std::min(ledger_.header().processes.load(), kMostProcesses);
    if (seen_ > processes) seen_ = 0;  // another round
    for (; seen_ < processes; ++seen_) unknown_.push_back(seen_);
    std::erase_if(unknown_, [&](std::uint32_t process) {
        const pid_t pid = ledger_.process(process).pid.load();
        if (pid == 0) return false;  // about to be written
        if (members_.contains(pid)) return true;
        if (is_child(pid)) {
            Member member;
            member.process = process;
            member.part = Part::kWork;
            member.forked = true;
            members_[pid] = member;
            return true;
        }
        return ::kill(pid, 0) != 0;  // gone; or it is its parent's still, and may become ours
    });
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        if (hogs_.erase(pid) == 0) reap(pid, status);
    }
}

void Crew::reap(pid_t pid, int status) {
    Member member;
    const auto known = members_.find(pid);
    bool registered = known != members_.end();
    if (registered) {
        member = known->second;
        members_.erase(known);
    } else {  // forked, and dead before we saw it; the newest of that number
        for (std::uint32_t process = std::min(ledger_.header().processes.load(), kMostProcesses); process-- > 0;) {
            if (ledger_.process(process).pid.load() != pid) continue;
            member.process = process;
            registered = true;
            break;
        }
    }
    std::uint64_t in_call = 0;
    if (registered) {
        each_lane(member.process, [&](std::uint32_t, Lane& lane) {
            lane.dead.store(ledger_.ticket());
            const std::uint64_t doing = lane.doing.load();
            if (doing == 0 || !member.killed) return;
            ++in_call;
            ++counts_.killed_in[static_cast<Call>(doing >> 32)];
        });
    }
    if (in_call > 0) ++counts_.kills_in_calls;
    if (member.killed) counts_.threads_killed += std::max<std::uint64_t>(in_call, 1);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (!member.forked) ++ended_[member.part];
        return;
    }
    if (member.killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return;
    if (!registered && is_leak_check(status)) return;
    std::string doing;
    if (registered) {
        each_lane(member.process, [&](std::uint32_t, Lane& lane) {
            doing += " " + std::string(name_of(static_cast<Call>(lane.doing.load() >> 32)));
        });
    }
    // One that is not in the ledger was forked a moment ago.
    const std::string who = registered ? "process " + std::to_string(member.process) : "a process without a number";
    const std::string what = who + " (pid " + std::to_string(pid) + ")";
    if (WIFSIGNALED(status))
        ledger_.fail(what + " died of signal " + std::to_string(WTERMSIG(status)) + " (" +
                     strsignal(WTERMSIG(status)) + "), its threads doing:" + doing);
    else
        ledger_.fail(what + " ended with exit code " + std::to_string(WEXITSTATUS(status)));
}

pid_t Crew::choose(bool stopped_too) {
    std::vector<pid_t> may;
    for (const auto& [pid, member] : members_) {
        const bool works =
            member.part != Part::kAudit && member.part != Part::kAuditEmpty && member.part != Part::kMeasure;
        if (works && !member.killed && (stopped_too || !member.stopped)) may.push_back(pid);
    }
    return may.empty() ? 0 : may[chance_.below(may.size())];
}

void Crew::kill_one() {
    const pid_t pid = choose(true);
    if (pid == 0) return;
    Member& member = members_[pid];
    member.killed = true;
    ++counts_.kills;
    ::kill(pid, SIGKILL);
}

std::uint64_t Crew::operations_of_others(const Member& member) const {
    std::uint64_t operations = 0;
    for (const auto& calls : ledger_.header().calls) operations += calls.load();
    std::uint64_t own = 0;
    each_lane(member.process, [&](std::uint32_t, Lane& lane) { own += lane.operations.load(); });
    return operations - own;
}

void Crew::stop_one() {
    const pid_t pid = choose(false);
    if (pid == 0) return;
    Member& member = members_[pid];
    member.stopped = true;
    member.stopped_at = Clock::now();
    member.until = member.stopped_at + milliseconds(50 + chance_.below(450));
    member.others_before = operations_of_others(member);
    ++counts_.stops;
    ::kill(pid, SIGSTOP);
}

void Crew::resume(pid_t pid, Member& member) {
    member.stopped = false;
    ::kill(pid, SIGCONT);
}

void Crew::resume_some() {
    for (auto& [pid, member] : members_) {
        if (!member.stopped || member.killed || Clock::now() < member.until) continue;
        // It stays stopped until the others have shown that they do not wait for it.
        if (operations_of_others(member) - member.others_before >= kProgress) {
            resume(pid, member);
        } else if (Clock::now() - member.stopped_at > kHang) {
            ledger_.fail("nobody gets on while process " + std::to_string(member.process) + " is stopped\n" +
                         describe());
        }
    }
}

void Crew::resume_all() {
    for (auto& [pid, member] : members_)
        if (member.stopped) resume(pid, member);
}

void Crew::kill_all() {
    const auto deadline = Clock::now() + kHang;
    do {
        for (auto& [pid, member] : members_) {
            member.killed = true;
            ::kill(pid, SIGKILL);
        }
        ::usleep(1000);
        look();
    } while (!members_.empty() && Clock::now() < deadline);
}

void Crew::watch() {
    const auto now = Clock::now();
    for (const auto& entry : members_) {
        const Member& member = entry.second;
        each_lane(member.process, [&](std::uint32_t number, Lane& lane) {
            Watched& watched = watched_[number];
            const std::uint64_t operations = lane.operations.load(), doing = lane.doing.load();
            if (doing == 0 || member.stopped || watched.doing != doing || watched.operations != operations) {
                watched = {operations, doing, now};
            } else if (now - watched.since > kHang) {
                ledger_.fail("thread " + std::to_string(number) + " of process " + std::to_string(member.process) +
                             " hangs in " + std::string(name_of(static_cast<Call>(doing >> 32))) + "\n" +
                             describe());
            }
        });
    }
    std::erase_if(watched_, [&](const auto& entry) { return now - entry.second.since > 2 * kHang; });
}

std::string Crew::describe() const {
    std::string text;
    for (const auto& [pid, member] : members_) {
        const std::string proc = "/proc/" + std::to_string(pid);
        std::string state = first_line(proc + "/stat");
        state = state.substr(std::min(state.size(), state.rfind(')') + 2), 1);
        text += "process " + std::to_string(member.process) + ", pid " + std::to_string(pid) + ", part " +
                std::to_string(static_cast<std::uint32_t>(member.part)) + ", state " + state +
                ", in the kernel at " + first_line(proc + "/wchan") + (member.stopped ? ", stopped by us" : "") +
                "\n";
        each_lane(member.process, [&](std::uint32_t number, Lane& lane) {
            const std::uint64_t doing = lane.doing.load();
            text += "  thread " + std::to_string(number) + ": " + std::to_string(lane.operations.load()) +
                    " operations, now " + std::string(name_of(static_cast<Call>(doing >> 32))) + " of key " +
                    std::to_string(static_cast<std::uint32_t>(doing)) + "\n";
        });
    }
    return text;
}

}  // namespace storm
