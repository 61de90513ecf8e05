#include "reference_reader.hpp"

#include <optional>

namespace shoal::shuffling::test {
namespace {

void end_last_row(std::string& text, const std::string& terminator) {
    if (text.empty() || text.back() == '\n') return;
    text += text.back() == '\r' ? "\n" : terminator;
}

// Whether a row ends at `at`; its terminator's length, else 0.
std::size_t row_end(const std::string& text, std::size_t at) {
    if (text[at] == '\n') return 1;
    if (text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n') return 2;
    return 0;
}

std::vector<std::string> by_delimiter(const std::string& line, char delimiter) {
    std::vector<std::string> fields(1);
    for (const char byte : line) {
        if (byte == delimiter) {
            fields.emplace_back();
        } else {
            fields.back() += byte;
        }
    }
    return fields;
}

std::vector<std::string> by_blanks(const std::string& line) {
    std::vector<std::string> fields;
    bool within = false;
    for (const char byte : line) {
        const bool blank = byte == ' ' || byte == '\t';
        if (!blank && !within) fields.emplace_back();
        if (!blank) fields.back() += byte;
        within = !blank;
    }
    return fields;
}

}  // namespace

Reading read_csv(std::string text, std::size_t offset, const RowShape& shape, const std::string& terminator) {
    Reading reading;
    end_last_row(text, terminator);
    std::size_t at = offset;
    while (at < text.size()) {
        const std::size_t start = at;
        if (const std::size_t end = row_end(text, at); end > 0) {
            ++reading.blank_lines;
            at += end;
            continue;
        }
        std::vector<std::string> fields;
        std::optional<BadRow> wrong;
        const auto complain = [&](BadRow reason) {
            if (!wrong) wrong = reason;
        };
        for (bool row_over = false; !row_over;) {
            std::string field;
            if (at < text.size() && text[at] == '"') {
                bool closed = false;
                for (++at; at < text.size() && !closed; ++at) {
                    if (text[at] != '"') {
                        field += text[at];
                    } else if (at + 1 < text.size() && text[at + 1] == '"') {
                        field += text[at++];
                    } else {
                        closed = true;
                    }
                }
                if (!closed) {
                    complain(BadRow::kUnterminatedQuote);
                    break;
                }
                if (text[at] != shape.delimiter && row_end(text, at) == 0) complain(BadRow::kTextAfterQuote);
            }
            while (text[at] != shape.delimiter && row_end(text, at) == 0) {
                if (text[at] == '"') complain(BadRow::kStrayQuote);
                field += text[at++];
            }
            fields.push_back(field);
            const std::size_t end = row_end(text, at);
            row_over = end > 0;
            at += row_over ? end : 1;
        }
        if (!wrong && fields.size() != shape.columns) wrong = BadRow::kFieldCount;
        if (wrong) {
            reading.bad.push_back({start, *wrong});
        } else {
            reading.rows.push_back({text.substr(start, at - start), fields[shape.column]});
        }
    }
    return reading;
}

Reading read_lines(std::string text, std::size_t offset, const RowShape& shape, const std::string& terminator) {
    Reading reading;
    end_last_row(text, terminator);
    for (std::size_t at = offset; at < text.size();) {
        const std::size_t next = text.find('\n', at) + 1;
        std::string line = text.substr(at, next - 1 - at);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const bool blanks = shape.delimiter == '\0';
        const auto fields = blanks ? by_blanks(line) : by_delimiter(line, shape.delimiter);
        if (line.empty() || fields.empty()) {
            ++reading.blank_lines;
        } else if (has_header(shape.format) && fields.size() != shape.columns) {
            reading.bad.push_back({at, BadRow::kFieldCount});
        } else if (fields.size() <= shape.column) {
            reading.bad.push_back({at, BadRow::kTooFewFields});
        } else {
            reading.rows.push_back({text.substr(at, next - at), fields[shape.column]});
        }
        at = next;
    }
    return reading;
}

}  // namespace shoal::shuffling::test
