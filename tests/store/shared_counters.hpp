// Counters in memory that this process and the children it forks share: a start line for races, and ledgers of
// what was begun and what was acknowledged.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>

namespace shoal_test {

class SharedCounters {
public:
    using Counter = std::atomic<std::uint64_t>;
    static_assert(Counter::is_always_lock_free, "shared between processes");

    explicit SharedCounters(std::size_t count) : count_(count) {
        void* mapped =
            ::mmap(nullptr, count * sizeof(Counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) {
            std::perror("mmap");
            std::abort();
        }
        counters_ = static_cast<Counter*>(mapped);
        for (std::size_t i = 0; i < count; ++i) new (&counters_[i]) Counter(0);
    }
    ~SharedCounters() { ::munmap(counters_, count_ * sizeof(Counter)); }
    SharedCounters(const SharedCounters&) = delete;
    SharedCounters& operator=(const SharedCounters&) = delete;

    Counter& operator[](std::size_t index) { return counters_[index]; }
    const Counter& operator[](std::size_t index) const { return counters_[index]; }
    std::size_t size() const { return count_; }

private:
    Counter* counters_;
    std::size_t count_;
};

// Holds everyone back until `parties` have come, so that they start together.
class StartLine {
public:
    explicit StartLine(std::uint64_t parties) : parties_(parties), arrived_(1) {}
    void arrive_and_wait() {
        arrived_[0].fetch_add(1);
        while (arrived_[0].load() < parties_) std::this_thread::yield();
    }

private:
    std::uint64_t parties_;
    SharedCounters arrived_;
};

}  // namespace shoal_test
