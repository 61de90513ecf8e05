// Limit: one cache line between two processes, and how long the machine keeps a running process waiting.
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "latency.hpp"
#include "shared_file.hpp"
#include "team.hpp"
#include "workload.hpp"

namespace {

using bench::Mapping;
using bench::SharedFile;
using bench::Team;

// --- one cache line between two processes ---------------------------------------------------------------

struct Line {
    alignas(128) std::atomic<std::uint64_t> value;
};

// One-way time: half of a round trip.
void ping_pong(benchmark::State& state) {
    constexpr std::uint64_t kTrips = 200'000;
    SharedFile file(4096);
    Team team(2, [&](unsigned worker) -> Team::Round {
        auto map = std::make_shared<Mapping>(file.descriptor(), file.size());
        return [map, worker](unsigned round) -> std::string {
            auto& line = reinterpret_cast<Line*>(map->data())->value;
            for (std::uint64_t trip = 0; trip < kTrips; ++trip) {
                const std::uint64_t turn = 2 * (round * kTrips + trip) + worker;
                while (line.load(std::memory_order_acquire) != turn) {
                }
                line.store(turn + 1, std::memory_order_release);
            }
            return {};
        };
    });
    for (auto _ : state) state.SetIterationTime(team.run() / (2.0 * kTrips));
    if (!team.error().empty()) state.SkipWithError(team.error().c_str());
}
BENCHMARK(ping_pong)->Iterations(5)->UseManualTime()->Unit(benchmark::kNanosecond);

// fetch_add on one line by 1 or 2 processes; items are additions of all together.
void fetch_add(benchmark::State& state) {
    constexpr std::uint64_t kAdditions = 2'000'000;
    const auto workers = static_cast<unsigned>(state.range(0));
    SharedFile file(4096);
    Mapping check(file.descriptor(), file.size());
    Team team(workers, [&](unsigned) -> Team::Round {
        auto map = std::make_shared<Mapping>(file.descriptor(), file.size());
        return [map](unsigned) -> std::string {
            auto& line = reinterpret_cast<Line*>(map->data())->value;
            for (std::uint64_t i = 0; i < kAdditions; ++i) line.fetch_add(1, std::memory_order_acq_rel);
            return {};
        };
    });
    for (auto _ : state) state.SetIterationTime(team.run());
    if (!team.error().empty()) state.SkipWithError(team.error().c_str());
    const auto additions = kAdditions * workers * static_cast<std::uint64_t>(state.iterations());
    if (reinterpret_cast<Line*>(check.data())->value.load(std::memory_order_acquire) != additions) {
        state.SkipWithError("additions were lost");
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(additions));
}
BENCHMARK(fetch_add)->ArgName("processes")->Arg(1)->Arg(2)->Iterations(5)->UseManualTime();

// Gaps between two readings of the clock in a loop that does nothing else: no single call can do better than this.
void hiccups(benchmark::State& state) {
    for (auto _ : state) {
        bench::Histogram gaps;
        const double start = bench::now_seconds();
        for (std::uint64_t last = bench::ticks(); bench::now_seconds() < start + 1.0;) {
            for (int reading = 0; reading < 10'000; ++reading) {
                const std::uint64_t now = bench::ticks();
                gaps.add(now - last);
                last = now;
            }
        }
        state.SetIterationTime(bench::now_seconds() - start);
        state.counters["p50_ns"] = gaps.nanoseconds(0.5);
        state.counters["p99.99_ns"] = gaps.nanoseconds(0.9999);
        state.counters["max_ns"] = gaps.max_nanoseconds();
    }
}
BENCHMARK(hiccups)->Iterations(1)->UseManualTime();

}  // namespace
