// Mappers and writers of all workers meet, so that a new generation of rows begins for all of them at once.
//
// Lies in memory that the workers share; all were forked with it. Invariant: while a generation begins, each mapper
// and each writer is within attend(), and so none is at work on any generation. A mapper comes when it has found
// called(), a writer whenever it has nothing to do. Who dies is waited for until the parent ends all others.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

namespace shoal::shuffling {

class Meeting {
public:
    Meeting() noexcept;
    Meeting(const Meeting&) = delete;
    Meeting& operator=(const Meeting&) = delete;
    ~Meeting() = default;  // its memory goes with the last process, some of which may have been killed in here

    // Before the fork.
    void expect(unsigned mappers, unsigned writers) noexcept {
        mappers_ = mappers;
        writers_ = writers;
    }

    // Asks all mappers to come. They do when they look, which costs a load.
    void call() noexcept { called_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool called() const noexcept { return called_.load(std::memory_order_relaxed); }

    // Waits until a new generation begins, and then is true; false: no mapper is left, and none will begin.
    [[nodiscard]] bool attend() noexcept;

    // A mapper comes no more.
    void leave() noexcept;

    // From 0. Changes within attend() alone.
    [[nodiscard]] std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_relaxed); }

private:
    void begin_when_complete() noexcept;

    pthread_mutex_t mutex_;
    pthread_cond_t changed_;
    unsigned mappers_ = 0;
    unsigned writers_ = 0;
    unsigned present_ = 0;
    bool over_ = false;
    // Relaxed: what those who meet have written is ordered by the mutex.
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<bool> called_{false};
};

}  // namespace shoal::shuffling
