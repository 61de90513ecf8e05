// Larger than memory: appends to a store whose memory limit is a quarter of the data, and gets of what was spilled,
// beside what the disk itself takes and gives in the same run.
//
//     spill --folder=/mnt/disk --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
//
// raw_write     two processes, each a file of its own by O_DIRECT through io_uring, 2 MiB at a time, 4 in flight
// spill_write   two processes append to 200 keys in batches, at a limit that was reached before the clock starts
// raw_read      random 256 KiB by O_DIRECT, 16 in flight
// spilled_get   whole values of 16 MiB each, all spilled, out of no cache
// --mebibytes is what one measurement writes or reads; the store's limit is that. The folder is the current one by
// default, and a tmpfs is refused. `peak_rss_mib`: of a writer, its mapping of the arena with it.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "io/queue.hpp"
#include "shared_file.hpp"
#include "team.hpp"
#include "workload.hpp"

#include <shoal/store.hpp>

namespace {

using shoal::IoQueue;
using shoal::IoRequest;

constexpr unsigned kWriters = 2;
constexpr std::uint32_t kKeys = 200;
constexpr std::size_t kRawBlock = 2 << 20;
constexpr unsigned kRawDepth = 4;
constexpr std::size_t kReadBlock = 256 << 10;
constexpr unsigned kReadDepth = 16;
constexpr std::size_t kValueBytes = 16 << 20;

std::string folder = ".";
std::size_t mebibytes = 512;

double gigabytes() { return static_cast<double>(mebibytes << 20) / 1e9; }

// --- the disk itself ------------------------------------------------------------------------------------

class DirectFile {
public:
    DirectFile() {
        std::string path = folder + "/shoal-bench-XXXXXX";
        descriptor_ = ::mkostemp(path.data(), O_CLOEXEC | O_DIRECT);
        if (descriptor_ < 0) bench::die(path.c_str());
        ::unlink(path.c_str());
    }
    DirectFile(const DirectFile&) = delete;
    DirectFile& operator=(const DirectFile&) = delete;
    ~DirectFile() { ::close(descriptor_); }
    [[nodiscard]] int get() const { return descriptor_; }

private:
    int descriptor_ = -1;
};

std::byte* pages(std::size_t bytes) {
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) bench::die("bench: mmap");
    bench::Random random(7);
    for (std::size_t i = 0; i < bytes; i += 8) {
        const std::uint64_t word = random.next();
        std::memcpy(static_cast<std::byte*>(at) + i, &word, 8);
    }
    return static_cast<std::byte*>(at);
}

std::string write_raw(int file, std::byte* memory, std::size_t bytes) {
    if (::ftruncate(file, 0) != 0 || ::fallocate(file, 0, 0, static_cast<off_t>(bytes)) != 0) return "fallocate";
    IoQueue queue = IoQueue::make(kRawDepth);
    for (std::size_t at = 0; at < bytes; at += kRawBlock) {
        if (queue.in_flight() == kRawDepth && queue.wait()->error != 0) return "a write failed";
        const iovec piece{memory + at / kRawBlock % kRawDepth * kRawBlock, kRawBlock};
        queue.submit({IoRequest::Kind::kWrite, file, at, {&piece, 1}, 0});
        queue.flush();
    }
    while (const auto done = queue.wait()) {
        if (done->error != 0) return "a write failed";
    }
    return {};
}

void raw_write(benchmark::State& state) {
    bench::Team team(kWriters, [](unsigned) -> bench::Team::Round {
        const auto file = std::make_shared<DirectFile>();
        std::byte* memory = pages(kRawBlock * kRawDepth);
        return [=](unsigned) { return write_raw(file->get(), memory, (mebibytes << 20) / kWriters); };
    });
    for (auto _ : state) state.SetIterationTime(team.run());
    if (!team.error().empty()) state.SkipWithError(team.error().c_str());
    state.counters["GB/s"] = benchmark::Counter(gigabytes(), benchmark::Counter::kIsIterationInvariantRate);
}

