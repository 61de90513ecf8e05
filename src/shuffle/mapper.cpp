#include "shuffle/mapper.hpp"

#include "shuffle/xxh3.hpp"

namespace shoal::shuffling {
namespace {

constexpr std::size_t kBatchRows = 1024;

}  // namespace

std::string part_name(std::uint32_t partition) { return fmt::format("part-{:05}", partition); }

std::uint32_t partition_of(std::string_view value, std::uint32_t partitions) noexcept {
    return static_cast<std::uint32_t>(XXH3_64bits(value.data(), value.size()) % partitions);
}

std::size_t PartitionKeys::Hash::operator()(std::string_view value) const noexcept {
    return XXH3_64bits(value.data(), value.size());
}

Outcome<PartitionKey> PartitionKey::make(const Store& store, RowKeys row_keys, std::string_view partition) {
    PartitionKey made;
    for (std::uint64_t generation = 0; generation < made.keys_.size(); ++generation) {
        auto key = store.key(row_key(row_keys, generation, partition));
        if (!key) return store_failure("cannot name a partition", key.error());
        made.in(generation) = std::move(*key);
    }
    return made;
}

Outcome<PartitionKeys> PartitionKeys::make(const Store& store, RowKeys row_keys, std::uint32_t partitions) {
    PartitionKeys keys;
    keys.store_ = &store;
    keys.row_keys_ = row_keys;
    keys.partitions_ = partitions;
    keys.numbered_.reserve(partitions);
    for (std::uint32_t partition = 0; partition < partitions; ++partition) {
        auto key = PartitionKey::make(store, row_keys, part_name(partition));
        if (!key) return passed_on(key.error());
        keys.numbered_.push_back(std::move(*key));
    }
    return keys;
}

Outcome<PartitionKey*> PartitionKeys::of(std::string_view value) {
    if (partitions_ != 0) return &numbered_[partition_of(value, partitions_)];
    const auto known = named_.find(value);
    if (known != named_.end()) return &known->second;
    auto key = PartitionKey::make(*store_, row_keys_, value);
    if (!key) return passed_on(key.error());
    return &named_.emplace(std::string(value), std::move(*key)).first->second;
}

tl::unexpected<ShuffleError> store_failure(std::string_view doing, const Error& error) {
    std::string hint;
    if (error.code == Code::kMemoryLimit) {
        hint =
            "; raise the store's memory limit (--memory), or name a folder for what it does not hold (--spill-dir)";
    } else if (error.code == Code::kNoSpace) {
        hint = "; make room there, or give a store elsewhere (--store)";
    }
    return failure(ShuffleCause::kStore, fmt::format("{}: {}{}", doing, error.message, hint));
}

Mapper::Mapper(Store& store, PartitionKeys keys, OnBadRow on_bad_row, Desk& desk, Counters& counters,
               EarlyOutput* early)
    : store_(store),
      keys_(std::move(keys)),
      on_bad_row_(on_bad_row),
      desk_(desk),
      counters_(counters),
      early_(early) {
    batch_.reserve(kBatchRows);
    pairs_.reserve(kBatchRows);
}

Outcome<void> Mapper::run(const std::vector<InputFile>& files, const std::vector<Range>& ranges,
                          RangeReader& reader) {
    for (task_ = counters_.take_task(); task_ < ranges.size() && !counters_.pointless(task_);
         task_ = counters_.take_task()) {
        file_ = ranges[task_].file;
        desk_.busy_with.store(file_, std::memory_order_relaxed);
        const auto done = reader.read(files[file_], ranges[task_], *this);
        if (error_) return passed_on(*error_);
        if (!done) return passed_on(done.error());
        if (stopped_) break;
    }
    return {};
}

bool Mapper::row(std::string_view row, std::string_view key) {
    if (key.size() > kMaxPartitionKeyBytes && keys_.by_value()) {
        const auto offset = static_cast<std::size_t>(row.data() - window_data_);
        return bad(offset, BadRow::kKeyTooLong, key.size());
    }
    const auto partition = keys_.of(key);
    if (!partition) {
        error_ = partition.error();
        stopped_ = true;
        return false;
    }
    batch_.emplace_back(*partition, ByteView(row));
    batch_bytes_ += row.size();
    return batch_.size() < kBatchRows || flush();
}

bool Mapper::bad(std::size_t offset, BadRow reason, std::uint64_t detail) {
    ++desk_.bad_rows[static_cast<std::size_t>(reason)];
    const BadSpot spot{file_, reason, window_offset_ + offset, detail};
    if (desk_.spots < Desk::kSpots) desk_.first_bad[desk_.spots++] = spot;
    if (on_bad_row_ == OnBadRow::kSkip && reason != BadRow::kRowTooLong) return true;
    desk_.fatal = spot;
    desk_.has_fatal = true;
    counters_.found_bad(task_);
    stopped_ = true;
    return false;
}

void Mapper::window(std::uint64_t offset, const char* data) {
    window_offset_ = offset;
    window_data_ = data;
}

bool Mapper::release(std::uint64_t done) {
    if (!flush()) return false;
    desk_.bytes_done.fetch_add(done, std::memory_order_relaxed);
    if (counters_.pointless(task_)) stopped_ = true;
    return !stopped_;
}

bool Mapper::flush() {
    if (error_) return false;
    if (batch_.empty()) return true;
    if (const auto appended = append_batch(); !appended) {
        error_ = appended.error();
        stopped_ = true;
        return false;
    }
    desk_.rows.fetch_add(batch_.size(), std::memory_order_relaxed);
    desk_.row_bytes += batch_bytes_;
    const std::uint64_t bytes = std::exchange(batch_bytes_, 0);
    const std::size_t rows = batch_.size();
    batch_.clear();
    if (early_ == nullptr) return true;
    if (const auto met = early_->appended(bytes, rows, keys_.size()); !met) {
        error_ = met.error();
        stopped_ = true;
    }
    return !stopped_;
}

void Mapper::make_pairs(std::size_t first) {
    const std::uint64_t generation = early_ == nullptr ? 0 : early_->generation();
    pairs_.clear();
    for (std::size_t i = first; i < batch_.size(); ++i) {
        pairs_.emplace_back(batch_[i].first->in(generation), batch_[i].second);
    }
}

// Where the store has no room a new generation begins. It is an error when that was of no use to any mapper: the
// first one may find memory full of the last generation still, the second one does not.
Outcome<void> Mapper::append_batch() {
    constexpr int kTries = 3;
    std::size_t done = 0;
    for (int tries_left = kTries;;) {
        make_pairs(done);
        const auto appended = store_.append(pairs_);
        if (appended) return {};
        const std::size_t more = appended.error().count;
        done += more;
        const bool makes_room = early_ != nullptr && appended.error().code == Code::kMemoryLimit;
        if (makes_room && (more != 0 || early_->anything_held())) tries_left = kTries;
        if (!makes_room || --tries_left == 0) {
            return store_failure("the rows do not fit into the store", appended.error());
        }
        if (const auto met = early_->make_room(); !met) return met;
    }
}

}  // namespace shoal::shuffling
