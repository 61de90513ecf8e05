// What finds rows in bytes (RowScanner) and what takes them (RowSink): one scanner a format, one sink a mapper.
//
// A scanner sees a window: a piece of a file that starts where a row starts. It hands over every whole row of it
// that starts before the window's limit, in order, and says how many bytes those were; the caller reads on from
// there. So a row is always seen in one piece, and a scanner keeps nothing from window to window.
// Thread safety: none; one scanner and one sink a process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "shuffle/format.hpp"

namespace shoal::shuffling {

// What can be wrong with a row. Of several things the first one in the row counts; the number of fields comes last.
enum class BadRow : std::uint8_t {
    kStrayQuote,         // CSV: a quote within a field that does not begin with one
    kTextAfterQuote,     // CSV: something other than a delimiter or a row's end follows a closing quote
    kUnterminatedQuote,  // CSV: the file ends within quotes
    kFieldCount,         // CSV, TSV: not as many fields as the header has; detail: how many
    kTooFewFields,       // lines: fewer than --by asks for; detail: how many
    kJsonSyntax,         // not valid JSON (or UTF-8); detail: simdjson's error code
    kJsonNotObject,      // valid JSON, but not an object
    kJsonKeyMissing,     // an object without the key
    kKeyTooLong,         // --by-value: the value is longer than a store's key can be; detail: its bytes
    kRowTooLong,         // longer than kMaxRowBytes; never skipped, since it is most likely a quote left open
};
inline constexpr std::size_t kBadRowReasons = 10;
inline constexpr std::size_t kMaxRowBytes = std::size_t{1} << 30;

// "stray quote in an unquoted field" and so on; static storage.
[[nodiscard]] std::string_view reason_text(BadRow reason) noexcept;

// Bytes that must be readable (their content does not matter) behind a window's last one.
inline constexpr std::size_t kWindowPadding = 128;

struct Window {
    const char* data = nullptr;
    std::size_t size = 0;
    std::size_t limit = 0;  // rows that start here or later are not this window's
    bool last = false;      // the file ends with this window; then its last byte is LF (see RangeReader)
};

// Each call returns whether to go on; after false the scanner returns at once.
class RowSink {
public:
    virtual ~RowSink() = default;

    // `row` holds its terminator and lies in the window; `key` may lie in the scanner and is valid in the call
    // only.
    [[nodiscard]] virtual bool row(std::string_view row, std::string_view key) = 0;

    // `offset`: where in the window the row starts.
    [[nodiscard]] virtual bool bad(std::size_t offset, BadRow reason, std::uint64_t detail) = 0;

    virtual void blank() = 0;
};

class RowScanner {
public:
    virtual ~RowScanner() = default;

    // Returns the bytes that are done with: 0 when the window holds no whole row. Of a last window it is all up to
    // the limit at least.
    [[nodiscard]] virtual std::size_t scan(const Window& window, RowSink& sink) = 0;
};

// Everything that a scanner must know of rows; the same for all inputs of a job.
struct RowShape {
    Format format = Format::kCsv;
    char delimiter = ',';     // '\0' for lines: blanks
    std::size_t column = 0;   // CSV, TSV, lines: which field is the key, from 0
    std::size_t columns = 0;  // CSV, TSV: fields that a row must have
    std::string json_key;
};

[[nodiscard]] std::unique_ptr<RowScanner> make_scanner(const RowShape& shape);

}  // namespace shoal::shuffling