void raw_read(benchmark::State& state) {
    const DirectFile file;
    std::byte* memory = pages(kRawBlock * kRawDepth);
    const std::size_t bytes = mebibytes << 20;
    if (const std::string wrong = write_raw(file.get(), memory, bytes); !wrong.empty()) {
        state.SkipWithError(wrong.c_str());
        return;
    }
    bench::Random random(3);
    IoQueue queue = IoQueue::make(kReadDepth);
    for (auto _ : state) {
        const double begun = bench::now_seconds();
        for (std::size_t done = 0; done < bytes; done += kReadBlock) {
            if (queue.in_flight() == kReadDepth) static_cast<void>(queue.wait());
            const iovec piece{memory + done / kReadBlock % kReadDepth * kReadBlock, kReadBlock};
            const std::uint64_t block = random.below(static_cast<std::uint32_t>(bytes / kReadBlock));
            queue.submit({IoRequest::Kind::kRead, file.get(), block * kReadBlock, {&piece, 1}, 0});
            queue.flush();
        }
        while (queue.wait()) {
        }
        state.SetIterationTime(bench::now_seconds() - begun);
    }
    ::munmap(memory, kRawBlock * kRawDepth);
    state.counters["GB/s"] = benchmark::Counter(gigabytes(), benchmark::Counter::kIsIterationInvariantRate);
}

// --- the store ------------------------------------------------------------------------------------------

// A store in the folder, with its spill files.
class SpillingStore {
public:
    explicit SpillingStore(const std::string& codec) : folder_(folder + "/shoal-bench-XXXXXX") {
        if (::mkdtemp(folder_.data()) == nullptr) bench::die(folder_.c_str());
        shoal::Options options;
        options.memory_limit_bytes = mebibytes << 20;
        options.spill_dir = folder_;
        options.codec = *shoal::parse_codec(codec);
        options.spill_thread = false;  // of this process; the writers have theirs
        if (auto opened = shoal::Store::open(path(), options); !opened) bench::die(opened.error().message.c_str());
    }
    SpillingStore(const SpillingStore&) = delete;
    SpillingStore& operator=(const SpillingStore&) = delete;
    ~SpillingStore() {
        static_cast<void>(shoal::Store::destroy(path()));
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    [[nodiscard]] std::string path() const { return folder_ + "/store"; }
    [[nodiscard]] const std::string& spill_folder() const { return folder_; }

private:
    std::string folder_;
};

// Records of words that lz4 halves, or of noise.
std::vector<std::byte> records_of(std::size_t record_bytes, bool text) {
    if (!text) return bench::make_records(record_bytes);
    bench::Random random(record_bytes);
    std::vector<std::byte> bytes(record_bytes * bench::kDistinctRecords);
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        const std::uint64_t word = at / 8 % 2 == 0 ? 0x2065687420666f20 : random.next();  // " of the "
        std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, bytes.size() - at));
    }
    return bytes;
}

bench::Team::Round writer(const std::string& path, unsigned worker, std::size_t record_bytes, bool text) {
    auto opened = shoal::Store::attach(path);
    if (!opened) return [error = opened.error().message](unsigned) { return error; };
    const auto store = std::make_shared<shoal::Store>(std::move(*opened));
    const auto keys = std::make_shared<std::vector<std::string>>(bench::make_keys(kKeys));
    const auto records = std::make_shared<std::vector<std::byte>>(records_of(record_bytes, text));
    const std::size_t count = (mebibytes << 20) / kWriters / record_bytes;
    const std::vector<std::uint32_t> picks = bench::make_picks(1 << 16, kKeys, worker);
    return [=](unsigned) -> std::string {
        std::vector<shoal::Pair> batch;
        for (std::size_t done = 0; done < count;) {
            batch.clear();
            for (; batch.size() < bench::kBatchPairs && done < count; ++done) {
                batch.emplace_back(
                    (*keys)[picks[done % picks.size()]],
                    shoal::ByteView(records->data() + done % bench::kDistinctRecords * record_bytes, record_bytes));
            }
            if (auto appended = store->append(batch); !appended) return appended.error().message;
        }
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        bench::Team::number(0) = static_cast<double>(usage.ru_maxrss) / 1024;
        return {};
    };
}

