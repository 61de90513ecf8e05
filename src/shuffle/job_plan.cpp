#include "shuffle/job_plan.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "arena/group_memory.hpp"

namespace shoal::shuffling {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint32_t kMaxPartitions = 1'000'000;
constexpr unsigned kMaxWorkers = 256;

[[nodiscard]] tl::unexpected<ShuffleError> wrong_use(std::string message) {
    return failure(ShuffleCause::kUsage, std::move(message));
}

[[nodiscard]] std::uint64_t available_bytes() {
    std::uint64_t available = std::numeric_limits<std::uint64_t>::max();
    std::ifstream memory("/proc/meminfo");
    for (std::string word; memory >> word;) {
        std::uint64_t kib = 0;
        if (word == "MemAvailable:" && memory >> kib) available = kib << 10;
    }
    return std::min(available, group_memory_left());
}

}  // namespace

Outcome<void> check(const ShuffleOptions& options) {
    if (options.inputs.empty()) return wrong_use("no input file is given");
    if (std::count(options.inputs.begin(), options.inputs.end(), "-") > 1) {
        return wrong_use("standard input (-) can be given once only");
    }
    if (options.by.empty() && options.format == Format::kLines) return wrong_use("--by is empty");
    if (options.by_value && options.partitions != 0) {
        return wrong_use("--partitions and --by-value exclude each other");
    }
    if (!options.by_value && (options.partitions == 0 || options.partitions > kMaxPartitions)) {
        return wrong_use(fmt::format("--partitions must be 1 to {}", kMaxPartitions));
    }
    if (options.workers > kMaxWorkers) return wrong_use(fmt::format("--workers must be 1 to {}", kMaxWorkers));
    const char delimiter = options.delimiter;
    if (delimiter == '\n' || delimiter == '\r' || delimiter == '"') {
        return wrong_use("--delimiter cannot be a quote, CR or LF");
    }
    if (delimiter != '\0' && format_of(options) == Format::kJsonLines) {
        return wrong_use("--delimiter means nothing for JSON lines");
    }
    if (options.codec != Codec{} && options.spill_dir.empty()) return wrong_use("--codec needs --spill-dir");
    if (options.page_cache && options.spill_dir.empty()) return wrong_use("--page-cache needs --spill-dir");
    if (options.keep_store && options.store_path.empty()) return wrong_use("--keep-store needs --store");
    return {};
}

Format format_of(const ShuffleOptions& options) {
    return options.format == Format::kAuto ? format_by_extension(options.inputs.front()) : options.format;
}

char delimiter_of(const ShuffleOptions& options, Format format) noexcept {
    if (options.delimiter != '\0' || format == Format::kLines) return options.delimiter;
    return format == Format::kTsv ? '\t' : ',';
}

unsigned workers_of(const ShuffleOptions& options) noexcept {
    if (options.workers != 0) return options.workers;
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
    return std::clamp(static_cast<unsigned>(CPU_COUNT(&cpus)), 1U, kMaxWorkers);
}

std::uint64_t range_bytes_of(const ShuffleOptions& options, std::uint64_t input_bytes, unsigned workers) noexcept {
    if (options.chunk_bytes != 0) return options.chunk_bytes;
    return std::clamp<std::uint64_t>(input_bytes / (8ULL * workers), kMiB, 16 * kMiB);
}

std::uint64_t memory_limit_of(const ShuffleOptions& options, const std::vector<InputFile>& files) {
    if (options.memory_limit_bytes != 0) return options.memory_limit_bytes;
    constexpr std::uint64_t kRowOverhead = 16;  // a frame's header, and rounding to 8 bytes
    std::uint64_t need = 0;
    std::string sample(64 << 10, '\0');
    for (const InputFile& file : files) {
        const auto got = file.read_at(file.rows_begin, sample.data(), sample.size());
        const std::uint64_t bytes = got.value_or(0);
        const auto rows = static_cast<std::uint64_t>(
            std::count(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(bytes), '\n'));
        need += file.size + (bytes == 0 ? 0 : file.size / bytes * (rows + 1) * kRowOverhead);
    }
    const std::uint64_t ample = 5 * need + 256 * kMiB;  // segments quadruple: a key's last one may be nearly empty
    return std::min(ample, available_bytes() / 5 * 4);
}

}  // namespace shoal::shuffling
