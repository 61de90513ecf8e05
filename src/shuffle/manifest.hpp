// manifest.json: what the output folder holds. Written last, so a folder with a manifest is whole.
//
//   {"format": "csv", "by": "tailnum", "by_value": false, "inputs": ["flights.csv"], "rows": 3, "row_bytes": 30,
//    "partitions": [
//     {"file": "part-00000.csv", "partition": 0, "rows": 3, "bytes": 40, "xxh128": "<32 hex digits>"}]}
//
// A partition by value has "value" in place of "partition": the exact value; where that is not UTF-8, "value_hex".
// "xxh128" is of the file's bytes, as `xxh128sum` prints it. One partition a line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shuffle/partition_output.hpp"

namespace shoal::shuffling {

[[nodiscard]] Outcome<void> write_manifest(int folder_fd, const ShuffleOptions& options,
                                           const ShuffleSummary& summary, const std::vector<Partition>& partitions,
                                           const SharedArray<PartitionResult>& results);

}  // namespace shoal::shuffling
