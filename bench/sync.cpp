// Syncs, and what a loss of the arena costs: a store of many small keys, and one of few large ones, synced for the
// first time, again with nothing changed, and again with a hundredth of it changed; then its arena removed and the
// store opened. Beside them, on the same disk in the same run: the same bytes by write and fdatasync.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <shoal/store.hpp>

#include "latency.hpp"

namespace {

namespace fs = std::filesystem;

// A store in a folder of the disk's, and its end.
struct Place {
    Place() {
        fs::create_directories(folder);
        options.memory_limit_bytes = std::uint64_t{3} << 30;
        options.spill_dir = folder;
        options.spill_thread = false;
    }
    ~Place() {
        (void)shoal::Store::destroy(path);
        std::error_code ignored;
        fs::remove_all(folder, ignored);
    }
    std::string folder = "/var/tmp/shoal-bench-sync-" + std::to_string(::getpid());
    std::string path = folder + "/store";
    shoal::Options options;
};

double raw_seconds(const std::string& folder, std::uint64_t bytes) {
    const std::string path = folder + "/raw";
    const std::vector<char> some(1 << 20, 'x');
    const double start = bench::now_seconds();
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (std::uint64_t done = 0; done < bytes; done += some.size()) (void)!::write(file, some.data(), some.size());
    ::fdatasync(file);
    const double seconds = bench::now_seconds() - start;
    ::close(file);
    ::unlink(path.c_str());
    return seconds;
}

void sync_and_restore(benchmark::State& state) {
    const auto keys = static_cast<std::uint64_t>(state.range(0));
    const auto record_bytes = static_cast<std::size_t>(state.range(1));
    auto& out = state.counters;
    for (auto _ : state) {
        Place place;
        auto store = shoal::Store::open(place.path, place.options);
        if (!store) return state.SkipWithError(store.error().message.c_str());
        const std::string record(record_bytes, 'x');
        const auto append_to_every = [&](std::uint64_t step) {
            std::vector<std::string> names;
            std::vector<shoal::Pair> batch;
            for (std::uint64_t key = 0; key < keys; key += step) {
                names.push_back("key-" + std::to_string(key));
                if (names.size() < 1024 && key + step < keys) continue;
                for (const std::string& name : names) batch.emplace_back(name, record);
                if (auto done = store->append(batch); !done) return done.error().message;
                names.clear();
                batch.clear();
            }
            return std::string();
        };
        const auto timed_sync = [&](const char* what) {
            const double start = bench::now_seconds();
            const auto synced = store->sync();
            out[what] = (bench::now_seconds() - start) * 1e3;
            return synced ? synced->written_bytes : 0;
        };
        if (const std::string error = append_to_every(1); !error.empty()) return state.SkipWithError(error.c_str());
        const std::uint64_t written = timed_sync("first_ms");
        out["written_MB"] = static_cast<double>(written) / 1e6;
        timed_sync("unchanged_ms");
        if (const std::string error = append_to_every(100); !error.empty())
            return state.SkipWithError(error.c_str());
        timed_sync("hundredth_ms");
        out["raw_write_ms"] = raw_seconds(place.folder, written) * 1e3;
        const std::string arena = store->stats()->arena_path;
        { const shoal::Store gone = std::move(*store); }
        fs::remove(arena);
        const double start = bench::now_seconds();
        store = shoal::Store::open(place.path, place.options);
        out["restore_ms"] = (bench::now_seconds() - start) * 1e3;
        if (!store || store->keys()->size() != keys) return state.SkipWithError("not all came back");
    }
}
BENCHMARK(sync_and_restore)
    ->ArgNames({"keys", "record_bytes"})
    ->Args({1'000'000, 100})
    ->Args({5'000'000, 60})
    ->Args({10'000, 10'000})
    ->Args({100, 1 << 23})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
