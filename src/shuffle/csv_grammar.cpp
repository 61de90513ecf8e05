#include "shuffle/csv_grammar.hpp"

namespace shoal::shuffling {
namespace {

// What `byte` makes wrong in `state`.
[[nodiscard]] std::optional<BadRow> wrong_step(CsvState state, char byte, char delimiter) noexcept {
    if (state == CsvState::kPlain && byte == '"') return BadRow::kStrayQuote;
    if (state == CsvState::kReturnSeen && byte != '\n') return BadRow::kTextAfterQuote;
    if (state == CsvState::kQuoteSeen && byte != '"' && byte != '\r' && byte != '\n' && byte != delimiter) {
        return BadRow::kTextAfterQuote;
    }
    return std::nullopt;
}

}  // namespace

std::optional<CsvRow> parse_csv_row(std::string_view text, bool last, char delimiter, std::size_t column) {
    CsvRow row;
    CsvState state = CsvState::kRowStart;
    std::size_t field_start = 0;
    const auto end_field = [&](std::size_t end) {
        if (row.fields == column) row.key = text.substr(field_start, end - field_start);
        ++row.fields;
        field_start = end + 1;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!row.wrong) row.wrong = wrong_step(state, text[i], delimiter);
        state = next_state(state, text[i], delimiter);
        if (state == CsvState::kFieldStart) end_field(i);
        if (state == CsvState::kRowStart) {
            row.bytes = i + 1;
            row.content = i > 0 && text[i - 1] == '\r' ? i - 1 : i;
            end_field(row.content);
            return row;
        }
    }
    if (!last) return std::nullopt;
    if (!row.wrong && state == CsvState::kQuoted) row.wrong = BadRow::kUnterminatedQuote;
    row.bytes = row.content = text.size();
    end_field(row.content);
    return row;
}

std::string_view unquote(std::string_view field, std::string& scratch) {
    if (field.size() < 2 || field.front() != '"') return field;
    const std::string_view inner = field.substr(1, field.size() - 2);
    std::size_t quote = inner.find('"');
    if (quote == std::string_view::npos) return inner;
    scratch.clear();
    std::size_t from = 0;
    while (quote != std::string_view::npos) {
        scratch.append(inner, from, quote + 1 - from);
        from = quote + 2;
        quote = from < inner.size() ? inner.find('"', from) : std::string_view::npos;
    }
    if (from < inner.size()) scratch.append(inner, from);
    return scratch;
}

std::vector<std::string> split_fields(std::string_view content, char delimiter, bool quoted) {
    std::vector<std::string> fields;
    std::string scratch;
    bool within = false;
    std::size_t start = 0;
    for (std::size_t i = 0; i <= content.size(); ++i) {
        if (i < content.size() && quoted && content[i] == '"') within = !within;
        if (i == content.size() || (content[i] == delimiter && !within)) {
            const std::string_view field = content.substr(start, i - start);
            fields.emplace_back(quoted ? unquote(field, scratch) : field);
            start = i + 1;
        }
    }
    return fields;
}

}  // namespace shoal::shuffling
