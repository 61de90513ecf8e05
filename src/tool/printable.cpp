#include "tool/printable.hpp"

#include <cstddef>

#include <fmt/format.h>

namespace shoal::tool {
namespace {

unsigned char byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

// Bytes of the printable character that starts at `at`, 0 when there is none: not UTF-8 (overlong forms and
// surrogates included), or a control character.
std::size_t printable_length(std::string_view text, std::size_t at) {
    const unsigned char lead = byte_at(text, at);
    if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - at < length) return 0;
    unsigned code_point = lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        const unsigned char next = byte_at(text, at + i);
        if ((next & 0xc0U) != 0x80U) return 0;
        code_point = code_point << 6U | (next & 0x3fU);
    }
    constexpr unsigned kFirstOfLength[] = {0, 0, 0xa0, 0x800, 0x10000};  // 0x80 to 0x9f are control characters
    if (code_point < kFirstOfLength[length] || code_point > 0x10ffff) return 0;
    if (code_point >= 0xd800 && code_point <= 0xdfff) return 0;
    // Marks that turn the direction of writing could make one key look like another.
    if ((code_point >= 0x202a && code_point <= 0x202e) || (code_point >= 0x2066 && code_point <= 0x2069)) return 0;
    return length;
}

int hex_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

}  // namespace

std::string printable(ByteView bytes) {
    const std::string_view text = bytes.text();
    std::string shown;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = printable_length(text, at);
        if (text[at] == '\\') {
            shown += "\\\\";
        } else if (length > 0) {
            shown += text.substr(at, length);
        } else if (text[at] == '\n') {
            shown += "\\n";
        } else if (text[at] == '\t') {
            shown += "\\t";
        } else {
            shown += fmt::format("\\x{:02x}", byte_at(text, at));
        }
        at += length > 0 ? length : 1;
    }
    return shown;
}

std::string to_hex(ByteView bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string digits;
    digits.reserve(2 * bytes.size());
    for (const std::byte byte : bytes.span()) {
        digits += kDigits[std::to_integer<unsigned>(byte) >> 4U];
        digits += kDigits[std::to_integer<unsigned>(byte) & 15U];
    }
    return digits;
}

std::optional<std::string> from_hex(std::string_view digits) {
    if (digits.size() % 2 != 0) return std::nullopt;
    std::string bytes;
    bytes.reserve(digits.size() / 2);
    for (std::size_t at = 0; at < digits.size(); at += 2) {
        const int high = hex_value(digits[at]);
        const int low = hex_value(digits[at + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        bytes += static_cast<char>(high * 16 + low);
    }
    return bytes;
}

}  // namespace shoal::tool
