// Limit: what the disk under --folder takes and gives, by io_uring (raw, and through shoal's queue) and by pwrite
// and pread; the page cache or O_DIRECT; block sizes, depths, processes; registered buffers and files.
//
//     limits_file --folder=/mnt/disk --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
//
// One repetition writes some 4 GiB (--mebibytes is what one measurement writes or reads), all of it in files
// without a name. The folder is the current one by default; a tmpfs is refused, since it is no disk. A writer's
// time runs to the last completion; the counter `synced` is the rate with the fdatasync that follows.
// `cpu` is what a GB costs of a core, in seconds, the kernel's workers for the process included.
#include <fcntl.h>
#include <liburing.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "io/queue.hpp"
#include "shared_file.hpp"
#include "team.hpp"
#include "workload.hpp"

namespace {

using shoal::IoEngine;
using shoal::IoQueue;
using shoal::IoRequest;

std::string folder = ".";
std::size_t mebibytes = 88;

enum class How { kRing, kRegistered, kQueue, kQueueThreads, kCalls };
enum class Files { kOneEach, kOneForAll };
enum class Space { kGrows, kAllocated };
enum class Cache { kBuffered, kDirect, kWarm };  // kWarm: reads of what is in the page cache

struct Setup {
    Cache cache = Cache::kDirect;
    How how = How::kRing;
    std::size_t block = 1 << 20;  // bytes
    unsigned depth = 8;
    unsigned workers = 1;
    Files files = Files::kOneEach;
    Space space = Space::kGrows;
    bool of_shared_memory = false;  // as an arena is
};

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// --- files and memory -----------------------------------------------------------------------------------

int make_file(const Setup& setup) {
    std::string path = folder + "/shoal-bench-XXXXXX";
    const int file = ::mkostemp(path.data(), O_CLOEXEC | (setup.cache == Cache::kDirect ? O_DIRECT : 0));
    if (file < 0) bench::die(path.c_str());
    ::unlink(path.c_str());
    return file;
}

// `depth` blocks, on pages, with bytes that nothing can compress.
class Blocks {
public:
    Blocks(std::size_t block, unsigned depth, bool shared = false) : block_(block), depth_(depth) {
        const int kind = shared ? MAP_SHARED : MAP_PRIVATE;
        void* at = ::mmap(nullptr, block * depth, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) bench::die("bench: mmap");
        data_ = static_cast<std::byte*>(at);
        bench::Random random(7);
        for (std::size_t i = 0; i < block * depth; i += 8) {
            const std::uint64_t word = random.next();
            std::memcpy(data_ + i, &word, 8);
        }
    }
    Blocks(const Blocks&) = delete;
    Blocks& operator=(const Blocks&) = delete;
    ~Blocks() { ::munmap(data_, block_ * depth_); }

    [[nodiscard]] iovec at(std::size_t index) const { return {data_ + index * block_, block_}; }
    [[nodiscard]] std::vector<iovec> all() const {
        std::vector<iovec> list;
        for (unsigned i = 0; i < depth_; ++i) list.push_back(at(i));
        return list;
    }

private:
    std::byte* data_;
    std::size_t block_;
    unsigned depth_;
};

// --- one worker's transfers -----------------------------------------------------------------------------

class Raw {
public:
    Raw(unsigned depth, int file, const Blocks& blocks, bool registered)
        : file_(file), blocks_(blocks), registered_(registered) {
        if (::io_uring_queue_init(depth, &ring_, 0) < 0) bench::die("bench: io_uring");
        if (!registered) return;
        const std::vector<iovec> list = blocks.all();
        if (::io_uring_register_buffers(&ring_, list.data(), static_cast<unsigned>(list.size())) != 0 ||
            ::io_uring_register_files(&ring_, &file, 1) != 0)
            bench::die("bench: io_uring_register");
    }
    Raw(const Raw&) = delete;
    Raw& operator=(const Raw&) = delete;
    ~Raw() { ::io_uring_queue_exit(&ring_); }

