#include "io/threads.hpp"

#include <sys/uio.h>

#include <cerrno>
#include <utility>

#include "io/file_limit_signal.hpp"
#include "io/start_thread.hpp"

namespace shoal {
namespace {

void do_step(Transfer& transfer) noexcept {
    const std::span<const iovec> pieces = transfer.step();
    const auto count = static_cast<int>(pieces.size());
    const auto offset = static_cast<off_t>(transfer.offset());
    if (transfer.fault() != 0) {
        transfer.finish_step(-transfer.fault());
        return;
    }
    const ssize_t moved = transfer.is_read() ? ::preadv(transfer.file(), pieces.data(), count, offset)
                                             : ::pwritev(transfer.file(), pieces.data(), count, offset);
    transfer.finish_step(moved >= 0 ? moved : -errno);
}

}  // namespace

IoThreads::~IoThreads() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    work_to_do_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void IoThreads::start(Transfer& transfer) noexcept {
    ++running_;
    bool too_few = false;
    {
        const std::lock_guard lock(mutex_);
        to_do_.add(transfer);
        too_few = to_do_.size() > idle_ && threads_.size() < most_;
    }
    if (too_few) start_thread();
    work_to_do_.notify_one();
}

Transfer& IoThreads::wait() {
    std::unique_lock lock(mutex_);
    Transfer* transfer = nullptr;
    if (threads_.empty()) {
        transfer = to_do_.take();
        const FileLimitSignalHeld held;
        do_step(*transfer);
    } else {
        step_finished_.wait(lock, [this] { return !finished_.empty(); });
        transfer = finished_.take();
    }
    --running_;
    return *transfer;
}

void IoThreads::start_thread() noexcept {
    std::thread thread;
    // Without a thread those that are there do the work, or wait().
    if (shoal::start_thread(thread, [this] { work(); }) == 0) threads_.push_back(std::move(thread));
}

void IoThreads::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        ++idle_;
        work_to_do_.wait(lock, [this] { return !to_do_.empty() || stopping_; });
        --idle_;
        if (to_do_.empty()) return;
        Transfer* transfer = to_do_.take();
        lock.unlock();
        do_step(*transfer);
        lock.lock();
        finished_.add(*transfer);
        step_finished_.notify_one();
    }
}

}  // namespace shoal
