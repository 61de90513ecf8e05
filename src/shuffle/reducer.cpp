#include "shuffle/reducer.hpp"

#include "shuffle/mapper.hpp"

namespace shoal::shuffling {
namespace {

// Of a partition's rows, in memory at once: what is spilled of it may be larger than what a process may take.
constexpr std::size_t kPartBytes = 8 << 20;

[[nodiscard]] Outcome<PartitionResult> write_partition(const Store& store, const Partition& partition,
                                                       const std::string& header, int folder_fd,
                                                       PartitionFile::Through through) {
    PartitionResult result;
    auto file = PartitionFile::create(folder_fd, partition.file, through);
    if (!file) return tl::unexpected<ShuffleError>(file.error());
    Outcome<void> written = file->write(header);
    const auto read = store.records(partition.key, kPartBytes, [&](const Records& part) {
        for (auto record = part.begin(); written && record != part.end(); ++record) {
            written = file->write((*record).text());
            ++result.rows;
            result.row_bytes += (*record).size();
        }
        return written.has_value();
    });
    const bool without_rows = !read && read.error().code == Code::kNotFound;
    if (!read && !without_rows) return store_failure("cannot read the rows of " + partition.file, read.error());
    if (written) written = file->finish();
    if (!written) return tl::unexpected<ShuffleError>(written.error());
    result.file_bytes = file->bytes();
    result.digest = file->digest();
    return result;
}

}  // namespace

Outcome<void> write_partitions(const Store& store, const std::vector<Partition>& partitions,
                               const std::string& header, int folder_fd, PartitionFile::Through through, Desk& desk,
                               Counters& counters, SharedArray<PartitionResult>& results) {
    for (std::uint64_t i = counters.take_task(); i < partitions.size(); i = counters.take_task()) {
        desk.busy_with.store(i, std::memory_order_relaxed);
        const auto result = write_partition(store, partitions[i], header, folder_fd, through);
        if (!result) return tl::unexpected<ShuffleError>(result.error());
        results[i] = *result;
        desk.rows.fetch_add(result->rows, std::memory_order_relaxed);
        desk.bytes_done.fetch_add(result->row_bytes, std::memory_order_relaxed);
    }
    return {};
}

}  // namespace shoal::shuffling