    void start(bool write, std::size_t index, std::uint64_t offset) {
        const iovec block = blocks_.at(index);
        const auto bytes = static_cast<unsigned>(block.iov_len);
        io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
        const int file = registered_ ? 0 : file_;
        if (registered_ && write) {
            ::io_uring_prep_write_fixed(entry, file, block.iov_base, bytes, offset, static_cast<int>(index));
        } else if (registered_) {
            ::io_uring_prep_read_fixed(entry, file, block.iov_base, bytes, offset, static_cast<int>(index));
        } else if (write) {
            ::io_uring_prep_write(entry, file, block.iov_base, bytes, offset);
        } else {
            ::io_uring_prep_read(entry, file, block.iov_base, bytes, offset);
        }
        if (registered_) ::io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
        ::io_uring_sqe_set_data(entry, reinterpret_cast<void*>(index));
    }
    // The block that is free again.
    std::size_t wait() {
        io_uring_cqe* done = nullptr;
        ::io_uring_submit_and_wait(&ring_, 1);
        if (::io_uring_peek_cqe(&ring_, &done) != 0 || done->res != static_cast<int>(blocks_.at(0).iov_len))
            bench::die("bench: a transfer failed");
        const auto index = reinterpret_cast<std::size_t>(::io_uring_cqe_get_data(done));
        ::io_uring_cqe_seen(&ring_, done);
        return index;
    }

private:
    io_uring ring_{};
    int file_;
    const Blocks& blocks_;
    bool registered_;
};

class Shoals {
public:
    Shoals(unsigned depth, int file, const Blocks& blocks, IoEngine engine)
        : queue_(IoQueue::make(depth, engine)), file_(file), blocks_(blocks) {}
    void start(bool write, std::size_t index, std::uint64_t offset) {
        const iovec block = blocks_.at(index);
        queue_.submit(
            {write ? IoRequest::Kind::kWrite : IoRequest::Kind::kRead, file_, offset, {&block, 1}, index});
    }
    std::size_t wait() {
        const auto done = queue_.wait();
        if (!done || done->bytes != blocks_.at(0).iov_len) bench::die("bench: a transfer failed");
        return static_cast<std::size_t>(done->tag);
    }

private:
    IoQueue queue_;
    int file_;
    const Blocks& blocks_;
};

class Calls {
public:
    Calls(int file, const Blocks& blocks) : file_(file), blocks_(blocks) {}
    void start(bool write, std::size_t index, std::uint64_t offset) {
        const iovec block = blocks_.at(index);
        const auto at = static_cast<off_t>(offset);
        const ssize_t moved = write ? ::pwrite(file_, block.iov_base, block.iov_len, at)
                                    : ::pread(file_, block.iov_base, block.iov_len, at);
        if (moved != static_cast<ssize_t>(block.iov_len)) bench::die("bench: a transfer failed");
        index_ = index;
    }
    std::size_t wait() const { return index_; }

private:
    int file_;
    const Blocks& blocks_;
    std::size_t index_ = 0;
};

// Transfers the blocks at these offsets, `depth` at a time.
template <class Way>
void transfer(Way& way, bool write, unsigned depth, const std::vector<std::uint64_t>& offsets) {
    std::size_t running = 0;
    for (const std::uint64_t offset : offsets) {
        const std::size_t index = running < depth ? running : way.wait();
        if (running < depth) ++running;
        way.start(write, index, offset);
    }
    for (; running != 0; --running) way.wait();
}

void transfer_all(const Setup& setup, bool write, int file, const Blocks& blocks,
                  const std::vector<std::uint64_t>& offsets) {
    switch (setup.how) {
        case How::kRing:
        case How::kRegistered: {
            Raw raw(setup.depth, file, blocks, setup.how == How::kRegistered);
            return transfer(raw, write, setup.depth, offsets);
        }
        case How::kQueue:
        case How::kQueueThreads: {
            Shoals queue(setup.depth, file, blocks,
                         setup.how == How::kQueue ? IoEngine::kRing : IoEngine::kThreads);
            return transfer(queue, write, setup.depth, offsets);
        }
        case How::kCalls: {
            Calls calls(file, blocks);
            return transfer(calls, write, 1, offsets);
        }
    }
}

// --- writes ---------------------------------------------------------------------------------------------

// Each worker writes every workers-th block of the one file, or all blocks of its own.
std::vector<std::uint64_t> offsets_of(const Setup& setup, unsigned worker) {
    const bool shared = setup.files == Files::kOneForAll;
    const std::size_t count = (mebibytes << 20) / setup.block / setup.workers;
    std::vector<std::uint64_t> offsets;
    for (std::size_t i = 0; i < count; ++i)
        offsets.push_back((shared ? i * setup.workers + worker : i) * setup.block);
    return offsets;
}

void write(benchmark::State& state, const Setup& setup) {
    constexpr unsigned kSecondsToLastCompletion = 0;
    constexpr unsigned kCpuSeconds = 1;
    const int shared = make_file(setup);
    bench::Team team(setup.workers, [&](unsigned worker) -> bench::Team::Round {
        const int file = setup.files == Files::kOneForAll ? shared : make_file(setup);
        const auto bytes = static_cast<off_t>(mebibytes << 20);
        if (setup.space == Space::kAllocated && ::fallocate(file, 0, 0, bytes) != 0) bench::die("bench: fallocate");
        auto blocks = std::make_shared<Blocks>(setup.block, setup.depth, setup.of_shared_memory);
        return [=, offsets = offsets_of(setup, worker)](unsigned) -> std::string {
            const double cpu_before = cpu_seconds();
            const double start = bench::now_seconds();
            transfer_all(setup, true, file, *blocks, offsets);
            bench::Team::number(kSecondsToLastCompletion) = bench::now_seconds() - start;
            bench::Team::number(kCpuSeconds) = cpu_seconds() - cpu_before;
            return ::fdatasync(file) == 0 ? "" : "fdatasync failed";
        };
    });
    double synced_seconds = 0;
    double seconds = 0;
    double cpu = 0;
    for (auto _ : state) {
        synced_seconds = team.run();
        for (unsigned worker = 0; worker < setup.workers; ++worker) {
            seconds = std::max(seconds, team.number(worker, kSecondsToLastCompletion));
            cpu += team.number(worker, kCpuSeconds);
        }
        state.SetIterationTime(seconds);
    }
    if (!team.error().empty()) state.SkipWithError(team.error().c_str());
    ::close(shared);
    const auto bytes = static_cast<double>(mebibytes << 20);
    state.counters["GB/s"] = bytes / seconds * 1e-9;
    state.counters["synced"] = bytes / synced_seconds * 1e-9;
    state.counters["cpu"] = cpu / bytes * 1e9;
}

// --- random reads ---------------------------------------------------------------------------------------

// One file for all measurements, four times as large as what each reads.
class ReadFile {
public:
    explicit ReadFile() : bytes_(4 * mebibytes << 20) {
        std::string path = folder + "/shoal-bench-XXXXXX";
        buffered_ = ::mkostemp(path.data(), O_CLOEXEC);
        direct_ = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (buffered_ < 0 || direct_ < 0) bench::die(path.c_str());
        ::unlink(path.c_str());
        const Blocks blocks(1 << 20, 1);
        for (std::size_t at = 0; at < bytes_; at += 1 << 20)
            if (::pwrite(buffered_, blocks.at(0).iov_base, 1 << 20, static_cast<off_t>(at)) != 1 << 20)
                bench::die("bench: pwrite");
        if (::fdatasync(buffered_) != 0) bench::die("bench: fdatasync");
    }
    // What of the file is in the page cache is what the setup asks for.
    [[nodiscard]] int prepared(const Setup& setup, const std::vector<std::uint64_t>& offsets) const {
        if (setup.cache == Cache::kWarm) {
            const Blocks blocks(setup.block, 1);
            for (const std::uint64_t offset : offsets)
                if (::pread(buffered_, blocks.at(0).iov_base, setup.block, static_cast<off_t>(offset)) < 0)
                    bench::die("bench: pread");
        } else if (::posix_fadvise(buffered_, 0, 0, POSIX_FADV_DONTNEED) != 0) {
            bench::die("bench: posix_fadvise");
        }
        return setup.cache == Cache::kDirect ? direct_ : buffered_;
    }
    [[nodiscard]] std::size_t size() const { return bytes_; }

private:
    std::size_t bytes_;
    int buffered_ = -1;
    int direct_ = -1;
};

void read(benchmark::State& state, const Setup& setup) {
    static const ReadFile source;
    bench::Random random(11);
    std::vector<std::uint64_t> offsets;
    for (std::size_t i = 0; i < (mebibytes << 20) / setup.block; ++i)
        offsets.push_back(random.below(static_cast<std::uint32_t>(source.size() / setup.block)) * setup.block);
    const Blocks blocks(setup.block, setup.depth);
    double seconds = 0;
    double cpu = 0;
    for (auto _ : state) {
        const int file = source.prepared(setup, offsets);
        const double cpu_before = cpu_seconds();
        const double start = bench::now_seconds();
        transfer_all(setup, false, file, blocks, offsets);
        seconds = bench::now_seconds() - start;
        cpu = cpu_seconds() - cpu_before;
        state.SetIterationTime(seconds);
    }
    const auto bytes = static_cast<double>(mebibytes << 20);
    state.counters["GB/s"] = bytes / seconds * 1e-9;
    state.counters["cpu"] = cpu / bytes * 1e9;
}

// --- which are measured ---------------------------------------------------------------------------------

std::string name_of(const char* what, const Setup& setup) {
    constexpr const char* kHows[] = {"io_uring", "registered", "queue", "queue_of_threads", "calls"};
    constexpr const char* kCaches[] = {"buffered", "direct", "warm"};
    std::string name = std::string(what) + '/' + kCaches[static_cast<int>(setup.cache)] + '/' +
                       kHows[static_cast<int>(setup.how)] + "/KiB:" + std::to_string(setup.block >> 10);
    if (setup.how != How::kCalls) name += "/depth:" + std::to_string(setup.depth);
    if (setup.workers > 1) name += "/processes:" + std::to_string(setup.workers);
    if (setup.files == Files::kOneForAll) name += "/one_file";
    if (setup.space == Space::kAllocated) name += "/allocated";
    if (setup.of_shared_memory) name += "/of_shared_memory";
    return name;
}

void measure(const char* what, void (*run)(benchmark::State&, const Setup&), const Setup& setup) {
    benchmark::RegisterBenchmark(name_of(what, setup).c_str(), run, setup)
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
}

void measure_writes(Cache cache) {
    const auto add = [&](auto change) {
        Setup setup;
        setup.cache = cache;
        change(setup);
        measure("write", write, setup);
    };
    for (const std::size_t block : {std::size_t{256} << 10, std::size_t{1} << 20, std::size_t{4} << 20})
        for (const unsigned depth : {1U, 4U, 8U, 16U})
            add([&](Setup& setup) { setup.block = block, setup.depth = depth; });
    for (const How how : {How::kRegistered, How::kQueue, How::kQueueThreads, How::kCalls})
        add([&](Setup& setup) { setup.how = how, setup.depth = how == How::kCalls ? 1 : 8; });
    add([](Setup& setup) { setup.space = Space::kAllocated; });
    add([](Setup& setup) { setup.space = Space::kAllocated, setup.block = 256 << 10; });
    add([](Setup& setup) { setup.space = Space::kAllocated, setup.of_shared_memory = true; });
    add([](Setup& setup) { setup.workers = 2; });
    add([](Setup& setup) { setup.workers = 2, setup.files = Files::kOneForAll; });
    add([](Setup& setup) { setup.workers = 2, setup.files = Files::kOneForAll, setup.space = Space::kAllocated; });
}

void measure_reads(Cache cache) {
    const auto add = [&](How how, unsigned depth) {
        Setup setup;
        setup.cache = cache;
        setup.how = how;
        setup.block = 256 << 10;
        setup.depth = depth;
        measure("read", read, setup);
    };
    for (const unsigned depth : {1U, 2U, 4U, 8U, 16U, 32U}) add(How::kRing, depth);
    add(How::kRegistered, 16);
    add(How::kQueue, 16);
    add(How::kQueueThreads, 16);
    add(How::kCalls, 1);
}

void take_own_options(int argc, char** argv) {
    constexpr std::string_view kFolder = "--folder=";
    constexpr std::string_view kMebibytes = "--mebibytes=";
    for (int i = 1; i < argc; ++i) {
        const std::string_view option = argv[i];
        if (option.starts_with(kFolder)) {
            folder = option.substr(kFolder.size());
        } else if (option.starts_with(kMebibytes)) {
            mebibytes = std::strtoul(argv[i] + kMebibytes.size(), nullptr, 10);
        } else {
            std::fprintf(stderr, "limits_file: unknown option %s; see the head of bench/limits_file.cpp\n",
                         argv[i]);
            std::exit(2);
        }
    }
    struct statfs status {};
    if (::statfs(folder.c_str(), &status) != 0) bench::die(folder.c_str());
    if (status.f_type == TMPFS_MAGIC) {
        std::fprintf(stderr, "limits_file: %s lies in memory; name a folder on a disk by --folder=\n",
                     folder.c_str());
        std::exit(2);
    }
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    take_own_options(argc, argv);
    measure_writes(Cache::kBuffered);
    measure_writes(Cache::kDirect);
    measure_reads(Cache::kBuffered);
    measure_reads(Cache::kDirect);
    measure_reads(Cache::kWarm);
    benchmark::RunSpecifiedBenchmarks();
}
