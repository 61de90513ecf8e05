// Append: records a second for the shapes that issue 2 asks for, by one process and by two on one arena.
//
// Each round appends the same picks into an empty store whose memory every worker has had mapped before (warm);
// the store is dropped and checked between rounds, outside the timing. A round that lost, doubled or spoiled a
// record is an error and no number.
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "check.hpp"
#include "latency.hpp"
#include "team.hpp"
#include "temporary_store.hpp"
#include "workload.hpp"

namespace {

using bench::Team;
using bench::Workload;

enum class How { kBatch, kBatchHandles, kSingle, kSingleHandle, kSingleTimed };

// What one worker has at hand: all that an application would have before it appends.
struct Writer {
    Writer(const std::string& path, const Workload& shape, unsigned worker)
        : store(shoal::Store::attach(path).value()),
          keys(bench::make_keys(shape.keys)),
          picks(bench::make_picks(shape.records, shape.keys, worker)),
          source(bench::make_records(shape.record_bytes)),
          record_bytes(shape.record_bytes) {
        for (const std::string& key : keys) handles.push_back(store.key(key).value());
        pairs.reserve(bench::kBatchPairs);
    }
    [[nodiscard]] shoal::ByteView record(std::size_t number) const {
        return {source.data() + number % bench::kDistinctRecords * record_bytes, record_bytes};
    }

    shoal::Store store;
    std::vector<std::string> keys;
    std::vector<shoal::Key> handles;
    std::vector<std::uint32_t> picks;
    std::vector<std::byte> source;
    std::vector<shoal::Pair> pairs;
    std::size_t record_bytes;
    bench::Histogram latencies;
};

std::string append_batches(Writer& writer, bool by_handle) {
    for (std::size_t at = 0; at < writer.picks.size();) {
        const std::size_t end = std::min(at + bench::kBatchPairs, writer.picks.size());
        writer.pairs.clear();
        for (; at < end; ++at) {
            const std::uint32_t pick = writer.picks[at];
            if (by_handle) {
                writer.pairs.emplace_back(writer.handles[pick], writer.record(at));
            } else {
                writer.pairs.emplace_back(writer.keys[pick], writer.record(at));
            }
        }
        if (const auto done = writer.store.append(writer.pairs); !done) return done.error().message;
    }
    return {};
}

template <class Append>
std::string append_each(Writer& writer, const Append& append) {
    for (std::size_t at = 0; at < writer.picks.size(); ++at) {
        if (const auto done = append(writer.picks[at], writer.record(at)); !done) return done.error().message;
    }
    return {};
}

std::string append_timed(Writer& writer) {
    const auto failure = append_each(writer, [&](std::uint32_t pick, shoal::ByteView record) {
        const std::uint64_t start = bench::ticks();
        auto done = writer.store.append(writer.keys[pick], record);
        writer.latencies.add(bench::ticks() - start);
        return done;
    });
    Team::number(0) = writer.latencies.nanoseconds(0.5);
    Team::number(1) = writer.latencies.nanoseconds(0.99);
    Team::number(2) = writer.latencies.nanoseconds(0.999);
    Team::number(3) = writer.latencies.max_nanoseconds();
    return failure;
}

std::string append_all(Writer& writer, How how) {
    switch (how) {
        case How::kBatch:
            return append_batches(writer, false);
        case How::kBatchHandles:
            return append_batches(writer, true);
        case How::kSingleTimed:
            return append_timed(writer);
        case How::kSingle:
            return append_each(writer, [&](std::uint32_t pick, shoal::ByteView record) {
                return writer.store.append(writer.keys[pick], record);
            });
        case How::kSingleHandle:
            return append_each(writer, [&](std::uint32_t pick, shoal::ByteView record) {
                return writer.store.append(writer.handles[pick], record);
            });
    }
    return "no such way";
}

void append(benchmark::State& state, How how, std::size_t record_bytes, std::uint32_t keys, std::size_t records,
            unsigned workers) {
    const Workload shape{record_bytes, keys, records, workers};
    bench::TemporaryStore store(std::uint64_t{2} << 30);
    if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
    Team team(workers, [&](unsigned worker) -> Team::Round {
        auto writer = std::make_shared<Writer>(store.path(), shape, worker);
        return [writer, how](unsigned) { return append_all(*writer, how); };
    });
    const auto round = [&](std::string& error) {
        const double seconds = team.run();
        error = team.error().empty() ? bench::check_and_drop(*store, shape) : team.error();
        return seconds;
    };
    std::string error;
    for (int warm = 0; warm < 3 && error.empty(); ++warm) round(error);
    for (auto _ : state) {
        if (error.empty()) state.SetIterationTime(round(error));
        if (!error.empty()) return state.SkipWithError(error.c_str());
    }
    const auto all = static_cast<std::int64_t>(records * workers) * state.iterations();
    state.SetItemsProcessed(all);
    state.SetBytesProcessed(all * static_cast<std::int64_t>(record_bytes));
    if (how == How::kSingleTimed) {
        const char* names[] = {"p50_ns", "p99_ns", "p99.9_ns", "max_ns"};
        for (unsigned at = 0; at < 4; ++at) state.counters[names[at]] = team.number(0, at);
    }
}

// clang-format off
#define APPEND(name, ...) BENCHMARK_CAPTURE(append, name, __VA_ARGS__) \
    ->Iterations(5)->UseManualTime()->Unit(benchmark::kMillisecond)
//     what                          how                 bytes  keys    records    processes
APPEND(1K_100keys_batch_1,           How::kBatch,         1024, 100,      200'000, 1);
APPEND(1K_100keys_batch_2,           How::kBatch,         1024, 100,      200'000, 2);
APPEND(64B_10000keys_batch_1,        How::kBatch,           64, 10'000, 1'000'000, 1);
APPEND(64B_10000keys_batch_2,        How::kBatch,           64, 10'000, 1'000'000, 2);
APPEND(64B_10000keys_handles_2,      How::kBatchHandles,    64, 10'000, 1'000'000, 2);
APPEND(64B_10000keys_single_1,       How::kSingle,          64, 10'000, 1'000'000, 1);
APPEND(64B_10000keys_single_2,       How::kSingle,          64, 10'000, 1'000'000, 2);
APPEND(64B_100keys_single_1,         How::kSingle,          64, 100,    2'000'000, 1);
APPEND(64B_100keys_single_handle_1,  How::kSingleHandle,    64, 100,    2'000'000, 1);
APPEND(64B_100keys_latency_1,        How::kSingleTimed,     64, 100,    1'000'000, 1);
APPEND(64B_hot_batch_1,              How::kBatch,           64, 1,      2'000'000, 1);
APPEND(64B_hot_batch_2,              How::kBatch,           64, 1,      2'000'000, 2);
APPEND(64B_hot_single_1,             How::kSingle,          64, 1,      1'000'000, 1);
APPEND(64B_hot_single_2,             How::kSingle,          64, 1,      1'000'000, 2);
// clang-format on

}  // namespace
