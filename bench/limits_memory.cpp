// Limit: the ways there are to make memory of a tmpfs real and to map it, before and with the first write to it.
//
// What was found (kernel 6.18): fault-around maps 16 pages at a time, but only pages that somebody has written
// (fallocate alone leaves them not up to date), so reading ahead pays where another process, or a pwrite, has
// filled them with zeros.
#include <cstdint>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "shared_file.hpp"
#include "team.hpp"
#include "workload.hpp"

namespace {

using bench::Mapping;
using bench::SharedFile;

constexpr std::size_t kMiB = std::size_t{1} << 20;

// --- making memory real ---------------------------------------------------------------------------------

enum class Before {
    kNothing,
    kAllocate,       // fallocate
    kRead64K,        // fallocate, then read one word every 64 KiB
    kPopulateRead,   // fallocate, then MADV_POPULATE_READ
    kPopulateWrite,  // MADV_POPULATE_WRITE
    kWriteZeros,     // pwrite of zeros, then read one word every 64 KiB
    kReadOfOther,    // another mapping has written it; read one word every 64 KiB
    kPopulateOther,  // another mapping has written it; MADV_POPULATE_READ
};

// One word of every 64 KiB, the span that the kernel's fault-around maps at once.
void read_ahead(const std::byte* at, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; i += 64 * 1024) {
        benchmark::DoNotOptimize(*static_cast<const volatile std::byte*>(at + i));
    }
}

void write_zeros(const SharedFile& file, std::size_t from, std::size_t bytes) {
    static const std::vector<std::byte> zeros(64 * 1024);
    for (std::size_t i = 0; i < bytes; i += zeros.size()) {
        const auto written = ::pwrite(file.descriptor(), zeros.data(), zeros.size(), static_cast<off_t>(from + i));
        if (written != static_cast<ssize_t>(zeros.size())) bench::die("bench: pwrite");
    }
}

// What comes before the write to a window of memory.
void prepare(const SharedFile& file, std::byte* at, std::size_t from, std::size_t window, Before before) {
    int failed = 0;
    switch (before) {
        case Before::kNothing:
            break;
        case Before::kAllocate:
            file.allocate(from, window);
            break;
        case Before::kRead64K:
            file.allocate(from, window);
            read_ahead(at, window);
            break;
        case Before::kPopulateRead:
            file.allocate(from, window);
            failed = ::madvise(at, window, MADV_POPULATE_READ);
            break;
        case Before::kPopulateWrite:
            failed = ::madvise(at, window, MADV_POPULATE_WRITE);
            break;
        case Before::kWriteZeros:
            write_zeros(file, from, window);
            read_ahead(at, window);
            break;
        case Before::kReadOfOther:
            read_ahead(at, window);
            break;
        case Before::kPopulateOther:
            failed = ::madvise(at, window, MADV_POPULATE_READ);
            break;
    }
    if (failed != 0) bench::die("bench: madvise");
}

// Bytes a second of memory that nobody has touched, until 1 KiB records fill it: what comes before the write (timed
// or not), and the write itself, window by window.
void cold_write(benchmark::State& state, Before before, bool time_preparation, std::size_t window) {
    constexpr std::size_t kColdBytes = 512 * kMiB;
    const auto source = bench::make_records(1024);
    for (auto _ : state) {
        SharedFile file(kColdBytes);
        if (before == Before::kReadOfOther || before == Before::kPopulateOther) {
            Mapping other(file.descriptor(), kColdBytes);
            std::memset(other.data(), 0, kColdBytes);
        }
        Mapping map(file.descriptor(), kColdBytes);
        double seconds = 0;
        for (std::size_t from = 0; from < kColdBytes; from += window) {
            std::byte* at = map.data() + from;
            const double start = bench::now_seconds();
            prepare(file, at, from, window, before);
            const double prepared = bench::now_seconds();
            for (std::size_t i = 0; i < window; i += 1024) std::memcpy(at + i, source.data() + i % 65536, 1024);
            benchmark::ClobberMemory();
            seconds += bench::now_seconds() - (time_preparation ? start : prepared);
        }
        state.SetIterationTime(seconds);
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kColdBytes));
}
#define COLD(name, ...) \
    BENCHMARK_CAPTURE(cold_write, name, __VA_ARGS__)->Iterations(1)->UseManualTime()->Unit(benchmark::kMillisecond)
