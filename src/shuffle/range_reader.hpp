// Reads the rows of one range of one file: pread into a buffer, rows found in it in place, nothing copied after
// that.
//
// A range is cut anywhere. Its rows are those that start in it, so every row of a file belongs to exactly one range
// of any cutting, whatever the sizes. Thread safety: none; one a process. Files are only read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "shuffle/csv_grammar.hpp"
#include "shuffle/input.hpp"
#include "shuffle/row_scanner.hpp"

namespace shoal::shuffling {

struct Range {
    std::uint32_t file = 0;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    CsvState state = CsvState::kRowStart;  // of a reader at `begin`; what is no CSV uses only kRowStart and kPlain
};

// What a mapper does with the rows of windows.
class RangeSink : public RowSink {
public:
    // The windows' rows that follow lie at `data`, which is `offset` in the file.
    virtual void window(std::uint64_t offset, const char* data) = 0;

    // The window's bytes are about to go: whoever still needs rows of it must let go of them. `done` bytes of the
    // range were dealt with since the last call. False: stop.
    [[nodiscard]] virtual bool release(std::uint64_t done) = 0;
};

class RangeReader {
public:
    // `buffer_bytes`: of a read; it grows when a row is longer.
    RangeReader(const RowShape& shape, std::size_t buffer_bytes);

    // Hands over the rows of `range`; false when the sink said stop.
    [[nodiscard]] Outcome<bool> read(const InputFile& file, const Range& range, RangeSink& sink);

private:
    [[nodiscard]] Outcome<std::size_t> fill(const InputFile& file, std::uint64_t offset, std::size_t want);
    [[nodiscard]] Outcome<std::uint64_t> find_row_start(const InputFile& file, const Range& range);

    RowShape shape_;
    std::unique_ptr<RowScanner> scanner_;
    std::size_t usual_bytes_;
    std::size_t capacity_ = 0;
    std::unique_ptr<char[]> buffer_;  // capacity_ bytes and room for a terminator and kWindowPadding
};

}  // namespace shoal::shuffling
