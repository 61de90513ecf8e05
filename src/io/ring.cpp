#include "io/ring.hpp"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "io/file_limit_signal.hpp"

namespace shoal {
namespace {

// What read(2) and write(2) transfer at most; an SQE's length has 32 bits.
constexpr std::size_t kMostBytesAStep = 0x7ffff000;

// Where the kernel is out of memory for requests and none of ours is running that would give some back.
constexpr unsigned kMostRefusals = 10;  // pauses of 1, 2, 4 .. 512 ms

std::string failure(const char* call, int error) { return std::string(call) + ": " + std::strerror(error); }

// COOP_TASKRUN (5.19): completions do not interrupt the thread, which comes for them in wait(). DEFER_TASKRUN would
// tie the ring to the thread that made it.
int set_up(unsigned depth, io_uring& ring) {
    int result = -EINVAL;
    for (const unsigned flags :
         {unsigned{IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN}, unsigned{IORING_SETUP_CLAMP}}) {
        io_uring_params parameters{};
        parameters.flags = flags;
        result = ::io_uring_queue_init_params(depth, &ring, &parameters);
        if (result != -EINVAL) break;
    }
    return result < 0 ? -result : 0;
}

bool knows_operations(io_uring& ring) {
    io_uring_probe* probe = ::io_uring_get_probe_ring(&ring);
    if (probe == nullptr) return false;
    bool all = true;
    for (const int operation : {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_WRITEV})
        all = all && ::io_uring_opcode_supported(probe, operation) != 0;
    ::io_uring_free_probe(probe);
    return all;
}

// The kernel hands a ring's memory from one thread to the next; this lets ThreadSanitizer see it, which is told
// neither of the unmapping nor of the mapping.
std::atomic<std::uint32_t> rings_left{0};

constexpr std::chrono::milliseconds kLookAgain{1};  // at completions, without a descriptor to wait by

std::atomic<std::uint32_t> rings_made{0};  // relaxed use: counts

}  // namespace

Ring::Ring() : ring_(std::make_unique<io_uring>()) {}

std::unique_ptr<Ring> Ring::make(unsigned depth, std::string& why) {
    std::unique_ptr<Ring> made(new Ring);
    if (const int error = set_up(depth, *made->ring_); error != 0) {
        why = failure("io_uring_setup", error);
        return nullptr;
    }
    made->exists_ = true;
    made->mark();
    made->queued_.reserve(depth);                                   // so that start() cannot throw
    static_cast<void>(rings_left.load(std::memory_order_acquire));  // pairs with ~Ring
    if (!knows_operations(*made->ring_)) {
        why = "io_uring_register: it cannot be asked, or has no IORING_OP_READ (Linux 5.6)";
        return nullptr;
    }
    if (const int error = ::io_uring_ring_dontfork(made->ring_.get()); error != 0) {
        why = failure("madvise of the ring", -error);
        return nullptr;
    }
    if (const int error = made->works(); error != 0) {
        why = failure("io_uring_enter", error);
        return nullptr;
    }
    return made;
}

Ring::~Ring() {
    if (!exists_) return;
    rings_left.fetch_add(1, std::memory_order_release);  // pairs with make
    if (!is_ours()) ring_->ring_fd = -1;
    ::io_uring_queue_exit(ring_.get());
}

void Ring::leave_to_parent() noexcept {
    if (is_ours()) ::close(ring_->ring_fd);
    exists_ = false;
}

// All io_uring instances, epolls and the like are one inode. What tells this one from others is the signal that its
// description would raise, were it asked to, which it never is: others have none, and of ours each has the next
// one.
void Ring::mark() noexcept {
    const int kinds = SIGRTMAX - SIGRTMIN + 1;
    const auto made = static_cast<int>(rings_made.fetch_add(1, std::memory_order_relaxed) % 1024);
    const int signal = SIGRTMIN + made % kinds;
    if (::fcntl(ring_->ring_fd, F_SETSIG, signal) == 0) mark_ = signal;
}

bool Ring::is_ours() const noexcept { return exists_ && ::fcntl(ring_->ring_fd, F_GETSIG) == mark_; }

// A sandbox may allow the set-up and not the use.
int Ring::works() {
    ::io_uring_prep_nop(::io_uring_get_sqe(ring_.get()));
    int submitted = 0;
    while ((submitted = ::io_uring_submit_and_wait(ring_.get(), 1)) == -EINTR) {
    }
    if (submitted < 0) return -submitted;
    io_uring_cqe* completion = nullptr;
    int waited = 0;
    while ((waited = ::io_uring_wait_cqe(ring_.get(), &completion)) == -EINTR) {
    }
    if (waited < 0) return -waited;
    ::io_uring_cqe_seen(ring_.get(), completion);
    return 0;
}

void Ring::start(Transfer& transfer) {
    io_uring_sqe* entry = ::io_uring_get_sqe(ring_.get());  // there is one: no more than depth are running
    const std::span<const iovec> pieces = transfer.step();
    const std::uint64_t offset = transfer.offset();
    if (transfer.fault() != 0) {
        ::io_uring_prep_nop(entry);
    } else if (pieces.size() == 1) {
        const auto bytes = static_cast<unsigned>(std::min(pieces[0].iov_len, kMostBytesAStep));
        if (transfer.is_read())
            ::io_uring_prep_read(entry, transfer.file(), pieces[0].iov_base, bytes, offset);
        else
            ::io_uring_prep_write(entry, transfer.file(), pieces[0].iov_base, bytes, offset);
    } else {
        const auto count = static_cast<unsigned>(pieces.size());
        if (transfer.is_read())
            ::io_uring_prep_readv(entry, transfer.file(), pieces.data(), count, offset);
        else
            ::io_uring_prep_writev(entry, transfer.file(), pieces.data(), count, offset);
    }
    // What could not be done without blocking is done where blocking does no harm.
    if (transfer.failed_before()) ::io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
    ::io_uring_sqe_set_data(entry, &transfer);
    queued_.push_back(&transfer);
}

// One system call: 0, or why none of the queued was taken.
int Ring::hand_over(unsigned wait_for) {
    if (!is_ours()) return EBADF;
    std::optional<FileLimitSignalHeld> held;
    if (std::any_of(queued_.begin(), queued_.end(), [](const Transfer* transfer) { return !transfer->is_read(); }))
        held.emplace();
    const int taken = ::io_uring_submit_and_wait(ring_.get(), wait_for);
    if (taken < 0) return -taken;
    queued_.erase(queued_.begin(), queued_.begin() + taken);
    handed_over_ += static_cast<std::size_t>(taken);
    return taken == 0 ? EAGAIN : 0;
}

int Ring::flush() {
    for (unsigned refusals = 0; !queued_.empty();) {
        const int error = hand_over(0);
        if (error == 0 || error == EINTR) continue;
        if (error != EAGAIN && error != EBUSY && error != ENOMEM) return error;
        if (handed_over_ != 0) return 0;  // the rest goes when one of those is done
        if (++refusals > kMostRefusals) return error;
        std::this_thread::sleep_for(std::chrono::milliseconds(1U << (refusals - 1)));
    }
    return 0;
}

int Ring::wait(Transfer*& transfer) {
    transfer = nullptr;
    while (true) {
        if (!queued_.empty() && !refused_) {
            // Waiting and handing over are one system call where all goes well.
            if (::io_uring_cq_ready(ring_.get()) == 0) static_cast<void>(hand_over(1));
            if (const int error = flush(); error != 0) return error;
        }
        if ((transfer = reap()) != nullptr) return 0;
        sleep_until_one_is_done();
    }
}

Transfer* Ring::reap() {
    io_uring_cqe* completion = nullptr;
    if (::io_uring_peek_cqe(ring_.get(), &completion) != 0) return nullptr;
    auto* transfer = static_cast<Transfer*>(::io_uring_cqe_get_data(completion));
    transfer->finish_step(transfer->fault() != 0 ? -transfer->fault() : completion->res);
    ::io_uring_cqe_seen(ring_.get(), completion);
    --handed_over_;
    return transfer;
}

void Ring::sleep_until_one_is_done() {
    if (!is_ours()) {  // the ring's memory keeps the ring
        std::this_thread::sleep_for(kLookAgain);
        return;
    }
    io_uring_cqe* completion = nullptr;
    if (const int error = ::io_uring_wait_cqe(ring_.get(), &completion); error == 0 || error == -EINTR) return;
    // Refused since the set-up; what the kernel has taken is done nevertheless, and the descriptor tells.
    pollfd ready{ring_->ring_fd, POLLIN, 0};
    ::poll(&ready, 1, -1);
}

std::vector<Transfer*> Ring::take_back() noexcept {
    refused_ = true;
    return std::exchange(queued_, {});
}

}  // namespace shoal
