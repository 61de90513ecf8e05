#include "shuffle/delimited_rows.hpp"

#include <algorithm>
#include <bit>

#include "shuffle/csv_grammar.hpp"
#include "shuffle/quote_tracker.hpp"

namespace shoal::shuffling {
namespace {

// The position of the set bit that `skip` set bits precede.
[[nodiscard]] inline unsigned nth_bit(std::uint64_t bits, std::size_t skip) noexcept {
    for (; skip > 0; --skip) bits &= bits - 1;
    return static_cast<unsigned>(std::countr_zero(bits));
}

}  // namespace

DelimitedRows::DelimitedRows(const RowShape& shape)
    : delimiter_(shape.delimiter),
      quoted_(shape.format == Format::kCsv),
      exact_(has_header(shape.format)),
      column_(shape.column),
      columns_(shape.columns) {}

std::size_t DelimitedRows::scan(const Window& window, RowSink& sink) {
    std::size_t start = 0;
    while (start < window.size && start < window.limit) {
        switch (scan_regular(window, start, sink)) {
            case Stop::kSink:
            case Stop::kLimit:
                return start;
            case Stop::kOpenRow:
                if (!window.last) return start;
                [[fallthrough]];
            case Stop::kIrregular: {
                const std::size_t before = start;
                if (!scan_irregular(window, start, sink) || start == before) return start;
            }
        }
    }
    return start;
}

DelimitedRows::Stop DelimitedRows::scan_regular(const Window& window, std::size_t& start, RowSink& sink) {
    QuoteTracker quotes;
    OpenRow row;
    row.start = row.key_start = start;
    const std::size_t end = window.size;
    for (std::size_t strip = start; strip < end; strip += StructuralMasks::kBlocks * kBlockBytes) {
        const std::size_t blocks =
            std::min(StructuralMasks::kBlocks, (end - strip + kBlockBytes - 1) / kBlockBytes);
        find_structure(window.data + strip, blocks, delimiter_, quoted_, masks_);
        for (std::size_t b = 0; b < blocks; ++b) {
            const std::size_t base = strip + b * kBlockBytes;
            const std::uint64_t valid = end - base >= kBlockBytes ? ~0ULL : (1ULL << (end - base)) - 1;
            std::uint64_t delimiters = masks_.delimiters[b] & valid;
            std::uint64_t newlines = masks_.newlines[b] & valid;
            std::uint64_t irregular = 0;
            if (quoted_ && ((masks_.quotes[b] & valid) != 0 || quotes.needs_look())) {
                const char previous = base == start ? '\n' : window.data[base - 1];
                const auto block = quotes.step(window.data + base, previous, delimiter_, delimiters, newlines,
                                               masks_.quotes[b] & valid);
                irregular = block.irregular & valid;
                const std::uint64_t meant = ~block.within & ((irregular & (0 - irregular)) - 1);
                delimiters &= meant;
                newlines &= meant;
            }
            while (newlines != 0) {
                const auto newline = static_cast<unsigned>(std::countr_zero(newlines));
                const std::uint64_t of_row = delimiters & ((1ULL << newline) - 1);
                count_delimiters(row, base, of_row);
                delimiters ^= of_row;
                newlines &= newlines - 1;
                const bool go_on = finish_row(window, row, base + newline, sink);
                row = {};
                row.start = row.key_start = start = base + newline + 1;
                if (!go_on) return Stop::kSink;
                if (start >= window.limit) return Stop::kLimit;
            }
            if (irregular != 0) return Stop::kIrregular;
            count_delimiters(row, base, delimiters);
        }
    }
    return start < end ? Stop::kOpenRow : Stop::kLimit;
}

// Only the two delimiters around the key are looked at one by one; of the others just the number counts.
void DelimitedRows::count_delimiters(OpenRow& row, std::size_t base, std::uint64_t delimiters) const noexcept {
    if (delimiters == 0) return;
    const std::size_t seen = row.delimiters;
    row.delimiters += static_cast<std::size_t>(std::popcount(delimiters));
    if (seen < column_ && row.delimiters >= column_) {
        row.key_start = base + nth_bit(delimiters, column_ - seen - 1) + 1;
    }
    if (seen <= column_ && row.delimiters > column_) row.key_end = base + nth_bit(delimiters, column_ - seen);
}

bool DelimitedRows::finish_row(const Window& window, const OpenRow& row, std::size_t newline, RowSink& sink) {
    std::size_t content_end = newline;
    if (content_end > row.start && window.data[content_end - 1] == '\r') --content_end;
    if (content_end == row.start) {
        sink.blank();
        return true;
    }
    const std::size_t fields = row.delimiters + 1;
    if (exact_ && fields != columns_) return sink.bad(row.start, BadRow::kFieldCount, fields);
    if (fields <= column_) return sink.bad(row.start, BadRow::kTooFewFields, fields);
    const std::size_t key_end = row.delimiters == column_ ? content_end : row.key_end;
    const std::string_view field(window.data + row.key_start, key_end - row.key_start);
    const std::string_view whole(window.data + row.start, newline + 1 - row.start);
    return sink.row(whole, quoted_ ? unquote(field, scratch_) : field);
}

// One row by the state machine; `start` stays where the row is when it goes on behind the window.
bool DelimitedRows::scan_irregular(const Window& window, std::size_t& start, RowSink& sink) {
    const std::string_view text(window.data + start, window.size - start);
    const auto row = parse_csv_row(text, window.last, delimiter_, column_);
    if (!row) return true;
    const std::size_t row_start = start;
    start += row->bytes;
    if (row->wrong) return sink.bad(row_start, *row->wrong, 0);
    if (row->content == 0) {
        sink.blank();
        return true;
    }
    if (row->fields != columns_) return sink.bad(row_start, BadRow::kFieldCount, row->fields);
    return sink.row(text.substr(0, row->bytes), unquote(row->key, scratch_));
}

}  // namespace shoal::shuffling
