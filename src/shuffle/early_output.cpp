#include "shuffle/early_output.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "io/start_thread.hpp"

namespace shoal::shuffling {
namespace {

constexpr std::uint64_t kRowOverhead = 16;            // a frame's header, and rounding to 8 bytes
constexpr std::uint64_t kUsualBytes = 32ULL << 20;    // more makes nothing faster, but for larger pieces
constexpr std::uint64_t kLeastPieceBytes = 64 << 10;  // smaller ones are left to memory, and to spilling
constexpr std::uint64_t kShareOfLimit = 4;            // two generations, whose segments may be half empty

}  // namespace

EarlyOutput::EarlyOutput(EarlyBoard& board, Store& rows, PartitionOutput& output, std::uint64_t memory_limit_bytes)
    : board_(board), rows_(rows), output_(output), most_bytes_(memory_limit_bytes / kShareOfLimit) {}

Outcome<void> EarlyOutput::start() {
    for (std::thread& writer : writers_) {
        if (const int cause = start_thread(writer, [this] { write_generations(); }); cause != 0) {
            return system_failure(
                "cannot start a thread that writes rows (see ulimit -u, and pids.max of a container)", cause);
        }
    }
    return {};
}

EarlyOutput::~EarlyOutput() {
    if (writers_.front().joinable()) end_writers();
}

Outcome<void> EarlyOutput::finish() {
    end_writers();
    return state();
}

void EarlyOutput::end_writers() noexcept {
    board_.meeting.leave();
    for (std::thread& writer : writers_) {
        if (writer.joinable()) writer.join();
    }
}

Outcome<void> EarlyOutput::state() {
    const std::lock_guard locked(mutex_);
    if (error_) return passed_on(*error_);
    return {};
}

// Takes no memory: what failed may have been for want of it.
void EarlyOutput::fail(ShuffleError&& error) noexcept {
    const std::lock_guard locked(mutex_);
    if (!error_) error_ = std::move(error);
}

void EarlyOutput::fail(const char* message) noexcept {
    try {
        fail(ShuffleError{ShuffleCause::kSystem, message});
    } catch (const std::bad_alloc&) {
        fail(ShuffleError{ShuffleCause::kSystem, "no memory"});  // as short as a string can keep in itself
    }
}

Outcome<void> EarlyOutput::appended(std::uint64_t bytes, std::size_t rows, std::size_t partitions) {
    const std::uint64_t more = bytes + kRowOverhead * rows;
    auto& held = board_.held_bytes[generation() % 2];
    if (held.fetch_add(more, std::memory_order_relaxed) + more >= enough(partitions)) board_.meeting.call();
    return board_.meeting.called() ? meet() : Outcome<void>{};
}

std::uint64_t EarlyOutput::enough(std::size_t partitions) const noexcept {
    if (partitions * kLeastPieceBytes > most_bytes_) return ~0ULL;
    return std::min(std::max(partitions * output_.piece_bytes(), kUsualBytes), most_bytes_);
}

Outcome<void> EarlyOutput::make_room() {
    board_.meeting.call();
    return meet();
}

Outcome<void> EarlyOutput::meet() {
    static_cast<void>(board_.meeting.attend());  // true: this mapper has not left
    return state();
}

// After an error it still comes to meetings, so that the mapper gets out of one and tells of it.
void EarlyOutput::write_generations() noexcept {
    while (board_.meeting.attend()) {
        const std::uint64_t last = generation() - 1;
        board_.held_bytes[last % 2].store(0, std::memory_order_relaxed);
        try {
            auto moved = output_.move_rows(rows_, last);
            if (moved) board_.moved_bytes.fetch_add(*moved, std::memory_order_relaxed);
            if (!moved) fail(std::move(moved.error()));
        } catch (const std::exception& exception) {
            fail(exception.what());
        }
    }
}

}  // namespace shoal::shuffling
