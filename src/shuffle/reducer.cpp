#include "shuffle/reducer.hpp"

#include "shuffle/mapper.hpp"

namespace shoal::shuffling {
namespace {

[[nodiscard]] Outcome<PartitionResult> write_partition(const Store& store, const Partition& partition,
                                                       const std::string& header, int folder_fd) {
    PartitionResult result;
    const auto records = store.records(partition.key);
    const bool without_rows = !records && records.error().code == Code::kNotFound;
    if (!records && !without_rows)
        return store_failure("cannot read the rows of " + partition.file, records.error());
    auto file = PartitionFile::create(folder_fd, partition.file);
    if (!file) return tl::unexpected<ShuffleError>(file.error());
    Outcome<void> written = file->write(header);
    if (records) {
        for (auto record = records->begin(); written && record != records->end(); ++record) {
            written = file->write((*record).text());
            ++result.rows;
            result.row_bytes += (*record).size();
        }
    }
    if (written) written = file->finish();
    if (!written) return tl::unexpected<ShuffleError>(written.error());
    result.file_bytes = file->bytes();
    result.digest = file->digest();
    return result;
}

}  // namespace

Outcome<void> write_partitions(const Store& store, const std::vector<Partition>& partitions,
                               const std::string& header, int folder_fd, Desk& desk, Counters& counters,
                               SharedArray<PartitionResult>& results) {
    for (std::uint64_t i = counters.take_task(); i < partitions.size(); i = counters.take_task()) {
        desk.busy_with.store(i, std::memory_order_relaxed);
        const auto result = write_partition(store, partitions[i], header, folder_fd);
        if (!result) return tl::unexpected<ShuffleError>(result.error());
        results[i] = *result;
        desk.rows.fetch_add(result->rows, std::memory_order_relaxed);
        desk.bytes_done.fetch_add(result->row_bytes, std::memory_order_relaxed);
    }
    return {};
}

}  // namespace shoal::shuffling
