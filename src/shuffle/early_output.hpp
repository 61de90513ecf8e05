// Rows written to their partitions' files before all are read, so that a job needs memory for some of them only.
//
// Rows come to the store by generations, each under keys of its own. When the store holds enough of one, all
// mappers begin the next; threads of each worker, its writers, then move the rows of the last one to the ends of
// their partitions' files: two, so that one has work for the processor while the other waits for the disk. The next
// but one begins when that is done, so the mappers wait where writing is slower than reading, and the rows of a
// partition are in its file in the order in which the store got them.
//
// Invariants: a mapper appends to the current generation alone, and looks which that is after each meeting; a
// writer touches the last one alone; none of them is at work while one begins (Meeting). Of the writers one has a
// partition at a time, whoever was first to claim it, and all its rows are gone when it lets go of the claim.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

#include "shuffle/meeting.hpp"
#include "shuffle/partition_output.hpp"

namespace shoal::shuffling {

// What all workers share of it.
struct EarlyBoard {
    Meeting meeting;
    std::atomic<std::uint64_t> held_bytes[2]{};  // of rows and what they cost, in even and in odd generations
    std::atomic<std::uint64_t> moved_bytes{0};   // of rows
};

// A worker's part. Made and started after the fork, as it has threads.
class EarlyOutput {
public:
    EarlyOutput(EarlyBoard& board, Store& rows, PartitionOutput& output, std::uint64_t memory_limit_bytes);
    // Starts the writers, of which the meeting expects each. Errors: no thread is to be had; then this worker
    // fails.
    [[nodiscard]] Outcome<void> start();
    EarlyOutput(const EarlyOutput&) = delete;
    EarlyOutput& operator=(const EarlyOutput&) = delete;
    ~EarlyOutput();

    // In which the mapper is to append; changes in the calls that follow.
    [[nodiscard]] std::uint64_t generation() const noexcept { return board_.meeting.generation(); }

    static constexpr unsigned kWriters = 2;

    // Says that rows of so many bytes were appended. `partitions`: as many as this mapper has seen. May wait until
    // a new generation begins. Errors: of this worker's writers.
    [[nodiscard]] Outcome<void> appended(std::uint64_t bytes, std::size_t rows, std::size_t partitions);

    // Whether any mapper has appended to this generation.
    [[nodiscard]] bool anything_held() const noexcept {
        return board_.held_bytes[generation() % 2].load(std::memory_order_relaxed) != 0;
    }

    // Waits until a new generation begins: the store has no room.
    [[nodiscard]] Outcome<void> make_room();

    // No more rows come from this mapper. Waits until none come from any, and the writers are done. Errors: theirs.
    [[nodiscard]] Outcome<void> finish();

private:
    [[nodiscard]] std::uint64_t enough(std::size_t partitions) const noexcept;
    [[nodiscard]] Outcome<void> meet();
    [[nodiscard]] Outcome<void> state();
    void fail(ShuffleError&& error) noexcept;
    void fail(const char* message) noexcept;
    void end_writers() noexcept;
    void write_generations() noexcept;

    EarlyBoard& board_;
    Store& rows_;
    PartitionOutput& output_;
    std::uint64_t most_bytes_;
    std::mutex mutex_;
    std::optional<ShuffleError> error_;  // a writer's first; under the mutex
    std::array<std::thread, kWriters> writers_;
};

}  // namespace shoal::shuffling
