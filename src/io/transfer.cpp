#include "io/transfer.hpp"

#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

namespace shoal {
namespace {

// Pauses of 1, 2, 4 .. 256 ms: 1.5 s in all. EAGAIN is memory or queues that the kernel is short of for a moment.
constexpr unsigned kStepsWithoutPause = 2;
constexpr unsigned kMostFruitlessSteps = 16;
constexpr unsigned kMostPauseExponent = 8;

constexpr std::uint64_t kBlockBytes = 4096;  // of direct transfers

bool may_pass(int error) noexcept { return error == EINTR || error == EAGAIN || error == ECANCELED; }

}  // namespace

void Transfer::begin(const IoRequest& request) {
    kind_ = request.kind;
    file_ = request.file;
    tag_ = request.tag;
    offset_ = request.offset;
    done_ = 0;
    pieces_.clear();
    std::copy_if(request.pieces.begin(), request.pieces.end(), std::back_inserter(pieces_),
                 [](const iovec& piece) { return piece.iov_len != 0; });
    first_ = 0;
    fruitless_steps_ = 0;
}

void Transfer::begin_step() {
    step_ =
        std::span<const iovec>(pieces_).subspan(first_, std::min<std::size_t>(pieces_.size() - first_, IOV_MAX));
    fault_ = next_io_fault();
    if (fault_.short_by == 0) return;
    // One byte goes at least, of whole blocks a block: a direct transfer stops between blocks.
    const bool blocks = fault_.short_by % kBlockBytes == 0 &&
                        std::all_of(step_.begin(), step_.end(),
                                    [](const iovec& piece) { return piece.iov_len % kBlockBytes == 0; });
    const std::uint64_t least = blocks ? kBlockBytes : 1;
    cut_step_.assign(step_.begin(), step_.end());
    for (std::uint64_t cut = fault_.short_by; cut != 0;) {
        iovec& last = cut_step_.back();
        if (cut >= last.iov_len && cut_step_.size() > 1) {
            cut -= last.iov_len;
            cut_step_.pop_back();
        } else {
            last.iov_len -= std::min<std::uint64_t>(cut, last.iov_len - std::min(last.iov_len, least));
            cut = 0;
        }
    }
    step_ = cut_step_;
}

std::optional<IoDone> Transfer::settle() {
    const auto end = [this](int error) { return IoDone{tag_, error, done_}; };
    if (outcome_ > 0) {
        advance(static_cast<std::uint64_t>(outcome_));
        fruitless_steps_ = 0;
        return nothing_left() ? std::optional(end(0)) : std::nullopt;
    }
    // A write that takes nothing and gives no reason would go on so for ever.
    if (outcome_ == 0) return end(is_read() ? 0 : EIO);
    const auto error = static_cast<int>(-outcome_);
    if (may_pass(error) && ++fruitless_steps_ < kMostFruitlessSteps) return std::nullopt;
    // A direct read that ended with the file goes on at an offset that is not aligned, which file systems may
    // refuse.
    if (error == EINVAL && is_read() && done_ != 0 && at_end_of_file()) return end(0);
    return end(error);
}

void Transfer::pause() const {
    if (fruitless_steps_ <= kStepsWithoutPause) return;
    const unsigned exponent = std::min(fruitless_steps_ - kStepsWithoutPause - 1, kMostPauseExponent);
    std::this_thread::sleep_for(std::chrono::milliseconds(1U << exponent));
}

void Transfer::advance(std::uint64_t bytes) noexcept {
    done_ += bytes;
    while (bytes != 0) {
        iovec& piece = pieces_[first_];
        const std::size_t part = std::min<std::uint64_t>(bytes, piece.iov_len);
        piece.iov_base = static_cast<std::byte*>(piece.iov_base) + part;
        piece.iov_len -= part;
        bytes -= part;
        if (piece.iov_len == 0) ++first_;
    }
}

bool Transfer::at_end_of_file() const noexcept {
    struct stat status {};
    return ::fstat(file_, &status) == 0 && static_cast<std::uint64_t>(status.st_size) <= offset();
}

}  // namespace shoal
