// Latencies of single calls: a cheap clock, and a histogram that keeps every sample's size to 1.6 %.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "team.hpp"
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace bench {

// Time-stamp counter on x86-64 (constant rate on what shoal supports), nanoseconds elsewhere.
inline std::uint64_t ticks() {
#if defined(__x86_64__)
    unsigned ignored = 0;
    return __rdtscp(&ignored);
#else
    return static_cast<std::uint64_t>(now_seconds() * 1e9);
#endif
}

// Measured once against the monotonic clock, over 20 ms.
inline double nanoseconds_per_tick() {
    static const double rate = [] {
        const double start = now_seconds();
        const std::uint64_t first = ticks();
        double now = start;
        while (now < start + 0.02) now = now_seconds();
        return (now - start) * 1e9 / static_cast<double>(ticks() - first);
    }();
    return rate;
}

// Log-linear buckets, 64 to each power of two, after HdrHistogram (Tene).
class Histogram {
public:
    void add(std::uint64_t value) {
        ++counts_[bucket(value)];
        ++total_;
        if (value > max_) max_ = value;
    }
    [[nodiscard]] double max_nanoseconds() const { return static_cast<double>(max_) * nanoseconds_per_tick(); }

    // The least value that at least `share` (0 to 1) of the samples do not exceed.
    [[nodiscard]] double nanoseconds(double share) const {
        const double wanted = share * static_cast<double>(total_);
        double seen = 0;
        for (std::size_t at = 0; at < counts_.size(); ++at) {
            seen += static_cast<double>(counts_[at]);
            if (seen >= wanted) return static_cast<double>(lower_bound(at)) * nanoseconds_per_tick();
        }
        return max_nanoseconds();
    }

private:
    static constexpr unsigned kSubBits = 6;
    static std::size_t bucket(std::uint64_t value) {
        if (value < (1U << kSubBits)) return static_cast<std::size_t>(value);
        const auto power = static_cast<unsigned>(std::bit_width(value)) - kSubBits - 1;
        return ((power + 1U) << kSubBits) + ((value >> power) - (1U << kSubBits));
    }
    static std::uint64_t lower_bound(std::size_t at) {
        if (at < (1U << kSubBits)) return at;
        const std::size_t power = (at >> kSubBits) - 1;
        return ((at & ((1U << kSubBits) - 1)) + (1U << kSubBits)) << power;
    }
    std::array<std::uint64_t, (64 - kSubBits + 1) << kSubBits> counts_{};
    std::uint64_t total_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace bench
