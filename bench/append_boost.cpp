// The rival: Boost.Interprocess, a hash map of strings to byte vectors in a managed segment, under a mutex.
//
// Tuned as far as its users go: the table is reserved, a look-up builds no string in shared memory, the memory
// is mapped before it is timed, and there are both the usual lock a record and one lock for a batch of 1,024,
// the batch that shoal gets too. Like shoal it starts a round from an empty map. Keys, records and order are
// shoal's.
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "boost_map.hpp"
#include "shared_file.hpp"
#include "team.hpp"
#include "workload.hpp"

namespace {

namespace ipc = boost::interprocess;
using bench::Team;
using bench::Workload;
using bench::boost_map::append_one;
using bench::boost_map::Manager;
using bench::boost_map::Root;

std::string check_and_clear(Root& root, const Workload& shape) {
    std::size_t bytes = 0;
    for (const auto& [key, value] : root.map) bytes += value.size();
    root.map.clear();
    root.map.reserve(shape.keys);
    return bytes == shape.records * shape.workers * shape.record_bytes ? "" : "the map lost a record";
}

void boost_map(benchmark::State& state, std::size_t locked_pairs, std::size_t record_bytes, std::uint32_t keys,
               std::size_t records, unsigned workers) {
    const Workload shape{record_bytes, keys, records, workers};
    bench::SharedFile file(std::size_t{1} << 30);
    bench::Mapping map(file.descriptor(), file.size());
    std::memset(map.data(), 0, map.size());  // inherited at the same address, as pointers inside are offsets anyway
    ipc::managed_external_buffer segment(ipc::create_only, map.data(), map.size());
    Manager* manager = segment.get_segment_manager();
    Root& root = *segment.construct<Root>("root")(keys, manager);
    Team team(workers, [&](unsigned worker) -> Team::Round {
        auto names = std::make_shared<std::vector<std::string>>(bench::make_keys(keys));
        auto picks = std::make_shared<std::vector<std::uint32_t>>(bench::make_picks(records, keys, worker));
        auto source = std::make_shared<std::vector<std::byte>>(bench::make_records(record_bytes));
        for (std::size_t at = 0; at < map.size(); at += 4096) benchmark::DoNotOptimize(map.data()[at]);
        return [=, &root](unsigned) -> std::string {
            for (std::size_t at = 0; at < picks->size();) {
                const std::size_t end = std::min(at + locked_pairs, picks->size());
                const ipc::scoped_lock<ipc::interprocess_mutex> lock(root.mutex);
                for (; at < end; ++at) {
                    const std::byte* record = source->data() + at % bench::kDistinctRecords * record_bytes;
                    append_one(root, manager, (*names)[(*picks)[at]], record, record_bytes);
                }
            }
            return {};
        };
    });
    const auto round = [&](std::string& error) {
        const double seconds = team.run();
        error = team.error().empty() ? check_and_clear(root, shape) : team.error();
        return seconds;
    };
    std::string error;
    round(error);
    for (auto _ : state) {
        if (error.empty()) state.SetIterationTime(round(error));
        if (!error.empty()) return state.SkipWithError(error.c_str());
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(records * workers) * state.iterations());
}

// clang-format off
#define BOOST_MAP(name, ...) BENCHMARK_CAPTURE(boost_map, name, __VA_ARGS__) \
    ->Iterations(1)->UseManualTime()->Unit(benchmark::kMillisecond)
//        what                          records a lock      bytes  keys   records  processes
BOOST_MAP(64B_10000keys_each_1,         1,                     64, 10'000, 1'000'000, 1);
BOOST_MAP(64B_10000keys_each_2,         1,                     64, 10'000, 1'000'000, 2);
BOOST_MAP(64B_10000keys_batch_1,        bench::kBatchPairs,    64, 10'000, 1'000'000, 1);
BOOST_MAP(64B_10000keys_batch_2,        bench::kBatchPairs,    64, 10'000, 1'000'000, 2);
// clang-format on

}  // namespace
