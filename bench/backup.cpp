// Backups and their restoring: many small keys, middling and large ones. Beside them, in the same run: a copy of as
// many bytes out of memory that is as large, and as many bytes by write and fdatasync to the same disk.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <shoal/store.hpp>

#include "latency.hpp"

namespace {

namespace fs = std::filesystem;

struct Place {
    Place() { fs::create_directories(folder); }
    ~Place() {
        (void)shoal::Store::destroy(restored);
        std::error_code ignored;
        fs::remove_all(folder, ignored);
    }
    std::string folder = "/var/tmp/shoal-bench-backup-" + std::to_string(::getpid());
    std::string restored = folder + "/restored";
    std::string file = folder + "/backup";
};

constexpr std::size_t kPiece = 8 << 20;  // as the chunks of a backup

double copy_seconds(std::uint64_t bytes) {
    const std::vector<char> from(bytes, 'x');
    std::vector<char> to(kPiece, 'y');
    const double start = bench::now_seconds();
    for (std::uint64_t done = 0; done < bytes; done += kPiece) {
        std::memcpy(to.data(), from.data() + done, std::min<std::uint64_t>(kPiece, bytes - done));
        benchmark::ClobberMemory();
    }
    return bench::now_seconds() - start;
}

double raw_seconds(const std::string& folder, std::uint64_t bytes) {
    const std::string path = folder + "/raw";
    const std::vector<char> some(kPiece, 'x');
    const double start = bench::now_seconds();
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (std::uint64_t done = 0; done < bytes; done += some.size())
        (void)!::write(file, some.data(), std::min<std::uint64_t>(some.size(), bytes - done));
    ::fdatasync(file);
    const double seconds = bench::now_seconds() - start;
    ::close(file);
    ::unlink(path.c_str());
    return seconds;
}

void backup_and_restore(benchmark::State& state) {
    const auto keys = static_cast<std::uint64_t>(state.range(0));
    const auto record_bytes = static_cast<std::size_t>(state.range(1));
    const auto records = static_cast<std::uint64_t>(state.range(2));
    auto& out = state.counters;
    for (auto _ : state) {
        Place place;
        shoal::Options options;
        options.memory_limit_bytes = std::uint64_t{3} << 30;
        auto store = shoal::Store::in_memory(options);
        if (!store) return state.SkipWithError(store.error().message.c_str());
        const std::string record(record_bytes, 'x');
        std::vector<std::string> names;
        for (std::uint64_t key = 0; key < keys; ++key) names.push_back("key-" + std::to_string(key));
        std::vector<shoal::Pair> batch;
        for (std::uint64_t round = 0; round < records; ++round) {
            for (std::size_t key = 0; key < names.size(); ++key) {
                batch.emplace_back(names[key], record);
                if (batch.size() < 1024 && key + 1 < names.size()) continue;
                if (auto done = store->append(batch); !done)
                    return state.SkipWithError(done.error().message.c_str());
                batch.clear();
            }
        }
        const std::uint64_t payload = keys * record_bytes * records;
        const auto gigabytes = static_cast<double>(payload) / 1e9;
        const auto timed = [&](const char* what, auto&& work) {
            const double start = bench::now_seconds();
            const bool done = work();
            out[what] = gigabytes / (bench::now_seconds() - start);
            return done;
        };
        std::uint64_t file_bytes = 0;
        const bool discarded = timed("sink_GB_s", [&] {
            const auto done = store->backup([&](shoal::ByteView bytes) -> shoal::Result<void> {
                file_bytes += bytes.size();
                return {};
            });
            return done.has_value();
        });
        out["memcpy_GB_s"] = gigabytes / copy_seconds(payload);
        const bool written = timed("file_GB_s", [&] { return store->backup(place.file).has_value(); });
        out["raw_write_GB_s"] = gigabytes / raw_seconds(place.folder, file_bytes);
        store = tl::unexpected(shoal::Error{});
        const bool restored = timed("restore_GB_s", [&] {
            const auto done = shoal::Store::restore(place.file, place.restored, options);
            return done && done->keys == keys && done->payload_bytes == payload;
        });
        if (!discarded || !written || !restored) return state.SkipWithError("a backup or its restoring has failed");
        // The same appends into new memory again, for what restoring cannot be faster than.
        (void)shoal::Store::destroy(place.restored);
        store = shoal::Store::in_memory(options);
        const bool appended = timed("append_GB_s", [&] {
            for (std::size_t key = 0; key < names.size(); ++key) {
                for (std::uint64_t round = 0; round < records; ++round) batch.emplace_back(names[key], record);
                if (batch.size() < 1024 && key + 1 < names.size()) continue;
                if (auto done = store->append(batch); !done) return false;
                batch.clear();
            }
            return true;
        });
        if (!appended) return state.SkipWithError("an append has failed");
        out["file_bytes_per_payload"] = static_cast<double>(file_bytes) / static_cast<double>(payload);
    }
}
BENCHMARK(backup_and_restore)
    ->ArgNames({"keys", "record_bytes", "records"})
    ->Args({1'000'000, 100, 1})
    ->Args({10'000, 1'000, 50})
    ->Args({100, 10'000, 800})
    ->Args({1, 64, 5'000'000})
    ->Args({50, 16 << 20, 1})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
