// The engine without io_uring: threads that call preadv and pwritev, one step of a transfer at a time.
//
// Threads start when there is work for them, up to `most`, and take no signal. Where none can start, wait() does
// the work itself.
//
// Thread safety: one thread at a time (the owner's); the workers are its own.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "io/transfer.hpp"

namespace shoal {

class IoThreads {
public:
    explicit IoThreads(unsigned most) : most_(most) { threads_.reserve(most); }
    IoThreads(const IoThreads&) = delete;
    IoThreads& operator=(const IoThreads&) = delete;
    ~IoThreads();  // nothing is running any more

    void start(Transfer& transfer);  // after its begin_step()
    [[nodiscard]] std::size_t running() const noexcept { return running_; }
    [[nodiscard]] Transfer& wait();  // one is running; its step is finished then

private:
    void work();
    void start_thread();

    const std::size_t most_;
    std::size_t running_ = 0;  // started and not yet handed back; the owner's
    std::vector<std::thread> threads_;
    std::mutex mutex_;  // of what follows
    std::condition_variable work_to_do_;
    std::condition_variable step_finished_;
    std::deque<Transfer*> to_do_;
    std::deque<Transfer*> finished_;
    std::size_t idle_ = 0;
    bool stopping_ = false;
};

}  // namespace shoal
