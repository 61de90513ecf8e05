// The summary of a shuffle for people and for programs (declared in shuffle.hpp).
#include "shuffle/failure.hpp"
#include "shuffle/json_text.hpp"

namespace shoal::shuffling {
namespace {

[[nodiscard]] double rate(std::uint64_t amount, double seconds) {
    return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

// 1234567 as "1,234,567".
[[nodiscard]] std::string grouped(std::uint64_t number) {
    std::string digits = std::to_string(number);
    for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
    return digits;
}

[[nodiscard]] std::string line(std::string_view what, const std::string& text) {
    return fmt::format("{:<12}{}\n", what, text);
}

[[nodiscard]] std::string partition_line(std::string_view what, const PartitionSize& size) {
    return line(what, fmt::format("{}: {} rows, {} bytes", size.file, grouped(size.rows), grouped(size.bytes)));
}

[[nodiscard]] std::string phase_line(std::string_view what, double seconds, std::uint64_t bytes,
                                     std::uint64_t rows) {
    return line(what, fmt::format("{:.3f} s, {:.0f} MB/s, {:.2f} million rows/s", seconds,
                                  rate(bytes, seconds) * 1e-6, rate(rows, seconds) * 1e-6));
}

[[nodiscard]] std::string partition_json(const PartitionSize& size) {
    if (size.file.empty()) return "null";
    return fmt::format("{{\"file\": {}, \"rows\": {}, \"bytes\": {}}}", json_string(size.file), size.rows,
                       size.bytes);
}

}  // namespace

std::string summary_table(const ShuffleSummary& summary) {
    std::string table = line("rows", grouped(summary.rows)) + line("partitions", grouped(summary.partitions)) +
                        line("bytes in", grouped(summary.input_bytes)) +
                        line("bytes out", grouped(summary.output_bytes)) +
                        phase_line("map", summary.map_seconds, summary.input_bytes, summary.rows) +
                        phase_line("reduce", summary.reduce_seconds, summary.output_bytes, summary.rows);
    if (summary.early_bytes > 0) {
        table +=
            line("early", fmt::format("{} bytes, written while others were read", grouped(summary.early_bytes)));
    }
    if (summary.spilled_bytes > 0) {
        table += line("spilled", fmt::format("{} bytes, {} in files", grouped(summary.spilled_bytes),
                                             grouped(summary.stored_bytes)));
    }
    if (summary.blank_lines > 0) table += line("blank lines", grouped(summary.blank_lines) + ", skipped");
    if (summary.skipped_rows > 0) {
        table += line("malformed", fmt::format("{} rows, skipped:", grouped(summary.skipped_rows)));
        for (const BadRowCount& count : summary.skipped_by_reason) {
            table += line("", fmt::format("{} x {}", grouped(count.rows), count.reason));
        }
        for (const BadRowReport& bad : summary.first_skipped) {
            table += line("", fmt::format("{}:{}: {}", bad.file, bad.line, bad.what));
        }
        if (summary.first_skipped.size() < summary.skipped_rows) table += line("", "...");
    }
    if (!summary.largest.file.empty()) {
        table += partition_line("largest", summary.largest) + partition_line("smallest", summary.smallest);
    }
    table += line("output", summary.out_dir);
    if (!summary.store_path.empty()) table += line("store", summary.store_path);
    return table;
}

std::string summary_json(const ShuffleSummary& summary) {
    std::string reasons;
    for (const BadRowCount& count : summary.skipped_by_reason) {
        reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : ", ", json_string(count.reason), count.rows);
    }
    std::string first;
    for (const BadRowReport& bad : summary.first_skipped) {
        first += fmt::format("{}{{\"file\": {}, \"line\": {}, \"what\": {}}}", first.empty() ? "" : ", ",
                             json_string(bad.file), bad.line, json_string(bad.what));
    }
    return fmt::format(
        "{{\"format\": \"{}\", \"workers\": {}, \"rows\": {}, \"partitions\": {}, \"input_bytes\": {}, "
        "\"row_bytes\": {}, \"output_bytes\": {}, \"early_bytes\": {}, \"spilled_bytes\": {}, "
        "\"stored_bytes\": {}, \"blank_lines\": {}, \"skipped_rows\": {}, "
        "\"skipped_by_reason\": {{{}}}, \"first_skipped\": [{}], \"largest\": {}, \"smallest\": {}, "
        "\"map_seconds\": {:.6f}, \"reduce_seconds\": {:.6f}, \"out_dir\": {}, \"store\": {}}}\n",
        name(summary.format), summary.workers, summary.rows, summary.partitions, summary.input_bytes,
        summary.row_bytes, summary.output_bytes, summary.early_bytes, summary.spilled_bytes, summary.stored_bytes,
        summary.blank_lines, summary.skipped_rows, reasons, first, partition_json(summary.largest),
        partition_json(summary.smallest), summary.map_seconds, summary.reduce_seconds, json_string(summary.out_dir),
        summary.store_path.empty() ? "null" : json_string(summary.store_path));
}

}  // namespace shoal::shuffling
