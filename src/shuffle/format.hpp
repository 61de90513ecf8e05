// The formats of input that shuffle reads, and what a file's name tells of its format.
#pragma once

#include <string>
#include <string_view>

namespace shoal::shuffling {

// How rows lie in a file. In each of them a row ends with LF or CRLF; a CR elsewhere is data. A UTF-8 byte order
// mark at a file's start is passed over. An empty line is no row: it is skipped, and counted.
enum class Format {
    kAuto,       // by the first input's file extension: .tsv .tab, .jsonl .ndjson, .txt .log; anything else is CSV
    kCsv,        // RFC 4180, with a header; fields may be quoted and then hold delimiters, newlines, doubled quotes
    kTsv,        // IANA text/tab-separated-values, with a header; no quoting: a quote is an ordinary character
    kJsonLines,  // one JSON object a line
    kLines,      // text without a header; fields by blanks as awk has them, or by a delimiter
};

// "csv", "tsv", "jsonl", "lines"; "auto" for kAuto. Static storage.
[[nodiscard]] std::string_view name(Format format) noexcept;

// ".csv" and so on: what a partition's file is given.
[[nodiscard]] std::string_view file_extension(Format format) noexcept;

// What Format::kAuto stands for when `path` is the first input.
[[nodiscard]] Format format_by_extension(std::string_view path) noexcept;

[[nodiscard]] inline bool has_header(Format format) noexcept {
    return format == Format::kCsv || format == Format::kTsv;
}

}  // namespace shoal::shuffling
