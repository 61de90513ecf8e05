#include "shuffle/blank_separated_rows.hpp"

#include <cstring>

namespace shoal::shuffling {
namespace {

[[nodiscard]] constexpr bool is_blank(char byte) noexcept { return byte == ' ' || byte == '\t'; }

}  // namespace

std::size_t BlankSeparatedRows::scan(const Window& window, RowSink& sink) {
    std::size_t start = 0;
    while (start < window.size && start < window.limit) {
        const void* found = std::memchr(window.data + start, '\n', window.size - start);
        if (found == nullptr) break;
        const auto newline = static_cast<std::size_t>(static_cast<const char*>(found) - window.data);
        std::size_t end = newline;
        if (end > start && window.data[end - 1] == '\r') --end;
        std::size_t fields = 0;
        std::string_view key;
        for (std::size_t at = start; at < end && fields <= column_;) {
            if (is_blank(window.data[at])) {
                ++at;
                continue;
            }
            const std::size_t field = at;
            while (at < end && !is_blank(window.data[at])) ++at;
            if (fields == column_) key = {window.data + field, at - field};
            ++fields;
        }
        const std::size_t row = start;
        start = newline + 1;
        if (fields == 0) {
            sink.blank();
        } else if (fields <= column_) {
            if (!sink.bad(row, BadRow::kTooFewFields, fields)) return start;
        } else if (!sink.row({window.data + row, start - row}, key)) {
            return start;
        }
    }
    return start;
}

}  // namespace shoal::shuffling
