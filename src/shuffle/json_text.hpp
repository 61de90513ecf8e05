// JSON as text: what the manifest and the summary are written with.
#pragma once

#include <string>
#include <string_view>

namespace shoal::shuffling {

// Quoted and escaped. Bytes that are not UTF-8 become U+FFFD; where they matter see is_utf8.
[[nodiscard]] std::string json_string(std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

}  // namespace shoal::shuffling
