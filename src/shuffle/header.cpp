// Headers of CSV and TSV files, and what all inputs must agree on (declared in input.hpp).
#include <algorithm>
#include <charconv>

#include "shuffle/csv_grammar.hpp"
#include "shuffle/input.hpp"

namespace shoal::shuffling {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kMaxHeaderBytes = std::size_t{64} << 20;

// The first row of `text` and its length; nothing when it goes on behind the text.
[[nodiscard]] std::optional<CsvRow> first_row(std::string_view text, bool last, Format format, char delimiter) {
    if (format == Format::kCsv) return parse_csv_row(text, last, delimiter, 0);
    const std::size_t newline = text.find('\n');
    if (newline == std::string_view::npos && !last) return std::nullopt;
    CsvRow row;
    row.bytes = newline == std::string_view::npos ? text.size() : newline + 1;
    row.content = newline == std::string_view::npos ? text.size() : newline;
    if (row.content < row.bytes && row.content > 0 && text[row.content - 1] == '\r') --row.content;
    return row;
}

[[nodiscard]] std::string_view content_of(std::string_view header) {
    if (!header.empty() && header.back() == '\n') header.remove_suffix(1);
    if (!header.empty() && header.back() == '\r') header.remove_suffix(1);
    return header;
}

[[nodiscard]] std::string joined(const std::vector<std::string>& names) {
    constexpr std::size_t kShown = 20;
    std::string list;
    for (std::size_t i = 0; i < names.size() && i < kShown; ++i) list += (i == 0 ? "" : ", ") + names[i];
    return names.size() > kShown ? list + ", ..." : list;
}

[[nodiscard]] Outcome<void> compare(const InputFile& first, const std::vector<std::string>& columns,
                                    const InputFile& other, const std::vector<std::string>& others) {
    for (std::size_t i = 0; i < std::max(columns.size(), others.size()); ++i) {
        const bool both = i < columns.size() && i < others.size();
        if (both && columns[i] == others[i]) continue;
        const auto shown = [&](const std::vector<std::string>& names) {
            return i < names.size() ? "'" + names[i] + "'" : "missing";
        };
        return failure(ShuffleCause::kBadInput,
                       fmt::format("the headers differ: column {} is {} in {} and {} in {}", i + 1, shown(columns),
                                   first.name, shown(others), other.name));
    }
    return {};
}

}  // namespace

Outcome<void> read_header(InputFile& file, Format format, char delimiter) {
    std::string text;
    std::size_t at = 0;  // what was looked at: byte order mark, blank lines
    for (std::size_t want = std::size_t{64} << 10; want <= kMaxHeaderBytes; want *= 2) {
        text.resize(want);
        const auto got = file.read_at(0, text.data(), want);
        if (!got) return passed_on(got.error());
        text.resize(*got);
        const bool last = *got >= file.size || *got < want;
        at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
        file.blank_lines = 0;
        bool row_seen = false;
        while (at < text.size()) {
            const std::string_view rest = std::string_view(text).substr(at);
            const auto row = first_row(rest, last, format, delimiter);
            if (!row) break;
            const bool ended = row->content < row->bytes;
            if (ended) file.terminator = rest.substr(row->content, row->bytes - row->content);
            row_seen = true;
            if (!has_header(format)) break;
            if (row->content == 0) {
                ++file.blank_lines;
                at += row->bytes;
                continue;
            }
            if (row->wrong) {
                const std::uint64_t line =
                    1 + static_cast<std::uint64_t>(
                            std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
                return failure(ShuffleCause::kBadInput,
                               fmt::format("{}:{}: {} (in the header)", file.name, line, reason_text(*row->wrong)));
            }
            file.header = rest.substr(0, row->bytes);
            if (!ended) file.header += file.header.back() == '\r' ? "\n" : file.terminator;
            at += row->bytes;
            break;
        }
        const bool found = !file.header.empty() || (!has_header(format) && row_seen);
        if (found || last) break;
        if (want == kMaxHeaderBytes && has_header(format)) {
            return failure(ShuffleCause::kBadInput, fmt::format("{}: the header is longer than 64 MiB", file.name));
        }
    }
    file.rows_begin = at;
    return {};
}

Outcome<RowShape> shape_of(const std::vector<InputFile>& files, Format format, char delimiter,
                           const std::string& by) {
    RowShape shape;
    shape.format = format;
    shape.delimiter = delimiter;
    if (format == Format::kJsonLines) {
        shape.json_key = by;
        return shape;
    }
    if (format == Format::kLines) {
        const auto parsed = std::from_chars(by.data(), by.data() + by.size(), shape.column);
        if (parsed.ec != std::errc{} || parsed.ptr != by.data() + by.size() || shape.column == 0) {
            return failure(ShuffleCause::kUsage,
                           fmt::format("--by '{}': lines have no names; give the number of a field, from 1", by));
        }
        --shape.column;
        return shape;
    }
    const InputFile* first = nullptr;
    std::vector<std::string> columns;
    for (const InputFile& file : files) {
        if (file.header.empty()) continue;
        auto names = split_fields(content_of(file.header), delimiter, format == Format::kCsv);
        if (first == nullptr) {
            first = &file;
            columns = std::move(names);
        } else if (const auto same = compare(*first, columns, file, names); !same) {
            return passed_on(same.error());
        }
    }
    if (first == nullptr) return shape;
    const auto found = std::find(columns.begin(), columns.end(), by);
    if (found == columns.end()) {
        return failure(ShuffleCause::kUsage,
                       fmt::format("{} has no column '{}'; it has: {}", first->name, by, joined(columns)));
    }
    if (std::find(found + 1, columns.end(), by) != columns.end()) {
        return failure(ShuffleCause::kUsage, fmt::format("{} has more than one column '{}'", first->name, by));
    }
    shape.column = static_cast<std::size_t>(found - columns.begin());
    shape.columns = columns.size();
    return shape;
}

}  // namespace shoal::shuffling