COLD(first_touch, Before::kNothing, true, 2 * kMiB);
COLD(after_allocate_not_timed, Before::kAllocate, false, 2 * kMiB);
COLD(allocate_and_write, Before::kAllocate, true, 2 * kMiB);
COLD(allocate_read_and_write, Before::kRead64K, true, 2 * kMiB);
COLD(allocate_populate_read_and_write, Before::kPopulateRead, true, 2 * kMiB);
COLD(populate_write_and_write, Before::kPopulateWrite, true, 2 * kMiB);
COLD(write_zeros_read_and_write, Before::kWriteZeros, true, 2 * kMiB);
COLD(of_other_read_and_write, Before::kReadOfOther, true, 2 * kMiB);
COLD(of_other_read_and_write_64K, Before::kReadOfOther, true, 64 * 1024);
COLD(of_other_populate_and_write, Before::kPopulateOther, true, 2 * kMiB);
COLD(of_other_populate_and_write_64K, Before::kPopulateOther, true, 64 * 1024);

// The same without the write: what each step costs a piece of `range(0)` bytes.
enum class Step { kAllocate, kWriteZeros, kRead64K, kPopulateRead, kPopulateWrite, kPunch };
void step(benchmark::State& state, Step what) {
    constexpr std::size_t kBytes = 256 * kMiB;
    const auto piece = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
        SharedFile file(kBytes);
        Mapping map(file.descriptor(), kBytes);
        if (what == Step::kRead64K) write_zeros(file, 0, kBytes);
        if (what == Step::kPopulateRead || what == Step::kPunch) file.allocate(0, kBytes);
        const double start = bench::now_seconds();
        for (std::size_t from = 0; from < kBytes; from += piece) {
            std::byte* at = map.data() + from;
            int failed = 0;
            switch (what) {
                case Step::kAllocate:
                    file.allocate(from, piece);
                    break;
                case Step::kPopulateRead:
                    failed = ::madvise(at, piece, MADV_POPULATE_READ);
                    break;
                case Step::kPopulateWrite:
                    failed = ::madvise(at, piece, MADV_POPULATE_WRITE);
                    break;
                case Step::kPunch:
                    failed = ::fallocate(file.descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                         static_cast<off_t>(from), static_cast<off_t>(piece));
                    break;
                case Step::kWriteZeros:
                    write_zeros(file, from, piece);
                    break;
                case Step::kRead64K:
                    read_ahead(at, piece);
            }
            if (failed != 0) bench::die("bench: step");
        }
        const double seconds = bench::now_seconds() - start;
        state.SetIterationTime(seconds / static_cast<double>(kBytes / piece));
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
#define STEP(name, what)                \
    BENCHMARK_CAPTURE(step, name, what) \
        ->ArgName("piece")              \
        ->Iterations(2)                 \
        ->UseManualTime()               \
        ->Unit(benchmark::kMicrosecond)
STEP(fallocate, Step::kAllocate)->Arg(64 << 10)->Arg(1 << 20)->Arg(2 << 20)->Arg(4 << 20)->Arg(64 << 20);
STEP(write_zeros, Step::kWriteZeros)->Arg(2 << 20);
STEP(read_each_64K, Step::kRead64K)->Arg(2 << 20);
STEP(populate_read, Step::kPopulateRead)->Arg(64 << 10)->Arg(2 << 20);
STEP(populate_write, Step::kPopulateWrite)->Arg(2 << 20);
STEP(punch_hole, Step::kPunch)->Arg(2 << 20);

}  // namespace
