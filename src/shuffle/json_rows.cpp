#include "shuffle/json_rows.hpp"

#include <cstring>

namespace shoal::shuffling {

static_assert(kWindowPadding >= simdjson::SIMDJSON_PADDING, "the parser reads that far behind a line");

std::string_view raw_member(std::string_view text, std::size_t member) noexcept {
    std::size_t depth = 0;
    std::size_t values = 0;
    std::size_t value_start = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        switch (text[i]) {
            case '"':
                for (++i; text[i] != '"'; ++i) {
                    if (text[i] == '\\') ++i;
                }
                break;
            case '{':
            case '[':
                ++depth;
                break;
            case ':':
                if (depth == 1) value_start = i + 1;
                break;
            case ',':
            case '}':
            case ']':
                if (depth == 1) {
                    if (values == member) {
                        std::string_view value = text.substr(value_start, i - value_start);
                        constexpr std::string_view kBlanks = " \t\r\n";
                        value.remove_prefix(std::min(value.find_first_not_of(kBlanks), value.size()));
                        return value.substr(0, value.find_last_not_of(kBlanks) + 1);
                    }
                    ++values;
                }
                if (text[i] != ',') --depth;
                break;
            default:
                break;
        }
    }
    return {};
}

std::size_t JsonRows::scan(const Window& window, RowSink& sink) {
    std::size_t start = 0;
    while (start < window.size && start < window.limit) {
        const void* newline = std::memchr(window.data + start, '\n', window.size - start);
        if (newline == nullptr) break;
        const auto end = static_cast<std::size_t>(static_cast<const char*>(newline) - window.data) + 1;
        if (!scan_line(window, start, end, sink)) return end;
        start = end;
    }
    return start;
}

bool JsonRows::scan_line(const Window& window, std::size_t start, std::size_t end, RowSink& sink) {
    const std::string_view line(window.data + start, end - start);
    const std::size_t first = line.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) {
        sink.blank();
        return true;
    }
    simdjson::dom::element document;
    const auto error = parser_.parse(line.data(), line.size(), false).get(document);
    if (error != simdjson::SUCCESS) return sink.bad(start, BadRow::kJsonSyntax, static_cast<std::uint64_t>(error));
    simdjson::dom::object object;
    if (document.get(object) != simdjson::SUCCESS) return sink.bad(start, BadRow::kJsonNotObject, 0);
    std::size_t member = 0;
    for (const auto field : object) {
        if (field.key == key_) {
            std::string_view text;
            if (field.value.get(text) == simdjson::SUCCESS) return sink.row(line, text);
            return sink.row(line, raw_member(line.substr(first), member));
        }
        ++member;
    }
    return sink.bad(start, BadRow::kJsonKeyMissing, 0);
}

}  // namespace shoal::shuffling
