#include "io/queue.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "io/ring.hpp"
#include "io/threads.hpp"
#include "io/transfer.hpp"

namespace shoal {
namespace {

constexpr unsigned kMostDepth = 4096;
constexpr unsigned kMostThreads = 16;  // more of them hardly make a disk quicker, and each has a stack

}  // namespace

struct IoQueue::Impl {
    Impl(unsigned depth_wanted, IoEngine wanted_engine)
        : depth(std::clamp(depth_wanted, 1U, kMostDepth)),
          wanted(wanted_engine),
          transfers(depth),
          threads(std::min(depth, kMostThreads)) {
        free.reserve(depth);
        done.reserve(depth);
        for (Transfer& transfer : transfers) free.push_back(&transfer);
        if (wanted == IoEngine::kThreads)
            refusal = "as asked for";
        else
            ring = Ring::make(depth, refusal);
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        while (free.size() != depth) free.push_back(&next_finished_step());
    }

    [[nodiscard]] bool uses_ring() const noexcept { return ring != nullptr && left_ring_for == 0; }

    void start_step(Transfer& transfer) {
        transfer.begin_step();
        if (uses_ring())
            ring->start(transfer);
        else
            threads.start(transfer);
    }

    void flush() {
        if (!uses_ring()) return;
        if (const int error = ring->flush(); error != 0) leave_ring(error);
    }

    // A sandbox that came later: what the ring does not take is done by threads from now on. Needs no memory, so
    // that nothing that was submitted is lost for want of it.
    void leave_ring(int error) noexcept {
        left_ring_for = error;
        for (Transfer* transfer : ring->take_back()) threads.start(*transfer);
    }

    [[nodiscard]] std::string why() const {
        if (uses_ring()) return "io_uring";
        if (left_ring_for == 0) return "threads: " + refusal;
        return std::string("threads: io_uring_enter: ") + std::strerror(left_ring_for);
    }

    [[nodiscard]] Transfer& next_finished_step() {
        while (ring != nullptr && ring->running() != 0) {
            Transfer* transfer = nullptr;
            const int error = ring->wait(transfer);
            if (error == 0) return *transfer;
            leave_ring(error);
        }
        return threads.wait();
    }

    // So that what is done can be noted without memory.
    void reserve_done() {
        if (first_done == done.size()) {
            done.clear();
            first_done = 0;
        }
        if (done.size() == done.capacity()) done.reserve(2 * done.capacity());
    }

    // Until one request is done.
    void finish_one() {
        reserve_done();
        while (true) {
            Transfer& transfer = next_finished_step();
            if (const std::optional<IoDone> end = transfer.settle()) {
                done.push_back(*end);
                free.push_back(&transfer);
                return;
            }
            transfer.pause();
            start_step(transfer);
        }
    }

    const pid_t owner = ::getpid();
    const unsigned depth;
    const IoEngine wanted;
    std::vector<Transfer> transfers;
    std::vector<Transfer*> free;
    std::vector<IoDone> done;  // from first_done on: not given out yet
    std::size_t first_done = 0;
    std::string refusal;  // why there is no ring
    std::unique_ptr<Ring> ring;
    int left_ring_for = 0;  // the errno for which nothing is given to the ring any more
    IoThreads threads;
};

IoQueue::IoQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

IoQueue IoQueue::make(unsigned depth, IoEngine wanted) { return IoQueue(std::make_unique<Impl>(depth, wanted)); }

IoQueue::IoQueue(IoQueue&&) noexcept = default;
IoQueue& IoQueue::operator=(IoQueue&& other) noexcept {
    IoQueue old(std::move(*this));
    impl_ = std::move(other.impl_);
    return *this;
}
IoQueue::~IoQueue() {
    if (impl_ != nullptr && impl_->owner != ::getpid()) leave_to_parent();
}

// What the parent's other threads were in the middle of is in no state to be destroyed, so it stays where it is; it
// is little.
IoQueue::Impl& IoQueue::leave_to_parent() const {
    Impl* of_parent = impl_.release();
    if (of_parent->ring != nullptr) of_parent->ring->leave_to_parent();
    return *of_parent;
}

IoQueue::Impl& IoQueue::own() const {
    if (impl_->owner != ::getpid()) {
        const Impl& of_parent = leave_to_parent();
        impl_ = std::make_unique<Impl>(of_parent.depth, of_parent.wanted);
    }
    return *impl_;
}

void IoQueue::submit(const IoRequest& request) {
    Impl& impl = own();
    if (impl.free.empty()) impl.finish_one();
    Transfer& transfer = *impl.free.back();
    transfer.begin(request);
    if (transfer.nothing_left()) {
        impl.reserve_done();
        impl.done.push_back({request.tag, 0, 0});
        return;
    }
    impl.start_step(transfer);  // where it throws, the transfer is still free
    impl.free.pop_back();
}

void IoQueue::flush() { own().flush(); }

std::optional<IoDone> IoQueue::wait() {
    Impl& impl = own();
    if (impl.first_done == impl.done.size()) {
        if (impl.free.size() == impl.depth) return std::nullopt;
        impl.finish_one();
    } else {
        impl.flush();
    }
    return impl.done[impl.first_done++];
}

std::size_t IoQueue::in_flight() const {
    Impl& impl = own();
    return impl.depth - impl.free.size() + (impl.done.size() - impl.first_done);
}

IoEngine IoQueue::engine() const { return own().uses_ring() ? IoEngine::kRing : IoEngine::kThreads; }

std::string IoQueue::why() const { return own().why(); }

}  // namespace shoal
