// One process's spiller: looks for what is cold, writes it out and hands it over, when memory runs short or
// somebody asks. A thread of its own does that, or whoever has no room and finds none at it.
//
// What is cold: of each key all segments that are closed. Spillers of all processes go round the index by one hand,
// a leaf at a time; keys with much to spill come first, so that extents are large, and open tails are closed only
// when nothing else is left. A spill of everything goes its own way, once through the index (SpillPass::Trip).
//
// Thread safety: every function. A crash: see spill/batch.hpp; the hand may have passed what was not looked at.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>

#include "index/index.hpp"
#include "spill/calls.hpp"
#include "spill/pass.hpp"

namespace shoal {

class Spiller {
public:
    Spiller(const SpillContext& context, const Index& index);
    ~Spiller();
    Spiller(const Spiller&) = delete;
    Spiller& operator=(const Spiller&) = delete;

    [[nodiscard]] bool enabled() const noexcept { return context_.files.enabled(); }

    // Starts this process's thread, if it is not there; after fork, the child's own. Where no thread can be made (a
    // limit of processes), the threads that wait for room spill, and each tries again to start it.
    void start();
    // Ends it, and waits until it has; what it is writing is written first. While no other call is made.
    void stop() noexcept;

    // Memory is running short, or has run out: wakes the spillers of all processes. Cheap where none sleeps.
    void call() noexcept;

    // Waits until a spiller of any process has freed something or failed, or for `most`. Where this process has no
    // thread for it, spills itself. Not inside an epoch.
    void wait_for_room(std::chrono::milliseconds most);

    // The last failure to write, since `failures` of before: 0 or an errno.
    [[nodiscard]] std::uint32_t failures() const noexcept;
    [[nodiscard]] int last_error() const noexcept;

    // "io_uring", or "threads" and why: what this process writes by, or would; empty in a store that does not
    // spill.
    [[nodiscard]] std::string engine() const;

    // Spills until `wanted` bytes of memory will be free or there is nothing more. As much as there could be, or
    // more, means all that is there now, and nothing that comes meanwhile. Not inside an epoch.
    using Spilled = SpillPass::Outcome;
    Spilled spill(std::uint64_t wanted);

private:
    struct Worker;

    [[nodiscard]] Worker& worker();
    [[nodiscard]] std::uint64_t excess() const noexcept;  // bytes to spill, by the water marks
    [[nodiscard]] bool try_start();                       // whether the thread is there
    void run(Worker& worker, SpillCalls::Listener listener);
    enum class Why : std::uint8_t { kAsked, kNoRoom };
    void merge(Worker& worker, std::uint64_t most_bytes);
    Spilled help(std::uint64_t wanted);  // as spill, of who waits for room
    Spilled spill_with(Worker& worker, std::uint64_t wanted, bool with_tails, Why why,
                       SpillPass::Trip* trip = nullptr);

    SpillContext context_;
    const Index* index_;
    bool wants_thread_ = false;  // of this process, and of a child from its first need on; set once, by start()
    std::unique_ptr<Worker> worker_;       // guarded by context_.slots.mutex(), which survives a fork
    mutable std::string would_be_engine_;  // of a queue that was made to see, once; guarded as worker_
};

}  // namespace shoal
