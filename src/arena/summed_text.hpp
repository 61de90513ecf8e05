// Texts that a store keeps in files: lines, of which the first has the version after the words "shoal" and what it
// is, and the last, in every version, is the checksum of those before it. So a text of a later version is told from
// a damaged one.
//
// Thread safety: every function.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <xxhash.h>

namespace shoal {

[[nodiscard]] inline std::string with_sum(std::string text) {
    return text + fmt::format("xxh3 {:016x}\n", XXH3_64bits(text.data(), text.size()));
}

[[nodiscard]] inline bool has_its_sum(std::string_view text) {
    const std::size_t last = text.rfind("xxh3 ");
    return last != std::string_view::npos && text == with_sum(std::string(text.substr(0, last)));
}

// The version of a text that begins with `words` and a space; 0 where it is no such text, or not whole, or bears
// none.
[[nodiscard]] inline std::uint64_t version_of(std::string_view text, std::string_view words) {
    if (!text.starts_with(words) || !has_its_sum(text)) return 0;
    text.remove_prefix(words.size());
    std::uint64_t version = 0;
    if (!text.starts_with(' ')) return 0;
    const auto read = std::from_chars(text.data() + 1, text.data() + text.size(), version);
    const bool is_whole = read.ec == std::errc{} && (*read.ptr == ' ' || *read.ptr == '\n');
    return is_whole ? version : 0;
}

}  // namespace shoal
