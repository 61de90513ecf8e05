// A reducer's half of the job: one file a partition, from the records that lie in the store.
//
// One a process. A reducer that dies leaves part of a file in the temporary folder, which goes with the job.
#pragma once

#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "shuffle/job_board.hpp"
#include "shuffle/partition_file.hpp"

namespace shoal::shuffling {

struct Partition {
    std::string key;   // in the store
    std::string file;  // name in the output folder
};

// What became of one; shared with the parent.
struct PartitionResult {
    std::uint64_t rows = 0;
    std::uint64_t row_bytes = 0;
    std::uint64_t file_bytes = 0;
    Digest digest{};
};

// Takes partitions until none is left. `results` has one place for each. `through`: how files are written.
[[nodiscard]] Outcome<void> write_partitions(const Store& store, const std::vector<Partition>& partitions,
                                             const std::string& header, int folder_fd,
                                             PartitionFile::Through through, Desk& desk, Counters& counters,
                                             SharedArray<PartitionResult>& results);

}  // namespace shoal::shuffling
