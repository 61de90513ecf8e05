// Larger than memory: appends to a store whose memory limit is a quarter of the data, and gets of what was spilled,
// beside what the disk itself takes and gives in the same run.
//
//     spill --folder=/mnt/disk --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
//
// raw_write     two processes, each a file of its own by O_DIRECT through io_uring, 2 MiB at a time, 4 in flight
// spill_write   two processes append to 200 keys in batches, at a limit that was reached before the clock starts
// raw_read      random 256 KiB or 1 MiB by O_DIRECT, 16 in flight
// spilled_get   whole values of 16 MiB each, all spilled, out of no cache: extents of 1 MiB, or of 256 KiB where
//               each record has that
// small_records one value of --records records of 32 B: resident, then spilled and out of no cache, beside reads
//               of the same spill files; `of_bound` is its share of twice the resident get and the raw read
// small_keys    --keys keys of a time series, --points points of 16 B each (4), all points of one time after
// another:
//               appended and spilled in one go (limit 1 GiB), or spilled piece by piece at a limit of 64 MiB;
//               `stored`, `disk` and `written` (what the process gave to the disk) are shares of the payload,
//               `segments` those of a key, `descriptors` 1,000 times their 64 B a byte of payload; `get_us` of one
//               value, of 1,000
// --mebibytes is what one measurement of the others writes or reads; the store's limit is that. The folder is the
// current one by default, and a tmpfs is refused. `rss_mib`: of a writer, its mapping of the arena with it;
// `core_s_per_GB`: processor time of all threads, which is the same on a machine that others use.
#include <fcntl.h>
#include <linux/magic.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
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
constexpr std::size_t kSmallBlock = 256 << 10;
constexpr std::size_t kLargeBlock = 1 << 20;
constexpr unsigned kReadDepth = 16;
constexpr std::size_t kValueBytes = 16 << 20;

std::string folder = ".";
std::size_t mebibytes = 512;
std::size_t small_records_count = 10'000'000;
std::size_t small_keys_count = 200'000;
unsigned small_keys_points = 4;

double core_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

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

// What workers publish.
constexpr unsigned kResident = 0;
constexpr unsigned kCores = 1;

void run_rounds(benchmark::State& state, bench::Team& team) {
    double cores = 0;
    for (auto _ : state) {
        state.SetIterationTime(team.run());
        for (unsigned worker = 0; worker < kWriters; ++worker) cores += team.number(worker, kCores);
    }
    if (!team.error().empty()) state.SkipWithError(team.error().c_str());
    state.counters["GB/s"] = benchmark::Counter(gigabytes(), benchmark::Counter::kIsIterationInvariantRate);
    state.counters["core_s_per_GB"] = cores / gigabytes() / static_cast<double>(state.max_iterations);
}

void raw_write(benchmark::State& state) {
    bench::Team team(kWriters, [](unsigned) -> bench::Team::Round {
        const auto file = std::make_shared<DirectFile>();
        std::byte* memory = pages(kRawBlock * kRawDepth);
        return [=](unsigned) {
            const double begun = core_seconds();
            std::string wrong = write_raw(file->get(), memory, (mebibytes << 20) / kWriters);
            bench::Team::number(kCores) = core_seconds() - begun;
            return wrong;
        };
    });
    run_rounds(state, team);
}

// `count` reads at random of the blocks of a file, each of which has `bytes`.
std::string read_raw(int file, std::byte* memory, std::size_t file_bytes, std::size_t bytes, std::size_t count) {
    bench::Random random(3);
    IoQueue queue = IoQueue::make(kReadDepth);
    for (std::size_t done = 0; done < count; ++done) {
        if (queue.in_flight() == kReadDepth && queue.wait()->error != 0) return "a read failed";
        const iovec piece{memory + done % kReadDepth * bytes, bytes};
        const std::uint64_t block = random.below(static_cast<std::uint32_t>(file_bytes / bytes));
        queue.submit({IoRequest::Kind::kRead, file, block * bytes, {&piece, 1}, 0});
        queue.flush();
    }
    while (const auto done = queue.wait()) {
        if (done->error != 0) return "a read failed";
    }
    return {};
}

template <class Work>
void run_timed(benchmark::State& state, Work&& work) {
    double cores = 0;
    for (auto _ : state) {
        const double begun = bench::now_seconds();
        const double cores_begun = core_seconds();
        work();
        cores += core_seconds() - cores_begun;
        state.SetIterationTime(bench::now_seconds() - begun);
    }
    state.counters["GB/s"] = benchmark::Counter(gigabytes(), benchmark::Counter::kIsIterationInvariantRate);
    state.counters["core_s_per_GB"] = cores / gigabytes() / static_cast<double>(state.max_iterations);
}

