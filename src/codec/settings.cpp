#include "codec/settings.hpp"

#include <array>
#include <charconv>

#include <fmt/format.h>

namespace shoal {
namespace {

template <class Value>
struct Word {
    std::string_view text;
    Value value;
};

constexpr std::array kShuffles = {Word<Shuffle>{"none", Shuffle::kNone}, Word<Shuffle>{"byte", Shuffle::kByte},
                                  Word<Shuffle>{"bit", Shuffle::kBit}};
constexpr std::array kInners = {
    Word<BloscInner>{"blosclz", BloscInner::kBloscLz}, Word<BloscInner>{"lz4", BloscInner::kLz4},
    Word<BloscInner>{"lz4hc", BloscInner::kLz4Hc}, Word<BloscInner>{"zlib", BloscInner::kZlib},
    Word<BloscInner>{"zstd", BloscInner::kZstd}};

template <class Words, class Value>
bool find_value(const Words& words, std::string_view text, Value* value) {
    for (const auto& word : words) {
        if (word.text == text) return *value = word.value, true;
    }
    return false;
}

template <class Words, class Value>
std::string_view find_text(const Words& words, Value value) {
    for (const auto& word : words) {
        if (word.value == value) return word.text;
    }
    return {};
}

bool read_number(std::string_view text, int lowest, int highest, int* number) {
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, *number);
    return read.ec == std::errc() && read.ptr == end && *number >= lowest && *number <= highest;
}

bool read_level(std::string_view text, int lowest, int highest, Codec* codec) {
    int level = 0;
    if (!read_number(text, lowest, highest, &level)) return false;
    codec->level = static_cast<std::int8_t>(level);
    return true;
}

bool read_type_size(std::string_view text, Codec* codec) {
    int type_size = 0;
    if (!read_number(text, 1, 255, &type_size)) return false;
    codec->type_size = static_cast<std::uint8_t>(type_size);
    return true;
}

// "type_size=8,level=5": each setting once at most, since a second one would be a mistake.
bool read_blosc(std::string_view text, Codec* codec) {
    *codec = {CodecId::kBlosc, kDefaultBloscLevel, 0, Shuffle::kByte, BloscInner::kLz4};
    if (text.find('=') == std::string_view::npos) return read_type_size(text, codec);
    std::array<bool, 4> seen{};
    while (true) {
        const std::string_view setting = text.substr(0, text.find(','));
        const std::size_t equals = setting.find('=');
        if (equals == std::string_view::npos) return false;
        const std::string_view what = setting.substr(0, equals);
        const std::string_view value = setting.substr(equals + 1);
        const std::size_t which = what == "type_size" ? 0 : what == "shuffle" ? 1 : what == "inner" ? 2 : 3;
        if (seen[which]) return false;
        seen[which] = true;
        const bool good = which == 0   ? read_type_size(value, codec)
                          : which == 1 ? find_value(kShuffles, value, &codec->shuffle)
                          : which == 2
                              ? find_value(kInners, value, &codec->inner)
                              : what == "level" && read_level(value, kLowestBloscLevel, kHighestBloscLevel, codec);
        if (!good) return false;
        if (setting.size() == text.size()) return codec->type_size != 0;
        text.remove_prefix(setting.size() + 1);
    }
}

bool read_codec(std::string_view text, Codec* codec) {
    if (text == "none") return *codec = {}, true;
    if (text == "lz4") return *codec = {.id = CodecId::kLz4}, true;
    if (text == "zstd") return *codec = {CodecId::kZstd, kDefaultZstdLevel}, true;
    if (text.starts_with("zstd:")) {
        *codec = {.id = CodecId::kZstd};
        return read_level(text.substr(5), kLowestZstdLevel, kHighestZstdLevel, codec);
    }
    return text.starts_with("blosc:") && read_blosc(text.substr(6), codec);
}

bool is_level(const Codec& codec) {
    switch (codec.id) {
        case CodecId::kZstd:
            return codec.level >= kLowestZstdLevel && codec.level <= kHighestZstdLevel;
        case CodecId::kBlosc:
            return codec.level >= kLowestBloscLevel && codec.level <= kHighestBloscLevel;
        case CodecId::kNone:
        case CodecId::kLz4:
            break;
    }
    return codec.level == 0;
}

}  // namespace

Result<Codec> parse_codec(std::string_view text) {
    Codec codec;
    if (read_codec(text, &codec)) return codec;
    std::string inners;
    for (const auto& inner : kInners) inners += fmt::format("{}{}", inners.empty() ? "" : "|", inner.text);
    return tl::unexpected(Error{
        Code::kInvalidArgument,
        fmt::format("\"{}\" is no codec; there are none, lz4, zstd[:LEVEL] ({} to {}), blosc:TYPE_SIZE (1 to "
                    "255) and blosc:type_size=N[,shuffle=none|byte|bit][,inner={}][,level=N] ({} to {})",
                    text, kLowestZstdLevel, kHighestZstdLevel, inners, kLowestBloscLevel, kHighestBloscLevel)});
}

std::string name(const Codec& codec) {
    switch (codec.id) {
        case CodecId::kNone:
            return "none";
        case CodecId::kLz4:
            return "lz4";
        case CodecId::kZstd:
            return fmt::format("zstd:{}", codec.level);
        case CodecId::kBlosc:
            return fmt::format("blosc:type_size={},shuffle={},inner={},level={}", codec.type_size,
                               find_text(kShuffles, codec.shuffle), find_text(kInners, codec.inner), codec.level);
    }
    return {};
}

std::uint32_t codec_word(const Codec& codec) noexcept {
    if (codec.id == CodecId::kNone) return 0;
    return static_cast<std::uint32_t>(codec.id) | static_cast<std::uint32_t>(codec.level + 32) << 2 |
           static_cast<std::uint32_t>(codec.type_size) << 8 | static_cast<std::uint32_t>(codec.shuffle) << 16 |
           static_cast<std::uint32_t>(codec.inner) << 18;
}

std::optional<Codec> codec_of_word(std::uint32_t word) noexcept {
    if (word == 0) return Codec{};
    const Codec codec{static_cast<CodecId>(word & 3),
                      static_cast<std::int8_t>(static_cast<int>(word >> 2 & 63) - 32),
                      static_cast<std::uint8_t>(word >> 8 & 255), static_cast<Shuffle>(word >> 16 & 3),
                      static_cast<BloscInner>(word >> 18 & 7)};
    if (word >> 21 != 0 || codec.id == CodecId::kNone || !is_level(codec)) return std::nullopt;
    if (codec.id == CodecId::kBlosc) {
        if (codec.type_size == 0 || find_text(kShuffles, codec.shuffle).empty() ||
            find_text(kInners, codec.inner).empty()) {
            return std::nullopt;
        }
    } else if (word >> 8 != 0) {
        return std::nullopt;
    }
    return codec;
}

}  // namespace shoal
