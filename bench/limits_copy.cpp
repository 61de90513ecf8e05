// Limit: memcpy into the same kind of memory and the same number of destinations as append writes to, memcpy out
// as get does, and what zeroing costs. No shoal in it.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "shared_file.hpp"
#include "team.hpp"
#include "workload.hpp"

namespace {

using bench::Mapping;
using bench::SharedFile;
using bench::Team;

// --- memcpy in: records of `bytes` to `streams` destinations picked at random, warm -------------------------

struct CopyShape {
    std::size_t record_bytes;
    std::size_t stride_bytes;  // what a record takes up: its own bytes, or with shoal's 8-byte frame header
    std::uint32_t streams;
    std::size_t records;  // of one worker in one round
};

Team::Round copy_in_worker(const SharedFile& file, const CopyShape& shape, unsigned worker, unsigned workers) {
    auto map = std::make_shared<Mapping>(file.descriptor(), file.size());
    const std::size_t share = file.size() / workers;
    std::memset(map->data() + worker * share, 1, share);
    auto picks =
        std::make_shared<std::vector<std::uint32_t>>(bench::make_picks(shape.records, shape.streams, worker));
    auto source = std::make_shared<std::vector<std::byte>>(bench::make_records(shape.record_bytes));
    const std::size_t stream_bytes = share / shape.streams / 64 * 64;
    return [=](unsigned) -> std::string {
        std::vector<std::byte*> at(shape.streams);
        for (std::size_t i = 0; i < at.size(); ++i) at[i] = map->data() + worker * share + i * stream_bytes;
        std::vector<std::byte*> end(at);
        for (std::byte*& one : end) one += stream_bytes - shape.stride_bytes;
        std::size_t number = 0;
        for (const std::uint32_t pick : *picks) {
            std::memcpy(at[pick], source->data() + (number++ % 64) * shape.record_bytes, shape.record_bytes);
            at[pick] += shape.stride_bytes;
            if (at[pick] > end[pick]) at[pick] = end[pick];
        }
        benchmark::ClobberMemory();
        return {};
    };
}

void memcpy_in(benchmark::State& state) {
    const CopyShape shape{static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)),
                          static_cast<std::uint32_t>(state.range(2)),
                          static_cast<std::size_t>(state.range(0)) >= 1024 ? 200'000U : 2'000'000U};
    const auto workers = static_cast<unsigned>(state.range(3));
    SharedFile file((shape.records * shape.stride_bytes * 5 / 4 + std::size_t{shape.streams} * 4096) * workers);
    Team team(workers, [&](unsigned worker) { return copy_in_worker(file, shape, worker, workers); });
    team.run();
    for (auto _ : state) state.SetIterationTime(team.run());
    if (!team.error().empty()) state.SkipWithError(team.error().c_str());
    const auto records = static_cast<std::int64_t>(shape.records * workers) * state.iterations();
    state.SetItemsProcessed(records);
    state.SetBytesProcessed(records * state.range(0));
}
BENCHMARK(memcpy_in)
    ->ArgNames({"bytes", "stride", "streams", "processes"})
    ->Args({1024, 1024, 100, 1})
    ->Args({1024, 1032, 100, 1})
    ->Args({1024, 1032, 100, 2})
    ->Args({64, 64, 100, 1})
    ->Args({64, 72, 100, 1})
    ->Args({64, 72, 10000, 1})
    ->Args({64, 72, 10000, 2})
    ->Args({64, 72, 1, 1})
    ->Iterations(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// --- memcpy out: one value of `bytes`, resident and warm, into memory of our own that is warm ----------------

void memcpy_out(benchmark::State& state) {
    const auto bytes = static_cast<std::size_t>(state.range(0));
    const auto piece = static_cast<std::size_t>(state.range(1));
    SharedFile file(bytes + bytes / piece * 8 + 4096);
    Mapping map(file.descriptor(), file.size());
    std::memset(map.data(), 1, map.size());
    std::vector<std::byte> out(bytes, std::byte{1});
    for (auto _ : state) {
        const std::byte* from = map.data();
        for (std::size_t at = 0; at < bytes; at += piece) {
            std::memcpy(out.data() + at, from, piece);
            from += piece == bytes ? piece : piece + 8;
        }
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}
BENCHMARK(memcpy_out)
    ->ArgNames({"bytes", "piece"})
    ->Args({1 << 20, 1 << 20})
    ->Args({1 << 20, 1024})
    ->Args({640'000, 64})
    ->Args({640'000, 640'000})
    ->MinTime(0.1)
    ->Unit(benchmark::kMicrosecond);

// memset of memory that is warm: what it costs to zero a recycled block.
void zeroing(benchmark::State& state) {
    constexpr std::size_t kBytes = std::size_t{256} << 20;
    const auto piece = static_cast<std::size_t>(state.range(0));
    SharedFile file(kBytes);
    Mapping map(file.descriptor(), kBytes);
    std::memset(map.data(), 1, kBytes);
    for (auto _ : state) {
        for (std::size_t from = 0; from < kBytes; from += piece) {
            std::memset(map.data() + from, 0, piece);
            benchmark::ClobberMemory();
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kBytes));
}
BENCHMARK(zeroing)->ArgName("piece")->Arg(4096)->Arg(64 << 10)->Arg(1 << 20)->Iterations(3)->Unit(
    benchmark::kMillisecond);

}  // namespace
