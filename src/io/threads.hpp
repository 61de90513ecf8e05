// The engine without io_uring: threads that call preadv and pwritev, one step of a transfer at a time.
//
// Threads start when there is work for them, up to `most`, and take no signal. Where none can start, wait() does
// the work itself.
//
// Thread safety: one thread at a time (the owner's); the workers are its own.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "io/transfer.hpp"

namespace shoal {

class IoThreads {
public:
    // `most` threads. All that needs memory is done here, so that what was begun is never lost for want of it.
    explicit IoThreads(unsigned most) : most_(most) { threads_.reserve(most); }
    IoThreads(const IoThreads&) = delete;
    IoThreads& operator=(const IoThreads&) = delete;
    ~IoThreads();  // nothing is running any more

    void start(Transfer& transfer) noexcept;  // after its begin_step()
    [[nodiscard]] std::size_t running() const noexcept { return running_; }
    [[nodiscard]] Transfer& wait();  // one is running; its step is finished then

private:
    class List {  // the first in is the first out
    public:
        [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
        [[nodiscard]] std::size_t size() const noexcept { return size_; }
        void add(Transfer& transfer) noexcept {
            transfer.behind = nullptr;
            (first_ == nullptr ? first_ : last_->behind) = &transfer;
            last_ = &transfer;
            ++size_;
        }
        [[nodiscard]] Transfer* take() noexcept {
            --size_;
            return std::exchange(first_, first_->behind);
        }

    private:
        Transfer* first_ = nullptr;
        Transfer* last_ = nullptr;
        std::size_t size_ = 0;
    };

    void work();
    void start_thread() noexcept;

    const std::size_t most_;
    std::size_t running_ = 0;  // started and not yet handed back; the owner's
    std::vector<std::thread> threads_;
    std::mutex mutex_;  // of what follows
    std::condition_variable work_to_do_;
    std::condition_variable step_finished_;
    List to_do_;
    List finished_;
    std::size_t idle_ = 0;
    bool stopping_ = false;
};

}  // namespace shoal
