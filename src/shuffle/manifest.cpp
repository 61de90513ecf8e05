#include "shuffle/manifest.hpp"

#include "shuffle/json_text.hpp"

namespace shoal::shuffling {
namespace {

[[nodiscard]] std::string hex_of(std::string_view bytes) {
    std::string digits;
    for (const char byte : bytes) digits += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return digits;
}

[[nodiscard]] std::string what_it_holds(const Partition& partition, std::size_t number, bool by_value) {
    if (!by_value) return fmt::format("\"partition\": {}", number);
    if (is_utf8(partition.key)) return fmt::format("\"value\": {}", json_string(partition.key));
    return fmt::format("\"value_hex\": \"{}\"", hex_of(partition.key));
}

}  // namespace

Outcome<void> write_manifest(int folder_fd, const ShuffleOptions& options, const ShuffleSummary& summary,
                             const std::vector<Partition>& partitions,
                             const SharedArray<PartitionResult>& results) {
    auto file = PartitionFile::create(folder_fd, "manifest.json");
    if (!file) return passed_on(file.error());
    std::string inputs;
    for (const std::string& input : options.inputs) inputs += (inputs.empty() ? "" : ", ") + json_string(input);
    auto written = file->write(fmt::format(
        "{{\"format\": \"{}\", \"by\": {}, \"by_value\": {}, \"inputs\": [{}], \"rows\": {}, \"row_bytes\": {},\n"
        " \"partitions\": [",
        name(summary.format), json_string(options.by), options.by_value, inputs, summary.rows, summary.row_bytes));
    for (std::size_t i = 0; written && i < partitions.size(); ++i) {
        written = file->write(fmt::format(
            "{}\n  {{\"file\": {}, {}, \"rows\": {}, \"bytes\": {}, \"xxh128\": \"{}\"}}", i == 0 ? "" : ",",
            json_string(partitions[i].file), what_it_holds(partitions[i], i, options.by_value), results[i].rows,
            results[i].file_bytes, hex(results[i].digest)));
    }
    if (written) written = file->write("]}\n");
    if (written) written = file->finish();
    return written;
}

}  // namespace shoal::shuffling
