#include "shuffle/bad_row_report.hpp"

#include <simdjson.h>

#include <algorithm>
#include <optional>

namespace shoal::shuffling {
namespace {

[[nodiscard]] bool earlier(const BadSpot& a, const BadSpot& b) noexcept {
    return a.file != b.file ? a.file < b.file : a.offset < b.offset;
}

[[nodiscard]] std::string fields(std::uint64_t count) {
    return fmt::format("{} field{}", count, count == 1 ? "" : "s");
}

[[nodiscard]] std::string what_is_wrong(const BadSpot& spot, const RowShape& shape) {
    const std::string reason(reason_text(spot.reason));
    switch (spot.reason) {
        case BadRow::kFieldCount:
            return fmt::format("{} where the header has {}", fields(spot.detail), shape.columns);
        case BadRow::kTooFewFields:
            return fmt::format("{}: {} where --by asks for number {}", reason, fields(spot.detail),
                               shape.column + 1);
        case BadRow::kJsonSyntax:
            return fmt::format("{}: {}", reason,
                               simdjson::error_message(static_cast<simdjson::error_code>(spot.detail)));
        case BadRow::kJsonKeyMissing:
            return fmt::format("{} '{}'", reason, shape.json_key);
        case BadRow::kKeyTooLong:
            return fmt::format("{} ({} bytes)", reason, spot.detail);
        case BadRow::kRowTooLong:
            return reason + (shape.format == Format::kCsv ? "; is a quote left open?" : "");
        default:
            return reason;
    }
}

}  // namespace

Outcome<BadRowReport> describe(const BadSpot& spot, const std::vector<InputFile>& files, const RowShape& shape) {
    const InputFile& file = files[spot.file];
    const auto line = line_of(file, spot.offset);
    if (!line) return passed_on(line.error());
    return BadRowReport{file.name, *line, what_is_wrong(spot, shape)};
}

std::optional<ShuffleError> fatal_row(SharedArray<Desk>& desks, const std::vector<InputFile>& files,
                                      const RowShape& shape) {
    const BadSpot* first = nullptr;
    for (const Desk& desk : desks) {
        if (desk.has_fatal && (first == nullptr || earlier(desk.fatal, *first))) first = &desk.fatal;
    }
    if (first == nullptr) return std::nullopt;
    const auto report = describe(*first, files, shape);
    if (!report) return report.error();
    const char* hint = first->reason == BadRow::kRowTooLong ? "" : " (--on-bad-row=skip leaves such rows out)";
    return ShuffleError{ShuffleCause::kBadInput,
                        fmt::format("{}:{}: {}{}", report->file, report->line, report->what, hint)};
}

Outcome<void> report_skipped(SharedArray<Desk>& desks, const std::vector<InputFile>& files, const RowShape& shape,
                             ShuffleSummary& summary) {
    std::vector<BadSpot> spots;
    for (const Desk& desk : desks)
        spots.insert(spots.end(), desk.first_bad.begin(), desk.first_bad.begin() + desk.spots);
    std::sort(spots.begin(), spots.end(), earlier);
    for (std::size_t i = 0; i < std::min(spots.size(), Desk::kSpots); ++i) {
        auto report = describe(spots[i], files, shape);
        if (!report) return passed_on(report.error());
        summary.first_skipped.push_back(std::move(*report));
    }
    for (std::size_t reason = 0; reason < kBadRowReasons; ++reason) {
        std::uint64_t rows = 0;
        for (const Desk& desk : desks) rows += desk.bad_rows[reason];
        if (rows == 0) continue;
        summary.skipped_rows += rows;
        summary.skipped_by_reason.push_back({std::string(reason_text(static_cast<BadRow>(reason))), rows});
    }
    return {};
}

}  // namespace shoal::shuffling
