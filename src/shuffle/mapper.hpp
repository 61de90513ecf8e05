// A mapper's half of the job: rows of its ranges, appended to their partitions' keys in the store, in batches.
//
// One a process. A mapper that is killed leaves whole rows in the store, some of its batch perhaps missing; the job
// fails then, so nobody reads them.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <shoal/store.hpp>

#include "shuffle/early_output.hpp"
#include "shuffle/job_board.hpp"
#include "shuffle/range_reader.hpp"
#include "shuffle/row_keys.hpp"

namespace shoal::shuffling {

// Key in the store, and name of the file without its extension, of partition number `partition`: "part-00017".
[[nodiscard]] std::string part_name(std::uint32_t partition);

// XXH3_64bits(value) % partitions.
[[nodiscard]] std::uint32_t partition_of(std::string_view value, std::uint32_t partitions) noexcept;

// Handles of the keys of a partition's rows, in even and in odd generations.
class PartitionKey {
public:
    [[nodiscard]] static Outcome<PartitionKey> make(const Store& store, RowKeys row_keys,
                                                    std::string_view partition);
    [[nodiscard]] Key& in(std::uint64_t generation) noexcept { return keys_[generation % 2]; }

private:
    std::array<Key, 2> keys_;
};

// Of all partitions: by number, or one for each distinct value.
class PartitionKeys {
public:
    [[nodiscard]] static Outcome<PartitionKeys> make(const Store& store, RowKeys row_keys,
                                                     std::uint32_t partitions);

    // Stays where it is while this lives. The value must not be longer than kMaxPartitionKeyBytes when partitions
    // are by value.
    [[nodiscard]] Outcome<PartitionKey*> of(std::string_view value);

    [[nodiscard]] bool by_value() const noexcept { return partitions_ == 0; }

    // Those there are; by value those that were asked for.
    [[nodiscard]] std::size_t size() const noexcept { return by_value() ? named_.size() : partitions_; }

private:
    struct Hash {
        using is_transparent = void;
        [[nodiscard]] std::size_t operator()(std::string_view value) const noexcept;
    };

    const Store* store_ = nullptr;
    RowKeys row_keys_ = RowKeys::kOwn;
    std::uint32_t partitions_ = 0;  // 0: by value
    std::vector<PartitionKey> numbered_;
    std::unordered_map<std::string, PartitionKey, Hash, std::equal_to<>> named_;
};

// What a failure of the store means for the job; says what to raise at its memory limit.
[[nodiscard]] tl::unexpected<ShuffleError> store_failure(std::string_view doing, const Error& error);

class Mapper final : public RangeSink {
public:
    // `early` nullptr: all rows stay in the store.
    Mapper(Store& store, PartitionKeys keys, OnBadRow on_bad_row, Desk& desk, Counters& counters,
           EarlyOutput* early);

    // Takes ranges until none is left, or the ones left do not matter since an earlier row is malformed.
    [[nodiscard]] Outcome<void> run(const std::vector<InputFile>& files, const std::vector<Range>& ranges,
                                    RangeReader& reader);

    bool row(std::string_view row, std::string_view key) override;
    bool bad(std::size_t offset, BadRow reason, std::uint64_t detail) override;
    void blank() override { ++desk_.blank_lines; }
    void window(std::uint64_t offset, const char* data) override;
    bool release(std::uint64_t done) override;

private:
    [[nodiscard]] bool flush();
    [[nodiscard]] Outcome<void> append_batch();
    void make_pairs(std::size_t first);

    Store& store_;
    PartitionKeys keys_;
    OnBadRow on_bad_row_;
    Desk& desk_;
    Counters& counters_;
    EarlyOutput* early_;
    std::vector<std::pair<PartitionKey*, ByteView>> batch_;
    std::vector<Pair> pairs_;  // of the batch, in the generation to which they are appended
    std::uint64_t batch_bytes_ = 0;
    std::uint64_t task_ = 0;
    std::uint32_t file_ = 0;
    std::uint64_t window_offset_ = 0;
    const char* window_data_ = nullptr;
    bool stopped_ = false;
    std::optional<ShuffleError> error_;
};

}  // namespace shoal::shuffling
