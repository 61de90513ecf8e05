// Cold: a process that has only just attached appends through memory that no page table of its own knows, and
// what attaching itself costs. The limit, plain first-touch writes, is cold_write in bench/machine_limits.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "check.hpp"
#include "team.hpp"
#include "temporary_store.hpp"
#include "workload.hpp"

namespace {

using bench::Team;
using bench::Workload;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// Appends 1 KiB records, batched. The worker attaches before the start; what it maps and touches comes after.
std::string append_round(shoal::Store& store, const Workload& shape, const std::vector<std::string>& keys,
                         const std::vector<std::uint32_t>& picks, const std::vector<std::byte>& source) {
    std::vector<shoal::Pair> pairs;
    pairs.reserve(bench::kBatchPairs);
    for (std::size_t at = 0; at < picks.size();) {
        const std::size_t end = std::min(at + bench::kBatchPairs, picks.size());
        pairs.clear();
        for (; at < end; ++at) {
            const std::byte* record = source.data() + at % bench::kDistinctRecords * shape.record_bytes;
            pairs.emplace_back(keys[picks[at]], shoal::ByteView(record, shape.record_bytes));
        }
        if (const auto done = store.append(pairs); !done) return done.error().message;
    }
    return {};
}

// `reserve`: the process that made the arena made its memory real as well, as a long-lived store's is.
void append_cold(benchmark::State& state, bool reserve) {
    const Workload shape{1024, 100, 500'000, 1};
    for (auto _ : state) {
        bench::TemporaryStore store(2 * kGiB, reserve ? kGiB : 0);
        if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
        Team team(1, [&](unsigned worker) -> Team::Round {
            auto own = std::make_shared<shoal::Store>(shoal::Store::attach(store.path()).value());
            auto keys = std::make_shared<std::vector<std::string>>(bench::make_keys(shape.keys));
            auto picks =
                std::make_shared<std::vector<std::uint32_t>>(bench::make_picks(shape.records, shape.keys, worker));
            auto source = std::make_shared<std::vector<std::byte>>(bench::make_records(shape.record_bytes));
            return [=](unsigned) { return append_round(*own, shape, *keys, *picks, *source); };
        });
        const double seconds = team.run();
        const std::string error = team.error().empty() ? bench::check_and_drop(*store, shape) : team.error();
        if (!error.empty()) return state.SkipWithError(error.c_str());
        state.SetIterationTime(seconds);
    }
    const auto records = static_cast<std::int64_t>(shape.records) * state.iterations();
    state.SetItemsProcessed(records);
    state.SetBytesProcessed(records * static_cast<std::int64_t>(shape.record_bytes));
}
BENCHMARK_CAPTURE(append_cold, reserved_by_another, true)
    ->Iterations(1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(append_cold, nothing_reserved, false)
    ->Iterations(1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// Attaching to an arena of 8 GiB, in a process that had no store: the time is that of the call, the counter that of
// the first append and get after it.
void attach_8GiB(benchmark::State& state, std::uint64_t data_bytes, std::uint64_t reserve_bytes) {
    bench::TemporaryStore store(8 * kGiB, reserve_bytes);
    if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
    const std::vector<std::byte> megabyte(1U << 20, std::byte{7});
    for (std::uint64_t bytes = 0; bytes < data_bytes + 1; bytes += megabyte.size()) {
        const auto done = store->append("key-" + std::to_string(bytes % 1009), megabyte);
        if (!done) return state.SkipWithError(done.error().message.c_str());
    }
    double use_seconds = 0;
    for (auto _ : state) {
        Team team(1, [&](unsigned) -> Team::Round {
            return [&](unsigned) -> std::string {
                const double start = bench::now_seconds();
                auto own = shoal::Store::attach(store.path());
                if (!own) return own.error().message;
                const double attached = bench::now_seconds();
                if (const auto done = own->append("small", "one record"); !done) return done.error().message;
                if (const auto value = own->get("small"); !value || value->empty()) return "the record is lost";
                Team::number(0) = attached - start;
                Team::number(1) = bench::now_seconds() - attached;
                return {};
            };
        });
        team.run();
        if (!team.error().empty()) return state.SkipWithError(team.error().c_str());
        state.SetIterationTime(team.number(0, 0));
        use_seconds += team.number(0, 1);
    }
    state.counters["first_use_us"] = use_seconds * 1e6 / static_cast<double>(state.iterations());
}
// clang-format off
#define ATTACH(name, ...) BENCHMARK_CAPTURE(attach_8GiB, name, __VA_ARGS__) \
    ->Iterations(5)->UseManualTime()->Unit(benchmark::kMicrosecond)
//     what           data      reserve
ATTACH(empty,         0,        0);
ATTACH(data_2GiB,     2 * kGiB, 0);
ATTACH(reserved_2GiB, 0,        2 * kGiB);
// clang-format on

}  // namespace
