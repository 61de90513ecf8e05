#include "tool/validators.hpp"

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace shoal::tool {
namespace {

// The exponent of two that a suffix stands for; nothing when it is no suffix.
std::optional<unsigned> suffix_shift(std::string_view suffix) {
    if (suffix.empty()) return 0;
    constexpr std::string_view kLetters = "KMGT";
    constexpr std::string_view kSmallLetters = "kmgt";
    std::size_t power = kLetters.find(suffix.front());
    if (power == std::string_view::npos) power = kSmallLetters.find(suffix.front());
    const std::string_view rest = suffix.substr(1);
    if (power == std::string_view::npos || (!rest.empty() && rest != "B" && rest != "iB")) return std::nullopt;
    return 10 * (static_cast<unsigned>(power) + 1);
}

std::optional<std::uint64_t> parse_bytes(std::string_view word) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc{}) return std::nullopt;
    const auto shift = suffix_shift(word.substr(static_cast<std::size_t>(end - word.data())));
    if (!shift || number > std::numeric_limits<std::uint64_t>::max() >> *shift) return std::nullopt;
    return number << *shift;
}

}  // namespace

CLI::Validator byte_size() {
    return CLI::Validator(
        [](std::string& word) {
            const auto bytes = parse_bytes(word);
            if (!bytes) return fmt::format("'{}' is not a size: give bytes, or a number with K, M, G or T", word);
            word = fmt::to_string(*bytes);
            return std::string();
        },
        "");
}

}  // namespace shoal::tool
