// The output: one file a partition, from the records that lie in the store; all at once, or in several goes.
//
// What a go leaves to the next one, of whichever process, lies in a store of its own: counts, checksum so far. A
// process that dies leaves part of a file in the temporary folder, which goes with the job.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <shoal/store.hpp>

#include "shuffle/job_board.hpp"
#include "shuffle/partition_file.hpp"
#include "shuffle/row_keys.hpp"

namespace shoal::shuffling {

struct Partition {
    std::string key;   // by which it is known: "part-00017", or its value
    std::string file;  // name in the output folder
};

// What became of one; shared with the parent.
struct PartitionResult {
    std::uint64_t rows = 0;
    std::uint64_t row_bytes = 0;
    std::uint64_t file_bytes = 0;
    Digest digest{};
};

class PartitionOutput {
public:
    struct Plan {
        int folder_fd = -1;            // where files are made
        std::string header;            // each begins with it
        std::string_view suffix;       // extension of their names
        std::uint32_t partitions = 0;  // 0: by value
        RowKeys row_keys = RowKeys::kOwn;
    };

    // Before workers are forked.
    [[nodiscard]] static Outcome<PartitionOutput> make(Plan plan);

    // How files are written from now on.
    void go(PartitionFile::Through through) noexcept { through_ = through; }

    // How much of a partition is best written at once.
    [[nodiscard]] std::uint64_t piece_bytes() const noexcept {
        return through_ == PartitionFile::Through::kDisk ? 2 << 20 : 256 << 10;
    }

    // Moves the rows of that generation from the store to the ends of their partitions' files, which are left open
    // for more. Any number of callers share the partitions. How many bytes of rows this one moved. When all are
    // back, all are moved, and the store has none.
    [[nodiscard]] Outcome<std::uint64_t> move_rows(Store& rows, std::uint64_t generation);

    // Every partition, in the order of their keys; by value those that have rows, moved or in the store.
    [[nodiscard]] Outcome<std::vector<Partition>> partitions(const Store& rows, std::uint64_t generation) const;

    // Writes the partition's rows that the store holds to the end of its file, and no more shall come. The result
    // is of all goes.
    [[nodiscard]] Outcome<PartitionResult> finish(const Store& rows, std::uint64_t generation,
                                                  const Partition& partition);

private:
    struct Begun {
        PartitionResult result;
        PartitionFile file;
    };

    PartitionOutput(Plan plan, Store begun) noexcept : plan_(std::move(plan)), begun_(std::move(begun)) {}
    [[nodiscard]] Partition named(std::string_view key) const;
    [[nodiscard]] Outcome<Begun> begin(const Partition& partition) const;
    [[nodiscard]] Outcome<std::uint64_t> move(Store& rows, const std::string& row_key, const Partition& partition);
    [[nodiscard]] Outcome<void> save(const Partition& partition, Begun& begun);

    Plan plan_;
    PartitionFile::Through through_ = PartitionFile::Through::kPageCache;
    Store begun_;  // of each partition that is begun, what the last go left; and claims on partitions
};

// Takes partitions until none is left and finishes each. `results` has one place for each.
[[nodiscard]] Outcome<void> finish_partitions(const Store& rows, std::uint64_t generation,
                                              const std::vector<Partition>& partitions, PartitionOutput& output,
                                              Desk& desk, Counters& counters,
                                              SharedArray<PartitionResult>& results);

}  // namespace shoal::shuffling
