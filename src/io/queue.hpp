// Reads and writes of files, many under way at once: by io_uring, or by threads that call preadv and pwritev where
// io_uring is not to be had.
//
// A transfer that comes out short goes on where it stopped; EINTR, EAGAIN and ECANCELED (the thread that submitted
// has ended) are tried again, at once first, then with growing pauses, for some 1.5 s without a byte moved; every
// other error is the request's. A write beyond ulimit -f is EFBIG, and never a SIGXFSZ.
//
// Thread safety: one thread at a time, and no other one while something is in flight. A child of fork that uses an
// inherited queue has an empty one with an engine of its own: what was in flight is the parent's, undisturbed.
//
// I1 What submit() was given is given out by wait() exactly once, in the order in which it is done.
// I2 IoDone::bytes have been transferred from the request's start on, without a gap; beyond them a failed request
// may
//    have changed memory (a read) or the file (a write), never outside of what it asked for.
// I3 No memory of a request is touched after wait() gave it out, or after the queue is gone.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace shoal {

// Consecutive bytes of a file, in pieces of memory. The list of pieces is copied; what they point at has to stay
// until wait() gives the request out. With a file opened O_DIRECT, offset, pieces and sizes are aligned as it
// demands.
struct IoRequest {
    enum class Kind : std::uint8_t { kRead, kWrite };
    Kind kind{};
    int file = -1;             // an open descriptor, the caller's
    std::uint64_t offset = 0;  // bytes
    std::span<const iovec> pieces;
    std::uint64_t tag = 0;  // comes back in IoDone
};

struct IoDone {
    std::uint64_t tag = 0;
    int error = 0;            // errno, or 0
    std::uint64_t bytes = 0;  // less than asked for only at the end of the file (a read) or with an error
};

enum class IoEngine : std::uint8_t { kAny, kRing, kThreads };  // kRing is io_uring

class IoQueue {
public:
    // Up to `depth` requests (1 to 4096) under way at once. Always succeeds: without io_uring it is threads.
    [[nodiscard]] static IoQueue make(unsigned depth, IoEngine wanted = IoEngine::kAny);
    IoQueue(IoQueue&&) noexcept;
    IoQueue& operator=(IoQueue&&) noexcept;
    ~IoQueue();  // waits for what is under way

    // Starts nothing before flush() or wait() with io_uring, so that many go by one system call. Where `depth` are
    // under way, waits until one is done.
    void submit(const IoRequest& request);
    // Starts what was submitted. Does not wait.
    void flush();
    // The next that is done; waits for it, asleep. Nothing when none is in flight.
    [[nodiscard]] std::optional<IoDone> wait();
    // Submitted and not yet given out.
    [[nodiscard]] std::size_t in_flight() const;

    [[nodiscard]] IoEngine engine()
        const;  // kRing or kThreads; a ring that the kernel refuses later becomes threads
    [[nodiscard]] std::string why() const;  // "io_uring", or "threads: io_uring_setup: Operation not permitted"

private:
    struct Impl;
    explicit IoQueue(std::unique_ptr<Impl> impl);
    Impl& leave_to_parent() const;  // in a child of fork; impl_ is null afterwards
    Impl& own() const;

    mutable std::unique_ptr<Impl> impl_;  // replaced, in a child of fork, by whichever call comes first
};

}  // namespace shoal
