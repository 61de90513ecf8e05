// Rows of fields with one delimiter: CSV, TSV, and lines with --delimiter. 64 bytes at a time by bit masks; a row
// with an irregular quote goes through the state machine of csv_grammar.hpp.
#pragma once

#include "shuffle/row_scanner.hpp"
#include "shuffle/structural_masks.hpp"

namespace shoal::shuffling {

class DelimitedRows final : public RowScanner {
public:
    explicit DelimitedRows(const RowShape& shape);

    [[nodiscard]] std::size_t scan(const Window& window, RowSink& sink) override;

private:
    enum class Stop { kLimit, kOpenRow, kIrregular, kSink };

    // The row being read.
    struct OpenRow {
        std::size_t start = 0;
        std::size_t delimiters = 0;  // seen so far
        std::size_t key_start = 0;   // meaningful when as many delimiters as come before the key were seen
        std::size_t key_end = 0;     // the same for one more
    };

    // Hands over rows from `start` until one of the Stops; `start` is then the first row not handed over.
    [[nodiscard]] Stop scan_regular(const Window& window, std::size_t& start, RowSink& sink);
    [[nodiscard]] bool finish_row(const Window& window, const OpenRow& row, std::size_t newline, RowSink& sink);
    [[nodiscard]] bool scan_irregular(const Window& window, std::size_t& start, RowSink& sink);
    void count_delimiters(OpenRow& row, std::size_t base, std::uint64_t delimiters) const noexcept;

    char delimiter_;
    bool quoted_;
    bool exact_;  // a row must have exactly columns_ fields, not just enough
    std::size_t column_;
    std::size_t columns_;
    StructuralMasks masks_;
    std::string scratch_;  // the last unquoted key
};

}  // namespace shoal::shuffling
