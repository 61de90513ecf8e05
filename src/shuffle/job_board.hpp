// What the processes of one shuffle share besides the store: counters, who takes which task, what went wrong.
// Memory of the parent's, mapped shared before it forks; gone with the last of them, whatever happens.
//
// Writers: each Desk has one, its worker. The parent reads counters at any time, for the progress bar, and the rest
// after the worker is reaped: waitpid orders that. So relaxed is enough everywhere: fetch_add alone makes the
// taking of tasks unique, and what a task needs was written before the fork.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "shuffle/failure.hpp"
#include "shuffle/row_scanner.hpp"

namespace shoal::shuffling {

// An array of zeroed T that forked processes share.
template <class T>
class SharedArray {
public:
    SharedArray() = default;
    [[nodiscard]] static Outcome<SharedArray> make(std::size_t size) {
        SharedArray array;
        const std::size_t bytes = sizeof(T) * (size == 0 ? 1 : size);
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return system_failure("no memory to share with the workers", errno);
        array.data_ = static_cast<T*>(memory);
        array.bytes_ = bytes;
        array.size_ = size;
        for (std::size_t i = 0; i < size; ++i) new (array.data_ + i) T{};
        return array;
    }
    SharedArray(SharedArray&& other) noexcept { *this = std::move(other); }
    SharedArray& operator=(SharedArray&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~SharedArray() {
        if (data_ != nullptr) munmap(data_, bytes_);
    }

    [[nodiscard]] T& operator[](std::size_t index) noexcept { return data_[index]; }
    [[nodiscard]] const T& operator[](std::size_t index) const noexcept { return data_[index]; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] T* begin() noexcept { return data_; }
    [[nodiscard]] T* end() noexcept { return data_ + size_; }

private:
    T* data_ = nullptr;
    std::size_t bytes_ = 0;
    std::size_t size_ = 0;
};

// Where a malformed row lies; its line number is counted when somebody wants to hear of it.
struct BadSpot {
    std::uint32_t file = 0;
    BadRow reason{};
    std::uint64_t offset = 0;
    std::uint64_t detail = 0;
};

// One worker's.
struct Desk {
    static constexpr std::size_t kSpots = 5;
    static constexpr std::size_t kMessageBytes = 2000;

    std::atomic<std::uint64_t> bytes_done{0};  // of input, then of output
    std::atomic<std::uint64_t> rows{0};
    std::atomic<std::uint64_t> busy_with{0};  // index of the input file or partition
    std::uint64_t row_bytes = 0;
    std::uint64_t blank_lines = 0;
    std::array<std::uint64_t, kBadRowReasons> bad_rows{};
    std::array<BadSpot, kSpots> first_bad{};  // as many as were counted, at most kSpots; in input order
    std::size_t spots = 0;
    BadSpot fatal{};  // the malformed row that ended this worker's part of the job
    bool has_fatal = false;
    ShuffleCause cause{};
    char message[kMessageBytes]{};  // not empty: the worker failed with it

    void fail(const ShuffleError& error) noexcept {
        cause = error.cause;
        const std::size_t length = std::min(error.message.size(), kMessageBytes - 1);
        std::memcpy(message, error.message.data(), length);
        message[length] = '\0';
    }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "it is shared between processes");

// All workers'.
struct Counters {
    static constexpr std::uint64_t kNone = ~0ULL;

    std::atomic<std::uint64_t> next_task{0};
    std::atomic<std::uint64_t> first_bad_task{kNone};  // tasks behind it need not be done any more

    [[nodiscard]] std::uint64_t take_task() noexcept { return next_task.fetch_add(1, std::memory_order_relaxed); }

    void found_bad(std::uint64_t task) noexcept {
        std::uint64_t first = first_bad_task.load(std::memory_order_relaxed);
        // A failed turn means that somebody found another one; ours matters only while it is the earlier.
        while (task < first && !first_bad_task.compare_exchange_weak(first, task, std::memory_order_relaxed)) {
        }
    }

    // A stale answer costs work that was not needed, nothing else.
    [[nodiscard]] bool pointless(std::uint64_t task) const noexcept {
        return first_bad_task.load(std::memory_order_relaxed) < task;
    }
};

}  // namespace shoal::shuffling
