// Walks over all keys of a store: as a list, and one by one, with and without a prefix that few keys have. Each
// runs in a process of its own, which has attached to the store: what it takes of memory that is its own (RssAnon),
// at the end of the walk, is counted without the arena. Beside them, in the same run: the same keys copied out of
// an array that has them one behind the other.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <shoal/store.hpp>

#include "latency.hpp"
#include "temporary_store.hpp"

namespace {

constexpr std::uint64_t kKeys = 4'860'000;

std::string key_name(std::uint64_t number) { return "series-" + std::to_string(number); }

std::uint64_t own_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        std::uint64_t kib = 0;
        if (word == "RssAnon:" && status >> kib) return kib * 1024;
    }
    return 0;
}

// A store with all the keys, for every benchmark.
bench::TemporaryStore& store_of_keys() {
    static std::optional<bench::TemporaryStore> store;
    if (store) return *store;
    store.emplace(std::uint64_t{2} << 30);
    if (!store->error().empty()) return *store;
    std::vector<std::string> names;
    std::vector<shoal::Pair> batch;
    for (std::uint64_t key = 0; key < kKeys; ++key) {
        names.push_back(key_name(key));
        if (names.size() < 1024 && key + 1 < kKeys) continue;
        for (const std::string& name : names) batch.emplace_back(name, "value");
        if (auto done = (*store)->append(batch); !done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
        names.clear();
        batch.clear();
    }
    return *store;
}

struct Walked {
    double seconds = 0;
    std::uint64_t keys = 0;
    std::uint64_t key_bytes = 0;
    std::uint64_t own_bytes = 0;
};

// Runs `walk` in a child that has attached to the store, which is in its memory already.
template <class Walk>
Walked in_a_child(const std::string& path, Walk&& walk) {
    std::array<int, 2> ends{};
    Walked walked;
    if (::pipe(ends.data()) != 0) return walked;
    const pid_t child = ::fork();
    if (child == 0) {
        if (const auto store = shoal::Store::attach(path)) {
            (void)store->for_each_key([](shoal::ByteView) { return true; });  // maps the arena
            walk(*store, walked);
        }
        (void)!::write(ends[1], &walked, sizeof walked);
        ::_exit(0);
    }
    ::close(ends[1]);
    (void)!::read(ends[0], &walked, sizeof walked);
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return walked;
}

void report(benchmark::State& state, const Walked& walked, std::uint64_t expected) {
    if (walked.keys != expected) return state.SkipWithError("not every key was given once");
    state.SetIterationTime(walked.seconds);
    state.counters["ns_per_key_of_store"] = walked.seconds * 1e9 / static_cast<double>(kKeys);
    state.counters["own_MB"] = static_cast<double>(walked.own_bytes) / 1e6;
}

void as_a_list(benchmark::State& state) {
    auto& store = store_of_keys();
    if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
    for (auto _ : state) {
        report(state,
               in_a_child(store.path(),
                          [](const shoal::Store& own, Walked& walked) {
                              const std::uint64_t before = own_bytes();
                              const double start = bench::now_seconds();
                              const auto keys = own.keys();
                              walked.seconds = bench::now_seconds() - start;
                              walked.own_bytes = own_bytes() - before;
                              walked.keys = keys ? keys->size() : 0;
                          }),
               kKeys);
    }
}
BENCHMARK(as_a_list)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);

void one_by_one(benchmark::State& state, const char* prefix, std::uint64_t expected) {
    auto& store = store_of_keys();
    if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
    for (auto _ : state) {
        report(state,
               in_a_child(store.path(),
                          [prefix](const shoal::Store& own, Walked& walked) {
                              const std::uint64_t before = own_bytes();
                              const double start = bench::now_seconds();
                              (void)own.for_each_key(prefix, [&](shoal::ByteView key) {
                                  walked.keys += 1;
                                  walked.key_bytes += key.size();
                                  return true;
                              });
                              walked.seconds = bench::now_seconds() - start;
                              walked.own_bytes = own_bytes() - before;
                          }),
               expected);
    }
}
BENCHMARK_CAPTURE(one_by_one, all, "", kKeys)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(one_by_one, of_prefix, "series-12345", 111)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

// What a list of them costs that is read from nowhere: an allocation and a copy each.
void limit_of_a_list(benchmark::State& state) {
    std::string all;
    std::vector<std::size_t> ends;
    for (std::uint64_t key = 0; key < kKeys; ++key) {
        all += key_name(key);
        ends.push_back(all.size());
    }
    for (auto _ : state) {
        const double start = bench::now_seconds();
        std::vector<shoal::Bytes> list;
        std::size_t begin = 0;
        for (const std::size_t end : ends) {
            list.emplace_back(end - begin);
            std::memcpy(list.back().data(), all.data() + begin, end - begin);
            begin = end;
        }
        benchmark::DoNotOptimize(list.data());
        const double seconds = bench::now_seconds() - start;
        state.SetIterationTime(seconds);
        state.counters["ns_per_key_of_store"] = seconds * 1e9 / static_cast<double>(kKeys);
    }
}
BENCHMARK(limit_of_a_list)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
