#include "shuffle/json_text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

namespace shoal {
namespace {

// The length of the UTF-8 sequence at the start of `text`; 0 when there is none.
[[nodiscard]] std::size_t sequence_bytes(std::string_view text) noexcept {
    for (std::size_t bytes = 1; bytes <= 4 && bytes <= text.size(); ++bytes) {
        if (is_utf8(text.substr(0, bytes))) return bytes;
    }
    return 0;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept { return simdjson::validate_utf8(text.data(), text.size()); }

std::string json_string(std::string_view text) {
    std::string json = "\"";
    while (!text.empty()) {
        const std::size_t bytes = sequence_bytes(text);
        const char byte = text.front();
        if (bytes == 0) {
            json += "\\ufffd";
        } else if (byte == '"' || byte == '\\') {
            json += '\\';
            json += byte;
        } else if (byte == '\n') {
            json += "\\n";
        } else if (byte == '\t') {
            json += "\\t";
        } else if (byte == '\r') {
            json += "\\r";
        } else if (static_cast<unsigned char>(byte) < 0x20) {
            json += fmt::format("\\u{:04x}", static_cast<unsigned char>(byte));
        } else {
            json += text.substr(0, bytes);
        }
        text.remove_prefix(bytes == 0 ? 1 : bytes);
    }
    return json + "\"";
}

}  // namespace shoal
