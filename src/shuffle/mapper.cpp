#include "shuffle/mapper.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

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

Outcome<PartitionKeys> PartitionKeys::make(const Store& store, std::uint32_t partitions) {
    PartitionKeys keys;
    keys.store_ = &store;
    keys.partitions_ = partitions;
    keys.numbered_.reserve(partitions);
    for (std::uint32_t partition = 0; partition < partitions; ++partition) {
        auto key = store.key(part_name(partition));
        if (!key) return store_failure("cannot name a partition", key.error());
        keys.numbered_.push_back(std::move(*key));
    }
    return keys;
}

Outcome<Key*> PartitionKeys::of(std::string_view value) {
    if (partitions_ != 0) return &numbered_[partition_of(value, partitions_)];
    const auto known = named_.find(value);
    if (known != named_.end()) return &known->second;
    auto key = store_->key(value);
    if (!key) return store_failure("cannot name a partition", key.error());
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

Mapper::Mapper(Store& store, PartitionKeys keys, OnBadRow on_bad_row, Desk& desk, Counters& counters)
    : store_(store), keys_(std::move(keys)), on_bad_row_(on_bad_row), desk_(desk), counters_(counters) {
    batch_.reserve(kBatchRows);
}

Outcome<void> Mapper::run(const std::vector<InputFile>& files, const std::vector<Range>& ranges,
                          RangeReader& reader) {
    for (task_ = counters_.take_task(); task_ < ranges.size() && !counters_.pointless(task_);
         task_ = counters_.take_task()) {
        file_ = ranges[task_].file;
        desk_.busy_with.store(file_, std::memory_order_relaxed);
        const auto done = reader.read(files[file_], ranges[task_], *this);
        if (error_) return tl::unexpected<ShuffleError>(*error_);
        if (!done) return tl::unexpected<ShuffleError>(done.error());
        if (stopped_) break;
    }
    return {};
}

bool Mapper::row(std::string_view row, std::string_view key) {
    if (key.size() > kMaxKeyBytes && keys_.by_value()) {
        const auto offset = static_cast<std::size_t>(row.data() - window_data_);
        return bad(offset, BadRow::kKeyTooLong, key.size());
    }
    const auto partition = keys_.of(key);
    if (!partition) {
        error_ = partition.error();
        stopped_ = true;
        return false;
    }
    batch_.emplace_back(**partition, ByteView(row));
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
    const auto appended = store_.append(std::span<const Pair>(batch_));
    if (!appended) {
        error_ = store_failure("the rows do not fit into the store", appended.error()).value();
        stopped_ = true;
        return false;
    }
    desk_.rows.fetch_add(batch_.size(), std::memory_order_relaxed);
    desk_.row_bytes += batch_bytes_;
    batch_.clear();
    batch_bytes_ = 0;
    return true;
}

}  // namespace shoal::shuffling
