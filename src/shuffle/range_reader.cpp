#include "shuffle/range_reader.hpp"

#include <algorithm>
#include <cstring>

namespace shoal::shuffling {
namespace {

constexpr std::size_t kOverhang = 16 << 10;  // read behind a range's end at first, for its last row

}  // namespace

RangeReader::RangeReader(const RowShape& shape, std::size_t buffer_bytes)
    : shape_(shape), scanner_(make_scanner(shape)), usual_bytes_(std::max<std::size_t>(buffer_bytes, 1)) {}

Outcome<std::size_t> RangeReader::fill(const InputFile& file, std::uint64_t offset, std::size_t want) {
    if (want > capacity_) {
        capacity_ = want;
        buffer_.reset(new char[capacity_ + 2 + kWindowPadding]);
    }
    const auto expected = static_cast<std::size_t>(std::min<std::uint64_t>(want, file.size - offset));
    const auto got = file.read_at(offset, buffer_.get(), expected);
    if (!got) return got;
    if (*got < expected) {
        return failure(ShuffleCause::kSystem, fmt::format("{} became shorter while it was read", file.name));
    }
    return got;
}

Outcome<bool> RangeReader::read(const InputFile& file, const Range& range, RangeSink& sink) {
    const auto first = find_row_start(file, range);
    if (!first) return passed_on(first.error());
    std::uint64_t offset = *first;
    std::uint64_t done = range.begin;  // accounted for, to the end of the range at most
    std::size_t want = 0;
    while (offset < range.end) {
        const std::uint64_t useful = range.end - offset + kOverhang;
        want = std::max(want, static_cast<std::size_t>(std::min<std::uint64_t>(usual_bytes_, useful)));
        const auto got = fill(file, offset, want);
        if (!got) return passed_on(got.error());
        Window window{buffer_.get(), *got, static_cast<std::size_t>(range.end - offset),
                      offset + *got == file.size};
        if (window.last && buffer_[*got - 1] != '\n') {
            const std::string_view ending = buffer_[*got - 1] == '\r' ? "\n" : std::string_view(file.terminator);
            std::memcpy(buffer_.get() + *got, ending.data(), ending.size());
            window.size += ending.size();
        }
        sink.window(offset, window.data);
        std::size_t used = scanner_->scan(window, sink);
        const bool stuck = used == 0 && !window.last;
        if (stuck && want >= kMaxRowBytes && sink.bad(0, BadRow::kRowTooLong, 0)) used = want;
        offset = std::min(offset + used, file.size);
        const std::uint64_t reached = std::min(offset, range.end);
        if (!sink.release(reached - done)) return false;
        done = reached;
        want = stuck ? std::min(want * 2, kMaxRowBytes) : 0;
    }
    return sink.release(range.end - done);
}

// The first row of the range starts here, or at its end or behind it when none does.
Outcome<std::uint64_t> RangeReader::find_row_start(const InputFile& file, const Range& range) {
    CsvState state = range.state;
    std::uint64_t offset = range.begin;
    while (state != CsvState::kRowStart && offset < range.end) {
        const auto want = static_cast<std::size_t>(
            std::min<std::uint64_t>(std::min<std::size_t>(usual_bytes_, kOverhang), file.size - offset));
        const auto got = fill(file, offset, want);
        if (!got) return passed_on(got.error());
        std::size_t at = 0;
        if (shape_.format == Format::kCsv) {
            while (at < *got && state != CsvState::kRowStart)
                state = next_state(state, buffer_[at++], shape_.delimiter);
        } else {
            const void* newline = std::memchr(buffer_.get(), '\n', *got);
            if (newline != nullptr) state = CsvState::kRowStart;
            at = newline == nullptr
                     ? *got
                     : static_cast<std::size_t>(static_cast<const char*>(newline) - buffer_.get()) + 1;
        }
        offset += at;
        if (*got == 0) break;
    }
    return offset;
}

}  // namespace shoal::shuffling
