#include "spill/extent_output.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "arena/geometry.hpp"
#include "arena/system_failure.hpp"

namespace shoal {

ExtentOutput::~ExtentOutput() {
    static_cast<void>(end_writes(0));
    leave_file();
}

Result<void> ExtentOutput::take_file(std::uint64_t bytes) {
    auto taken = files_->take(*slot_, bytes, &file_number_);
    if (!taken) return tl::unexpected(std::move(taken.error()));
    file_ = std::move(*taken);
    // relaxed: ours since take(). Behind what its last owner may have been writing when it died.
    buffer_offset_ = round_up(files_->entry(file_number_).end.load(std::memory_order_relaxed), kUnit);
    allocated_ = buffer_offset_;
    used_ = 0;
    ranges_.push_back({file_, buffer_offset_, buffer_offset_});
    return {};
}

void ExtentOutput::leave_file() noexcept {
    if (file_ == nullptr) return;
    file_ = nullptr;
    files_->give_back(*slot_, file_number_);
}

Result<void> ExtentOutput::make_room(std::size_t bytes, std::uint64_t in_one) {
    if (!queue_) queue_.emplace(IoQueue::make(static_cast<unsigned>(count_)));
    if (in_one != 0 && !SpillFiles::has_room(kUnit, in_one, size_limit_)) {  // not even in a new one
        return failed(fmt::format("cannot write {} bytes to one file in {} (ulimit -f)", in_one, files_->folder()),
                      EFBIG);
    }
    const std::uint64_t wanted = in_one + kBufferBytes;  // with what is in the buffer, and padding
    if (in_one != 0 && file_ != nullptr && !SpillFiles::has_room(offset(), wanted, size_limit_)) {
        if (auto done = finish(); !done) return done;
    }
    if (file_ == nullptr) {
        if (auto taken = take_file(wanted); !taken) return taken;
    }
    Buffer& buffer = buffers_[current_];
    if (buffer.bytes == nullptr) {
        buffer.bytes.reset(static_cast<std::byte*>(std::aligned_alloc(kUnit, kBufferBytes)));
        if (buffer.bytes == nullptr) return failed("no memory to write with", ENOMEM);
    }
    if (has_room(bytes, in_one)) return {};
    const std::size_t whole = used_ / kUnit * kUnit;
    const std::size_t next = (current_ + 1) % count_;
    while (buffers_[next].under_way) {
        if (auto waited = wait_for(queue_->in_flight() - 1); !waited) return waited;
    }
    if (buffers_[next].bytes == nullptr) {
        buffers_[next].bytes.reset(static_cast<std::byte*>(std::aligned_alloc(kUnit, kBufferBytes)));
        if (buffers_[next].bytes == nullptr) {
            return failed("no memory to write with", ENOMEM);
        }
    }
    std::memcpy(buffers_[next].bytes.get(), buffer.bytes.get() + whole, used_ - whole);
    return write_buffer(whole);
}

// The first `bytes` of the current buffer go on their way; the next one is the current one then, and has the rest.
Result<void> ExtentOutput::write_buffer(std::size_t bytes) {
    const std::uint64_t end = buffer_offset_ + bytes;
    if (allocated_ < end) {
        // Where the file system cannot, or is nearly full, writes find out for themselves.
        static_cast<void>(
            ::fallocate(file_->descriptor(), 0, static_cast<off_t>(allocated_), kAllocatedAheadBytes));
        allocated_ += kAllocatedAheadBytes;
    }
    // release: whoever takes the file over begins behind (I1, I2 of spill/file_table.hpp)
    files_->entry(file_number_).end.store(end, std::memory_order_release);
    ranges_.back().end = end;
    const iovec piece{buffers_[current_].bytes.get(), bytes};
    buffers_[current_].under_way = true;
    queue_->submit({IoRequest::Kind::kWrite, file_->for_blocks(), buffer_offset_, {&piece, 1}, current_});
    queue_->flush();
    written_ += bytes;
    buffer_offset_ = end;
    used_ -= std::min(used_, bytes);
    current_ = (current_ + 1) % count_;
    crash_point(CrashPoint::kSyncWriting);
    return {};
}

// Until so many are under way. 0, or the errno of the first that failed.
int ExtentOutput::end_writes(std::size_t left) noexcept {
    int cause = 0;
    while (queue_ && queue_->in_flight() > left) {
        const std::optional<IoDone> done = queue_->wait();
        if (!done) break;
        buffers_[done->tag].under_way = false;
        if (cause == 0) cause = done->error;
    }
    return cause;
}

Result<void> ExtentOutput::wait_for(std::size_t left) {
    const int cause = end_writes(left);
    if (cause == 0) return {};
    return failed("cannot write " + files_->path_of(file_number_), cause);
}

Result<void> ExtentOutput::flush() {
    if (file_ != nullptr && used_ != 0) {
        const std::size_t padded = (used_ + kUnit - 1) / kUnit * kUnit;
        std::memset(buffers_[current_].bytes.get() + used_, 0, padded - used_);
        if (auto written = write_buffer(padded); !written) return written;
        used_ = 0;
    }
    return wait_for(0);
}

Result<void> ExtentOutput::finish() {
    auto flushed = flush();
    static_cast<void>(end_writes(0));
    leave_file();
    return flushed;
}

void ExtentOutput::discard() noexcept {
    static_cast<void>(end_writes(0));
    for (const Written& range : ranges_) range.file->punch(range.begin, range.end);
    ranges_.clear();
    leave_file();
}

}  // namespace shoal
