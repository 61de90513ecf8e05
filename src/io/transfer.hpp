// A request under way: what is still to be transferred, and by which step an engine does the next part of it.
//
// Thread safety: none; it belongs to the queue, and to an engine from start() until that hands it back.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/fault.hpp"
#include "io/queue.hpp"

namespace shoal {

class Transfer {
public:
    void begin(const IoRequest& request);
    [[nodiscard]] bool nothing_left() const noexcept { return first_ == pieces_.size(); }

    // For an engine: one preadv or pwritev of these pieces, all of them or the first IOV_MAX. Valid until
    // finish_step.
    void begin_step();
    [[nodiscard]] bool is_read() const noexcept { return kind_ == IoRequest::Kind::kRead; }
    [[nodiscard]] int file() const noexcept { return file_; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_ + done_; }
    [[nodiscard]] std::span<const iovec> step() const noexcept { return step_; }
    [[nodiscard]] int fault() const noexcept { return fault_.error; }  // the errno that it has to fail with, or 0
    [[nodiscard]] bool failed_before() const noexcept { return fruitless_steps_ != 0; }
    void finish_step(std::int64_t outcome) noexcept { outcome_ = outcome; }  // bytes, or -errno

    // For the queue, after a step: the request's end, or nothing when there is another step to do.
    [[nodiscard]] std::optional<IoDone> settle();
    // Sleeps where the last steps moved nothing: short at first, and not at all after the first of them.
    void pause() const;

    Transfer* behind = nullptr;  // in a list of an engine, which so needs no memory

private:
    void advance(std::uint64_t bytes) noexcept;
    [[nodiscard]] bool at_end_of_file() const noexcept;

    IoRequest::Kind kind_{};
    int file_ = -1;
    std::uint64_t tag_ = 0;
    std::uint64_t offset_ = 0;
    std::uint64_t done_ = 0;     // bytes
    std::vector<iovec> pieces_;  // none is empty; those before first_ are done, and the start of that one cut off
    std::size_t first_ = 0;      //
    unsigned fruitless_steps_ = 0;  // the last ones, that moved nothing
    std::int64_t outcome_ = 0;
    std::span<const iovec> step_;
    IoFault fault_;
    std::vector<iovec> cut_step_;  // of a step that a fault makes short
};

}  // namespace shoal