void spill_write(benchmark::State& state, std::size_t record_bytes, const std::string& codec) {
    const SpillingStore store(codec);
    bench::Team team(kWriters,
                     [&](unsigned worker) { return writer(store.path(), worker, record_bytes, codec != "none"); });
    static_cast<void>(team.run());  // up to the limit
    for (auto _ : state) state.SetIterationTime(team.run());
    if (!team.error().empty()) state.SkipWithError(team.error().c_str());
    state.counters["GB/s"] = benchmark::Counter(gigabytes(), benchmark::Counter::kIsIterationInvariantRate);
    state.counters["peak_rss_mib"] = std::max(team.number(0, 0), team.number(1, 0));
    auto opened = shoal::Store::attach(store.path());
    const auto stats = opened->stats();
    state.counters["stored_share"] = static_cast<double>(stats->stored_bytes) /
                                     static_cast<double>(std::max<std::uint64_t>(stats->spilled_bytes, 1));
}

void forget_cache(const std::string& spill_folder) {
    for (const auto& entry : std::filesystem::directory_iterator(spill_folder)) {
        if (!entry.is_regular_file()) continue;
        const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
        ::fdatasync(file);
        ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        ::close(file);
    }
}

void spilled_get(benchmark::State& state, std::size_t record_bytes, const std::string& codec) {
    const SpillingStore made(codec);
    shoal::Options options;
    options.spill_thread = false;
    auto store = shoal::Store::attach(made.path(), options);
    const std::vector<std::string> keys =
        bench::make_keys(static_cast<std::uint32_t>((mebibytes << 20) / kValueBytes));
    const std::vector<std::byte> records = records_of(record_bytes, codec != "none");
    for (std::size_t record = 0; record < kValueBytes / record_bytes; ++record) {
        for (const std::string& key : keys) {
            const shoal::ByteView bytes(records.data() + record % bench::kDistinctRecords * record_bytes,
                                        record_bytes);
            if (auto done = store->append(key, bytes); !done)
                return state.SkipWithError(done.error().message.c_str());
        }
    }
    if (auto spilled = store->spill(); !spilled) return state.SkipWithError(spilled.error().message.c_str());
    for (auto _ : state) {
        forget_cache(made.spill_folder());
        const double begun = bench::now_seconds();
        for (const std::string& key : keys) {
            const auto value = store->get(key);
            if (!value || value->size() != kValueBytes / record_bytes * record_bytes) {
                return state.SkipWithError(value ? "a value has another size" : value.error().message.c_str());
            }
        }
        state.SetIterationTime(bench::now_seconds() - begun);
    }
    state.counters["GB/s"] = benchmark::Counter(gigabytes(), benchmark::Counter::kIsIterationInvariantRate);
}

void add() {
    const auto with = [](benchmark::internal::Benchmark* one, int iterations) {
        one->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(iterations);
    };
    with(benchmark::RegisterBenchmark("raw_write", raw_write), 1);
    for (const std::size_t bytes : {std::size_t{1} << 10, std::size_t{4} << 10, std::size_t{64} << 10}) {
        const std::string size = std::to_string(bytes >> 10) + "KiB";
        with(benchmark::RegisterBenchmark(("spill_write/" + size).c_str(), spill_write, bytes, "none"), 3);
    }
    with(benchmark::RegisterBenchmark("spill_write/4KiB/text/lz4", spill_write, 4096, "lz4"), 3);
    with(benchmark::RegisterBenchmark("raw_read", raw_read), 1);
    with(benchmark::RegisterBenchmark("spilled_get/1KiB", spilled_get, 1024, "none"), 1);
    with(benchmark::RegisterBenchmark("spilled_get/64B", spilled_get, 64, "none"), 1);
    with(benchmark::RegisterBenchmark("spilled_get/1KiB/lz4", spilled_get, 1024, "lz4"), 1);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<char*> rest;
    for (int at = 0; at < argc; ++at) {
        const std::string argument = argv[at];
        if (argument.starts_with("--folder=")) {
            folder = argument.substr(9);
        } else if (argument.starts_with("--mebibytes=")) {
            mebibytes = std::stoul(argument.substr(12));
        } else {
            rest.push_back(argv[at]);
        }
    }
    struct statfs where {};
    if (::statfs(folder.c_str(), &where) != 0) bench::die(folder.c_str());
    if (where.f_type == TMPFS_MAGIC) {
        std::fprintf(stderr, "spill: %s is a tmpfs: give a folder on a disk (--folder=)\n", folder.c_str());
        return 2;
    }
    int count = static_cast<int>(rest.size());
    add();
    benchmark::Initialize(&count, rest.data());
    if (benchmark::ReportUnrecognizedArguments(count, rest.data())) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
