// The engine by io_uring: a step of a transfer is one SQE, and many are handed over by one system call.
//
// Any kernel that has IORING_OP_READ (5.6). The thread that submits has to be there until all is done. The ring's
// memory is not inherited by a child of fork, so that a child cannot disturb it, not even by ending. A program that
// has closed the ring's descriptor takes the ring from it: what was handed over is done, what was not goes back
// (EBADF).
//
// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "io/transfer.hpp"

struct io_uring;

namespace shoal {

class Ring {
public:
    // Null, and in `why` the reason, where there is no io_uring for this process.
    [[nodiscard]] static std::unique_ptr<Ring> make(unsigned depth, std::string& why);
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring();  // nothing is running any more

    // After its begin_step(). At most `depth` between here and wait().
    void start(Transfer& transfer);
    // Hands over what was started. 0, or the errno for which the kernel takes no more: see take_back().
    [[nodiscard]] int flush();
    // One that is running; its step is finished then. First hands over what was started: 0 as in flush(), else the
    // reason, and no transfer.
    [[nodiscard]] int wait(Transfer*& transfer);
    [[nodiscard]] std::size_t running() const noexcept { return queued_.size() + handed_over_; }

    // What was started and not handed over, which is no longer the ring's. It is for waiting only from now on.
    [[nodiscard]] std::vector<Transfer*> take_back() noexcept;

    // In a child of fork: gives back the child's descriptor and nothing else.
    void leave_to_parent() noexcept;

private:
    Ring();
    void mark() noexcept;
    [[nodiscard]] bool is_ours() const noexcept;
    [[nodiscard]] int works();
    [[nodiscard]] int hand_over(unsigned wait_for);
    [[nodiscard]] Transfer* reap();
    void sleep_until_one_is_done();

    std::unique_ptr<io_uring> ring_;
    bool exists_ = false;            // in the kernel
    int mark_ = 0;                   // of its descriptor, by which that is told from what may have its number later
    bool refused_ = false;           // the kernel takes no more
    std::vector<Transfer*> queued_;  // in the order of their SQEs
    std::size_t handed_over_ = 0;    // and not yet reaped
};

}  // namespace shoal
