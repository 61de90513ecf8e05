#include "shuffle/partition_output.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "shuffle/mapper.hpp"

namespace shoal::shuffling {
namespace {

// Of a partition's rows, in memory at once: what is spilled of it may be larger than what a process may take.
constexpr std::size_t kPartBytes = 8 << 20;

// Before a partition's key in the store of what is begun.
constexpr std::string_view kState = "s";  // a PartitionResult, and what PartitionFile::pause gave
constexpr std::string_view kClaim = "c";  // somebody moves its rows

[[nodiscard]] std::string prefixed(std::string_view prefix, std::string_view key) {
    return std::string(prefix).append(key);
}

// Of the keys that begin so, what follows; in order.
[[nodiscard]] Outcome<std::vector<std::string>> keys_behind(std::string_view prefix, const Store& store) {
    const auto keys = store.keys();
    if (!keys) return store_failure("cannot list the partitions", keys.error());
    std::vector<std::string> found;
    for (const Bytes& key : *keys) {
        if (key.text().starts_with(prefix)) found.emplace_back(key.text().substr(prefix.size()));
    }
    std::sort(found.begin(), found.end());
    return found;
}

[[nodiscard]] Outcome<void> write_rows(const Store& rows, const std::string& row_key, const Partition& partition,
                                       PartitionFile& file, PartitionResult& result) {
    Outcome<void> written;
    const auto read = rows.records(row_key, kPartBytes, [&](const Records& part) {
        for (auto record = part.begin(); written && record != part.end(); ++record) {
            written = file.write((*record).text());
            ++result.rows;
            result.row_bytes += (*record).size();
        }
        return written.has_value();
    });
    const bool without_rows = !read && read.error().code == Code::kNotFound;
    if (!read && !without_rows) return store_failure("cannot read the rows of " + partition.file, read.error());
    return written;
}

}  // namespace

Outcome<PartitionOutput> PartitionOutput::make(Plan plan) {
    auto begun = Store::in_memory();
    if (!begun) return store_failure("cannot make a store for what is begun", begun.error());
    return PartitionOutput(std::move(plan), std::move(*begun));
}

Partition PartitionOutput::named(std::string_view key) const {
    std::string file = plan_.partitions == 0 ? value_file_name(key, plan_.suffix) : prefixed(key, plan_.suffix);
    return {std::string(key), std::move(file)};
}

Outcome<std::vector<Partition>> PartitionOutput::partitions(const Store& rows, std::uint64_t generation) const {
    std::vector<std::string> keys;
    for (std::uint32_t i = 0; i < plan_.partitions; ++i) keys.push_back(part_name(i));
    if (plan_.partitions == 0) {
        const auto held = keys_behind(row_key_prefix(plan_.row_keys, generation), rows);
        if (!held) return passed_on(held.error());
        const auto begun = keys_behind(kState, begun_);
        if (!begun) return passed_on(begun.error());
        std::set_union(held->begin(), held->end(), begun->begin(), begun->end(), std::back_inserter(keys));
    }
    std::vector<Partition> all;
    all.reserve(keys.size());
    for (const std::string& key : keys) all.push_back(named(key));
    return all;
}

// Whoever lists the keys late may find one that somebody has moved meanwhile, and whose claim is free again: then
// it has no rows.
Outcome<std::uint64_t> PartitionOutput::move_rows(Store& rows, std::uint64_t generation) {
    const auto keys = keys_behind(row_key_prefix(plan_.row_keys, generation), rows);
    if (!keys) return passed_on(keys.error());
    std::uint64_t bytes = 0;
    for (const std::string& key : *keys) {
        const std::string claim = prefixed(kClaim, key);
        const auto claimed = begun_.iset(claim, "");
        if (!claimed) return store_failure("cannot claim a partition", claimed.error());
        if (!*claimed) continue;
        const auto moved = move(rows, row_key(plan_.row_keys, generation, key), named(key));
        if (!moved) return moved;
        bytes += *moved;
        const auto released = begun_.erase(claim);
        if (!released) return store_failure("cannot release a partition", released.error());
    }
    return bytes;
}

Outcome<std::uint64_t> PartitionOutput::move(Store& rows, const std::string& row_key, const Partition& partition) {
    const auto there = rows.contains(row_key);
    if (!there) return store_failure("cannot look for the rows of " + partition.file, there.error());
    if (!*there) return 0;
    auto begun = begin(partition);
    if (!begun) return passed_on(begun.error());
    const std::uint64_t before = begun->result.row_bytes;
    const auto written = write_rows(rows, row_key, partition, begun->file, begun->result);
    if (!written) return passed_on(written.error());
    if (const auto saved = save(partition, *begun); !saved) return passed_on(saved.error());
    const auto erased = rows.erase(row_key);
    if (!erased) return store_failure("cannot erase the rows of " + partition.file, erased.error());
    return begun->result.row_bytes - before;
}

Outcome<PartitionOutput::Begun> PartitionOutput::begin(const Partition& partition) const {
    const auto saved = begun_.get(prefixed(kState, partition.key));
    if (!saved && saved.error().code != Code::kNotFound) {
        return store_failure("cannot go on with " + partition.file, saved.error());
    }
    PartitionResult result;
    if (saved) {
        std::memcpy(&result, saved->text().data(), sizeof result);
        const std::string_view paused = saved->text().substr(sizeof result);
        auto file = PartitionFile::resume(plan_.folder_fd, partition.file, through_, paused);
        if (!file) return passed_on(file.error());
        return Begun{result, std::move(*file)};
    }
    auto file = PartitionFile::create(plan_.folder_fd, partition.file, through_);
    if (!file) return passed_on(file.error());
    if (const auto headed = file->write(plan_.header); !headed) return passed_on(headed.error());
    return Begun{result, std::move(*file)};
}

Outcome<void> PartitionOutput::save(const Partition& partition, Begun& begun) {
    const auto paused = begun.file.pause();
    if (!paused) return passed_on(paused.error());
    std::string state(sizeof begun.result, '\0');
    std::memcpy(state.data(), &begun.result, sizeof begun.result);
    state += *paused;
    const std::string key = prefixed(kState, partition.key);
    const auto forgotten = begun_.erase(key);
    if (!forgotten) return store_failure("cannot go on with " + partition.file, forgotten.error());
    const auto kept = begun_.append(key, state);
    if (!kept) return store_failure("cannot go on with " + partition.file, kept.error());
    return {};
}

Outcome<PartitionResult> PartitionOutput::finish(const Store& rows, std::uint64_t generation,
                                                 const Partition& partition) {
    auto begun = begin(partition);
    if (!begun) return passed_on(begun.error());
    Outcome<void> written =
        write_rows(rows, row_key(plan_.row_keys, generation, partition.key), partition, begun->file, begun->result);
    if (written) written = begun->file.finish();
    if (!written) return passed_on(written.error());
    begun->result.file_bytes = begun->file.bytes();
    begun->result.digest = begun->file.digest();
    return begun->result;
}

Outcome<void> finish_partitions(const Store& rows, std::uint64_t generation,
                                const std::vector<Partition>& partitions, PartitionOutput& output, Desk& desk,
                                Counters& counters, SharedArray<PartitionResult>& results) {
    for (std::uint64_t i = counters.take_task(); i < partitions.size(); i = counters.take_task()) {
        desk.busy_with.store(i, std::memory_order_relaxed);
        const auto result = output.finish(rows, generation, partitions[i]);
        if (!result) return passed_on(result.error());
        results[i] = *result;
        desk.rows.fetch_add(result->rows, std::memory_order_relaxed);
        desk.bytes_done.fetch_add(result->row_bytes, std::memory_order_relaxed);
    }
    return {};
}

}  // namespace shoal::shuffling