void raw_read(benchmark::State& state, std::size_t block) {
    const DirectFile file;
    std::byte* memory = pages(kLargeBlock * kReadDepth);
    const std::size_t bytes = mebibytes << 20;
    std::string wrong = write_raw(file.get(), memory, bytes);
    run_timed(state, [&] {
        if (wrong.empty()) wrong = read_raw(file.get(), memory, bytes, block, bytes / block);
    });
    if (!wrong.empty()) state.SkipWithError(wrong.c_str());
    ::munmap(memory, kLargeBlock * kReadDepth);
}

// --- the store ------------------------------------------------------------------------------------------

// A store in the folder, with its spill files.
class SpillingStore {
public:
    SpillingStore(const std::string& codec, std::uint64_t limit_bytes) : folder_(folder + "/shoal-bench-XXXXXX") {
        if (::mkdtemp(folder_.data()) == nullptr) bench::die(folder_.c_str());
        shoal::Options options;
        options.memory_limit_bytes = limit_bytes;
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

// Not the peak of getrusage: that of a forked process begins with what its parent had.
double resident_mebibytes() {
    std::ifstream status("/proc/self/statm");
    std::size_t mapped = 0;
    std::size_t resident = 0;
    status >> mapped >> resident;
    return static_cast<double>(resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) / (1 << 20);
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
        const double begun = core_seconds();
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
        bench::Team::number(kResident) = resident_mebibytes();
        bench::Team::number(kCores) = core_seconds() - begun;
        return {};
    };
}

void spill_write(benchmark::State& state, std::size_t record_bytes, const std::string& codec) {
    const SpillingStore store(codec, mebibytes << 20);
    ::malloc_trim(0);  // what other measurements have left would be its children's
    bench::Team team(kWriters,
                     [&](unsigned worker) { return writer(store.path(), worker, record_bytes, codec != "none"); });
    static_cast<void>(team.run());  // up to the limit
    run_rounds(state, team);
    state.counters["rss_mib"] = std::max(team.number(0, kResident), team.number(1, kResident));
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

// Extents of 1 MiB, or of a record, where all is spilled after each `extent` bytes of a key.
void spilled_get(benchmark::State& state, std::size_t record_bytes, const std::string& codec, std::size_t extent) {
    const SpillingStore made(codec, mebibytes << 20);
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
        if (extent != 0 && (record + 1) * record_bytes % extent == 0) {
            if (auto done = store->spill(); !done) return state.SkipWithError(done.error().message.c_str());
        }
    }
    if (auto spilled = store->spill(); !spilled) return state.SkipWithError(spilled.error().message.c_str());
    std::string wrong;
    forget_cache(made.spill_folder());  // one iteration: the next would find it again
    run_timed(state, [&] {
        for (const std::string& key : keys) {
            const auto value = store->get(key);
            if (!value || value->size() != kValueBytes / record_bytes * record_bytes) {
                wrong = value ? "a value has another size" : value.error().message;
            }
        }
    });
    if (!wrong.empty()) state.SkipWithError(wrong.c_str());
}

// Reads what the store has in its spill files, once: seconds, or nothing and what is wrong.
double read_files(const std::string& spill_folder, std::string& wrong) {
    std::byte* memory = pages(kLargeBlock * kReadDepth);
    double seconds = 0;
    for (const auto& entry : std::filesystem::directory_iterator(spill_folder)) {
        if (!entry.is_regular_file() || entry.path().extension() != ".spill") continue;
        const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
        if (file < 0) bench::die(entry.path().c_str());
        const std::size_t bytes = entry.file_size() / kLargeBlock * kLargeBlock;
        const double begun = bench::now_seconds();
        if (bytes != 0) wrong += read_raw(file, memory, bytes, kLargeBlock, bytes / kLargeBlock);
        seconds += bench::now_seconds() - begun;
        ::close(file);
    }
    ::munmap(memory, kLargeBlock * kReadDepth);
    return seconds;
}

void small_records(benchmark::State& state, const std::string& codec) {
    constexpr std::size_t kBytes = 32;
    const SpillingStore made(codec, 4 * small_records_count * kBytes + (256 << 20));
    shoal::Options options;
    options.spill_thread = false;
    auto store = shoal::Store::attach(made.path(), options);
    const std::vector<std::byte> records = records_of(kBytes, codec != "none");
    std::vector<shoal::Pair> batch;
    for (std::size_t record = 0; record < small_records_count;) {
        batch.clear();
        for (; batch.size() < bench::kBatchPairs && record < small_records_count; ++record) {
            batch.emplace_back("key",
                               shoal::ByteView(records.data() + record % bench::kDistinctRecords * kBytes, kBytes));
        }
        if (auto done = store->append(batch); !done) return state.SkipWithError(done.error().message.c_str());
    }
    std::string wrong;
    const auto get = [&] {
        const double begun = bench::now_seconds();
        const auto value = store->get("key");
        if (!value || value->size() != small_records_count * kBytes) wrong = "the value has another size";
        return bench::now_seconds() - begun;
    };
    static_cast<void>(get());  // maps the arena
    const double resident = get();
    if (auto spilled = store->spill(); !spilled) wrong = spilled.error().message;
    for (auto _ : state) {
        const double raw = read_files(made.spill_folder(), wrong);
        forget_cache(made.spill_folder());
        const double spilled = get();
        state.SetIterationTime(spilled);
        state.counters["resident_ms"] = resident * 1e3;
        state.counters["raw_read_ms"] = raw * 1e3;
        state.counters["of_bound"] = spilled / (2 * resident + raw);
    }
    if (!wrong.empty()) state.SkipWithError(wrong.c_str());
}

// As a collector appends a time series: one point of each key, and then the next.
std::string append_points(shoal::Store& store, std::uint64_t& payload) {
    constexpr std::size_t kPointBytes = 16;
    const std::vector<std::byte> points = bench::make_records(kPointBytes);
    std::vector<std::string> names(bench::kBatchPairs);
    std::vector<shoal::Pair> batch;
    for (unsigned point = 0; point < small_keys_points; ++point) {
        for (std::size_t key = 0; key < small_keys_count;) {
            batch.clear();
            for (; batch.size() < bench::kBatchPairs && key < small_keys_count; ++key) {
                std::string& name = names[batch.size()];
                name = "series." + std::to_string(1'000'000 + key);
                batch.emplace_back(
                    name,
                    shoal::ByteView(points.data() + key % bench::kDistinctRecords * kPointBytes, kPointBytes));
                payload += kPointBytes;
            }
            if (auto done = store.append(batch); !done) return done.error().message;
        }
    }
    return {};
}

// Of this process, and its threads.
double bytes_written() {
    std::ifstream counts("/proc/self/io");
    std::string name;
    double bytes = 0;
    while (counts >> name >> bytes) {
        if (name == "write_bytes:") return bytes;
    }
    return 0;
}

void small_keys(benchmark::State& state, std::uint64_t limit_bytes) {
    std::string wrong;
    for (auto _ : state) {
        const SpillingStore made("none", limit_bytes);
        auto store = shoal::Store::attach(made.path());
        std::uint64_t payload = 0;
        const double written_before = bytes_written();
        const double begun = bench::now_seconds();
        wrong = append_points(*store, payload);
        if (auto spilled = store->spill(); !spilled) wrong = spilled.error().message;
        if (!wrong.empty()) break;
        state.SetIterationTime(bench::now_seconds() - begun);
        const auto stats = store->stats();
        const auto share = [&](std::uint64_t bytes) {
            return static_cast<double>(bytes) / static_cast<double>(std::max<std::uint64_t>(payload, 1));
        };
        state.counters["stored"] = share(stats->stored_bytes);
        state.counters["disk"] = share(stats->disk_bytes);
        state.counters["written"] = (bytes_written() - written_before) / static_cast<double>(payload);
        state.counters["descriptors"] = 1000 * 64 * share(stats->segments);
        const double gets_begun = bench::now_seconds();
        constexpr std::size_t kGets = 1000;
        for (std::size_t get = 0; get < kGets; ++get) {
            const auto value = store->get("series." + std::to_string(1'000'000 + get * 7919 % small_keys_count));
            if (!value || value->size() != small_keys_points * std::size_t{16})
                wrong =
                    value ? "a value has another size: " + std::to_string(value->size()) : value.error().message;
        }
        state.counters["get_us"] = (bench::now_seconds() - gets_begun) * 1e6 / kGets;
        state.counters["segments"] = static_cast<double>(stats->segments) / static_cast<double>(small_keys_count);
    }
    if (!wrong.empty()) state.SkipWithError(wrong.c_str());
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
    with(benchmark::RegisterBenchmark("raw_read/256KiB", raw_read, kSmallBlock), 1);
    with(benchmark::RegisterBenchmark("raw_read/1MiB", raw_read, kLargeBlock), 1);
    with(benchmark::RegisterBenchmark("spilled_get/1KiB", spilled_get, 1024, "none", 0), 1);
    with(benchmark::RegisterBenchmark("spilled_get/256KiB", spilled_get, kSmallBlock, "none", kSmallBlock), 1);
    with(benchmark::RegisterBenchmark("spilled_get/64B", spilled_get, 64, "none", 0), 1);
    with(benchmark::RegisterBenchmark("spilled_get/1KiB/lz4", spilled_get, 1024, "lz4", 0), 1);
    with(benchmark::RegisterBenchmark("small_keys/at_once", small_keys, std::uint64_t{1} << 30), 1);
    with(benchmark::RegisterBenchmark("small_keys/64MiB", small_keys, std::uint64_t{64} << 20), 1);
    with(benchmark::RegisterBenchmark("small_records", small_records, "none"), 1);
    with(benchmark::RegisterBenchmark("small_records/lz4", small_records, "lz4"), 1);
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
        } else if (argument.starts_with("--records=")) {
            small_records_count = std::stoul(argument.substr(10));
        } else if (argument.starts_with("--keys=")) {
            small_keys_count = std::stoul(argument.substr(7));
        } else if (argument.starts_with("--points=")) {
            small_keys_points = static_cast<unsigned>(std::stoul(argument.substr(9)));
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
