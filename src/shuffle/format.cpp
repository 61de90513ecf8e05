#include "shuffle/format.hpp"

#include <strings.h>

#include <array>
#include <utility>

namespace shoal::shuffling {

std::string_view name(Format format) noexcept {
    switch (format) {
        case Format::kAuto:
            return "auto";
        case Format::kCsv:
            return "csv";
        case Format::kTsv:
            return "tsv";
        case Format::kJsonLines:
            return "jsonl";
        case Format::kLines:
            return "lines";
    }
    return "";
}

std::string_view file_extension(Format format) noexcept {
    switch (format) {
        case Format::kTsv:
            return ".tsv";
        case Format::kJsonLines:
            return ".jsonl";
        case Format::kLines:
            return ".txt";
        default:
            return ".csv";
    }
}

Format format_by_extension(std::string_view path) noexcept {
    static constexpr std::array<std::pair<std::string_view, Format>, 6> kKnown{{
        {".tsv", Format::kTsv},
        {".tab", Format::kTsv},
        {".jsonl", Format::kJsonLines},
        {".ndjson", Format::kJsonLines},
        {".txt", Format::kLines},
        {".log", Format::kLines},
    }};
    for (const auto& [extension, format] : kKnown) {
        if (path.size() > extension.size() &&
            strncasecmp(path.data() + path.size() - extension.size(), extension.data(), extension.size()) == 0) {
            return format;
        }
    }
    return Format::kCsv;
}

}  // namespace shoal::shuffling
