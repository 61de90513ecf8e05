// CSV one byte at a time: the definition of what a row is, also where quotes are not as RFC 4180 wants them. What
// is fast (DelimitedRows, QuoteSurvey) agrees with this machine and hands to it whatever is irregular.
//
// A quote opens only as a field's first byte. Elsewhere in an unquoted field it is stray: the row is malformed, the
// quote counts as an ordinary byte. After a closing quote anything but a delimiter, LF, CR LF or the file's end
// makes the row malformed and the rest of the field unquoted. So every malformed row but one with an unterminated
// quote ends at the first newline outside quotes, and reading goes on there.
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shuffle/row_scanner.hpp"

namespace shoal::shuffling {

// Where a reader is after some byte of a CSV file.
enum class CsvState : std::uint8_t {
    kRowStart,
    kFieldStart,
    kPlain,       // within an unquoted field
    kQuoted,      // within quotes
    kQuoteSeen,   // after a quote within quotes: a closing one, or the first of a doubled one
    kReturnSeen,  // after a closing quote and a CR
};

[[nodiscard]] constexpr CsvState next_state(CsvState state, char byte, char delimiter) noexcept {
    switch (state) {
        case CsvState::kQuoted:
            return byte == '"' ? CsvState::kQuoteSeen : CsvState::kQuoted;
        case CsvState::kQuoteSeen:
            if (byte == '"') return CsvState::kQuoted;
            if (byte == '\r') return CsvState::kReturnSeen;
            break;
        case CsvState::kRowStart:
        case CsvState::kFieldStart:
            if (byte == '"') return CsvState::kQuoted;
            break;
        case CsvState::kPlain:
        case CsvState::kReturnSeen:
            break;
    }
    if (byte == delimiter) return CsvState::kFieldStart;
    return byte == '\n' ? CsvState::kRowStart : CsvState::kPlain;
}

// One row, as the machine reads it.
struct CsvRow {
    std::size_t bytes = 0;    // with its terminator
    std::size_t content = 0;  // without it
    std::size_t fields = 0;
    std::string_view key;         // the asked-for field as it is written; empty when there are not so many
    std::optional<BadRow> wrong;  // about quotes only
};

// The row at the start of `text`, or nothing when it goes on behind it. With `last` the text is the file's end, and
// a row that it leaves open is over.
[[nodiscard]] std::optional<CsvRow> parse_csv_row(std::string_view text, bool last, char delimiter,
                                                  std::size_t column);

// The field's value: outer quotes taken off, doubled ones made single. `field` must be well formed. The result lies
// in `field` or in `scratch`.
[[nodiscard]] std::string_view unquote(std::string_view field, std::string& scratch);

// All fields' values of a well-formed row, without its terminator. Not `quoted`: quotes are ordinary bytes.
[[nodiscard]] std::vector<std::string> split_fields(std::string_view content, char delimiter, bool quoted);

}  // namespace shoal::shuffling
