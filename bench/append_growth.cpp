// Growth: one store from no key to 11 million keys of 16 B values; memory, the cost of inserts and of appends on
// the way, and the pauses that a single insert meets.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "latency.hpp"
#include "temporary_store.hpp"
#include "workload.hpp"

namespace {

constexpr std::size_t kKeyBytes = 12;
constexpr std::size_t kValueBytes = 16;
constexpr std::uint32_t kMillion = 1'000'000;

void write_key(char* at, std::uint32_t number) {
    std::memcpy(at, "key-", 4);
    for (std::size_t digit = kKeyBytes; digit-- > 4; number /= 10) at[digit] = static_cast<char>('0' + number % 10);
}

// Batches of 1,024 pairs; only the append calls are timed. `number` gives the key of each.
class BatchAppender {
public:
    explicit BatchAppender(shoal::Store& store) : store_(store), names_(bench::kBatchPairs * kKeyBytes) {
        pairs_.reserve(bench::kBatchPairs);
    }

    // Nanoseconds a pair, or a negative number and error().
    template <class Number>
    double append(std::uint32_t count, const Number& number) {
        double seconds = 0;
        for (std::uint32_t at = 0; at < count;) {
            pairs_.clear();
            while (at < count && pairs_.size() < bench::kBatchPairs) {
                char* name = names_.data() + pairs_.size() * kKeyBytes;
                write_key(name, number(at++));
                pairs_.emplace_back(shoal::ByteView(name, kKeyBytes),
                                    shoal::ByteView("0123456789abcdef", kValueBytes));
            }
            const double start = bench::now_seconds();
            const auto done = store_.append(pairs_);
            seconds += bench::now_seconds() - start;
            if (!done) {
                error_ = done.error().message;
                return -1;
            }
        }
        return seconds * 1e9 / count;
    }
    [[nodiscard]] const std::string& error() const { return error_; }

private:
    shoal::Store& store_;
    std::vector<char> names_;
    std::vector<shoal::Pair> pairs_;
    std::string error_;
};

// One insert at a time, each timed. Empty, or what went wrong.
std::string insert_each(shoal::Store& store, std::uint32_t from, std::uint32_t to, bench::Histogram& pauses) {
    char name[kKeyBytes];
    for (std::uint32_t number = from; number < to; ++number) {
        write_key(name, number);
        const std::uint64_t start = bench::ticks();
        const auto done =
            store.append(shoal::ByteView(name, kKeyBytes), shoal::ByteView("0123456789abcdef", kValueBytes));
        pauses.add(bench::ticks() - start);
        if (!done) return done.error().message;
    }
    return {};
}

void growth(benchmark::State& state) {
    bench::TemporaryStore store(std::uint64_t{6} << 30);
    if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
    bench::Random random(7);
    BatchAppender appender(*store);
    auto& out = state.counters;
    for (auto _ : state) {
        const double start = bench::now_seconds();
        appender.append(kMillion, [](std::uint32_t at) { return at; });
        out["insert_1M_ns"] = appender.append(kMillion / 10, [](std::uint32_t at) { return kMillion + at; });
        // A quarter as many appends as keys both times, so that as large a share of them opens a second segment.
        out["append_1M_ns"] = appender.append(kMillion / 4, [&](std::uint32_t) { return random.below(kMillion); });
        bench::Histogram pauses;
        const std::string error = insert_each(*store, kMillion + kMillion / 10, 10 * kMillion, pauses);
        const auto stats = store->stats();
        out["insert_10M_ns"] = appender.append(kMillion, [](std::uint32_t at) { return 10 * kMillion + at; });
        out["append_10M_ns"] =
            appender.append(10 * kMillion / 4, [&](std::uint32_t) { return random.below(10 * kMillion); });
        state.SetIterationTime(bench::now_seconds() - start);
        const auto after = store->stats();
        if (!stats || !after || !error.empty() || !appender.error().empty()) {
            return state.SkipWithError(error.empty() ? "an append or the statistics failed" : error.c_str());
        }
        if (stats->keys != 10 * kMillion || after->records != 11 * kMillion + kMillion / 4 + 10 * kMillion / 4) {
            return state.SkipWithError("the store lost a key or a record");
        }
        out["insert_p50_ns"] = pauses.nanoseconds(0.5);
        out["insert_p99_ns"] = pauses.nanoseconds(0.99);
        out["insert_p99.9_ns"] = pauses.nanoseconds(0.999);
        out["insert_p99.99_ns"] = pauses.nanoseconds(0.9999);
        out["insert_max_ns"] = pauses.max_nanoseconds();
        out["GiB_real"] = static_cast<double>(stats->real_bytes) / (1U << 30);
        out["GiB_used"] = static_cast<double>(stats->used_bytes) / (1U << 30);
        out["used_bytes_a_key"] = static_cast<double>(stats->used_bytes) / (10.0 * kMillion);
        out["index_bytes_a_key"] = static_cast<double>(stats->index_bytes) / (10.0 * kMillion);
    }
}
BENCHMARK(growth)->Iterations(1)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
