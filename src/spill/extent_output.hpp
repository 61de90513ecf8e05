// Extents, one behind the other, into spill files of one's own, several writes under way: what a sync copies goes
// through here.
//
// Thread safety: none; by one thread, with a slot of its own. A crash leaves bytes that nothing names, in files
// that another goes on with.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/queue.hpp"
#include "spill/files.hpp"

namespace shoal {

class ExtentOutput {
public:
    static constexpr std::size_t kBufferBytes = 2 << 20;  // an extent of one segment, or one part, always fits

    static constexpr std::size_t kMostBuffers = 4;

    // `slot` owns the files that are written to; it stays the caller's. `buffers`, from 2 to kMostBuffers: all but
    // one of them can be under way.
    ExtentOutput(SpillFiles& files, Slot& slot, std::size_t buffers = kMostBuffers)
        : files_(&files), slot_(&slot), count_(buffers) {}
    ~ExtentOutput();
    ExtentOutput(const ExtentOutput&) = delete;
    ExtentOutput& operator=(const ExtentOutput&) = delete;

    // Whether an extent of that many bytes can be built in space() now. `in_one`: bytes that are to follow each
    // other in one file, from here on; 0: what was added last goes on.
    [[nodiscard]] bool has_room(std::size_t bytes, std::uint64_t in_one) const noexcept {
        return file_ != nullptr && used_ + bytes <= kBufferBytes &&
               (in_one == 0 || SpillFiles::has_room(offset(), in_one, size_limit_));
    }
    // Whether an extent may begin so many bytes behind offset().
    [[nodiscard]] bool may_begin(std::uint64_t behind) const noexcept {
        return SpillFiles::has_room(offset() + behind, 0, size_limit_);
    }
    // Makes that so; may write, and wait for it: outside of every epoch. kNoSpace, kPermission, kSystem.
    [[nodiscard]] Result<void> make_room(std::size_t bytes, std::uint64_t in_one);

    [[nodiscard]] std::span<std::byte> space() noexcept {
        return {buffers_[current_].bytes.get() + used_, kBufferBytes - used_};
    }
    // So many bytes have been built there.
    void add(std::size_t bytes) noexcept { used_ += bytes; }
    [[nodiscard]] std::uint64_t offset() const noexcept {
        return buffer_offset_ + used_;
    }  // of space(), in the file
    [[nodiscard]] std::uint32_t file() const noexcept { return file_number_; }

    // Writes what is left, and waits for all. Then the files have it; they are not synced. What comes next goes to
    // the same file, from its next page on.
    [[nodiscard]] Result<void> flush();
    // The same, and another may write to the file.
    [[nodiscard]] Result<void> finish();
    // Whether the number of the file means another one now (spill/files.hpp), so that it is to be left.
    [[nodiscard]] bool is_lost() const noexcept { return file_ != nullptr && file_->is_lost(); }
    // What was added since the beginning is not wanted, and nothing names it: the file system has its room back.
    void discard() noexcept;

    [[nodiscard]] std::uint64_t written_bytes() const noexcept { return written_; }

private:
    static constexpr std::size_t kUnit = 4096;  // of what is written, and where
    static constexpr std::uint64_t kAllocatedAheadBytes = 16 << 20;

    struct Buffer {
        std::unique_ptr<std::byte[], void (*)(void*)> bytes{nullptr, &std::free};
        bool under_way = false;
    };
    struct Written {
        SharedSpillFile file;  // held: under its number there may be another one by the time of discard()
        std::uint64_t begin;
        std::uint64_t end;
    };

    [[nodiscard]] Result<void> take_file(std::uint64_t bytes);
    [[nodiscard]] Result<void> write_buffer(std::size_t bytes);
    [[nodiscard]] Result<void> wait_for(std::size_t left);
    [[nodiscard]] int end_writes(std::size_t left) noexcept;
    void leave_file() noexcept;

    SpillFiles* files_;
    Slot* slot_;
    // As it was at the beginning: asking costs as much as copying a small segment, and where the limit has been
    // lowered since, a write gives EFBIG.
    std::uint64_t size_limit_ = file_size_limit();
    std::optional<IoQueue> queue_;
    std::size_t count_;
    std::array<Buffer, kMostBuffers> buffers_;  // count_ of them
    std::size_t current_ = 0;
    std::size_t used_ = 0;             // of the current buffer
    std::uint64_t buffer_offset_ = 0;  // where it goes in the file

    SharedSpillFile file_;
    std::uint32_t file_number_ = 0;
    std::uint64_t allocated_ = 0;  // ahead, from the file's beginning
    std::vector<Written> ranges_;  // of each file, what was written
    std::uint64_t written_ = 0;
};

}  // namespace shoal
