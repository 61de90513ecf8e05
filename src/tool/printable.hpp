// Keys are any bytes: how they are shown to people, and how they are given on a command line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <shoal/bytes.hpp>

namespace shoal::tool {

// The bytes as text that is safe on a terminal and never ambiguous: printable UTF-8 as it is, a backslash
// doubled, everything else as \n, \t or \xNN.
[[nodiscard]] std::string printable(ByteView bytes);

[[nodiscard]] std::string to_hex(ByteView bytes);

// Two hex digits a byte, in either case; nothing when the text is not that.
[[nodiscard]] std::optional<std::string> from_hex(std::string_view digits);

}  // namespace shoal::tool
