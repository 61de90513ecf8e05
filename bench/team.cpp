#include "team.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <new>

#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared_file.hpp"

namespace bench {

namespace {

constexpr unsigned kMaxWorkers = 16;
constexpr double kRoundLimitSeconds = 600;  // a watchdog against hangs, not a measure: 10^8 new keys take 130
double* own_numbers = nullptr;

void pause_cpu() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

}  // namespace

double now_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// In a MAP_SHARED mapping of its own; each worker's part on its own lines.
struct Team::Board {
    struct alignas(64) Place {
        sem_t go;  // parent posts: start a round, or stop
        double started = 0;
        double finished = 0;
        double numbers[kNumbers] = {};
        char error[256] = {};
    };
    alignas(
        64) std::atomic<unsigned> arrived;  // over all rounds; release on arrival pairs with acquire in the spin
    std::atomic<bool> stop;
    alignas(64) sem_t done;
    Place places[kMaxWorkers];
};

double& Team::number(unsigned index) { return own_numbers[index]; }
double Team::number(unsigned worker, unsigned index) const { return board_->places[worker].numbers[index]; }

Team::Team(unsigned workers, const Maker& maker) : workers_(workers) {
    void* at = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || workers > kMaxWorkers) die("bench: team");
    board_ = new (at) Board;
    ::sem_init(&board_->done, 1, 0);
    for (Board::Place& place : board_->places) ::sem_init(&place.go, 1, 0);
    std::fflush(nullptr);
    for (unsigned worker = 0; worker < workers; ++worker) {
        const pid_t child = ::fork();
        if (child < 0) die("bench: fork");
        if (child == 0) work(worker, maker);
        children_.push_back(child);
    }
    if (!wait_all()) stop();
}

Team::~Team() {
    stop();
    ::munmap(board_, sizeof(Board));
}

void Team::work(unsigned worker, const Maker& maker) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Board::Place& place = board_->places[worker];
    own_numbers = place.numbers;
    const auto report = [&](const std::string& text) {
        std::snprintf(place.error, sizeof place.error, "%s", text.c_str());
    };
    try {
        const Round round = maker(worker);
        ::sem_post(&board_->done);
        for (unsigned number = 0;; ++number) {
            while (::sem_wait(&place.go) != 0) {
            }
            if (board_->stop.load(std::memory_order_acquire)) break;
            board_->arrived.fetch_add(1, std::memory_order_acq_rel);
            while (board_->arrived.load(std::memory_order_acquire) < workers_ * (number + 1)) pause_cpu();
            place.started = now_seconds();
            const std::string failure = round(number);
            place.finished = now_seconds();
            if (!failure.empty()) report(failure);
            ::sem_post(&board_->done);
        }
    } catch (const std::exception& failure) {
        report(failure.what());
        ::sem_post(&board_->done);
        ::_exit(1);
    }
    ::_exit(0);
}

double Team::run() {
    if (!error_.empty()) return 0;
    for (unsigned worker = 0; worker < workers_; ++worker) ::sem_post(&board_->places[worker].go);
    if (!wait_all()) {
        stop();
        return 0;
    }
    double start = board_->places[0].started;
    double finish = board_->places[0].finished;
    for (unsigned worker = 1; worker < workers_; ++worker) {
        start = std::min(start, board_->places[worker].started);
        finish = std::max(finish, board_->places[worker].finished);
    }
    return finish - start;
}

bool Team::wait_all() {
    const double limit = now_seconds() + kRoundLimitSeconds;
    for (unsigned waited = 0; waited < workers_;) {
        timespec slice{};
        ::clock_gettime(CLOCK_REALTIME, &slice);
        slice.tv_sec += 1;
        if (::sem_timedwait(&board_->done, &slice) == 0) {
            ++waited;
            continue;
        }
        if (errno == EINTR) continue;
        for (pid_t& child : children_) {
            int status = 0;
            if (child > 0 && ::waitpid(child, &status, WNOHANG) == child) {
                error_ = "worker " + std::to_string(child) + " ended with status " + std::to_string(status);
                child = 0;
            }
        }
        if (error_.empty() && now_seconds() > limit) error_ = "a round hangs";
        if (!error_.empty()) return false;
    }
    for (unsigned worker = 0; worker < workers_; ++worker) {
        if (board_->places[worker].error[0] != 0) error_ = board_->places[worker].error;
    }
    return error_.empty();
}

void Team::stop() {
    const bool kill_them = !error_.empty();
    board_->stop.store(true, std::memory_order_release);
    for (unsigned worker = 0; worker < children_.size(); ++worker) {
        ::sem_post(&board_->places[worker].go);
        if (children_[worker] > 0 && kill_them) ::kill(children_[worker], SIGKILL);
    }
    for (const pid_t child : children_) {
        if (child > 0) ::waitpid(child, nullptr, 0);
    }
    children_.clear();
}

}  // namespace bench
