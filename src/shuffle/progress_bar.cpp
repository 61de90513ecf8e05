#include "shuffle/progress_bar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace shoal::shuffling {

void ProgressBar::begin(std::string what, std::uint64_t total_bytes) {
    what_ = std::move(what);
    total_bytes_ = total_bytes;
    start_ = std::chrono::steady_clock::now();
    show(0, 0);
}

void ProgressBar::show(std::uint64_t bytes, std::uint64_t rows, std::uint64_t spilled_bytes) {
    if (!on_) return;
    constexpr std::size_t kWidth = 30;
    const double part =
        total_bytes_ == 0 ? 1.0 : std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total_bytes_));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    const double per_second = seconds > 0 ? 1e-6 / seconds : 0;
    const auto filled = static_cast<std::size_t>(part * static_cast<double>(kWidth));
    std::string line =
        fmt::format("\r\033[K{:<8} [{}{}] {:3.0f} %  {:.0f} MB/s", what_, std::string(filled, '#'),
                    std::string(kWidth - filled, ' '), part * 100, static_cast<double>(bytes) * per_second);
    if (rows > 0) line += fmt::format("  {:.2f} million rows/s", static_cast<double>(rows) * per_second);
    if (spilled_bytes > 0) line += fmt::format("  {:.0f} MB spilled", static_cast<double>(spilled_bytes) * 1e-6);
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
    drawn_ = true;
}

void ProgressBar::clear() {
    if (!drawn_) return;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    drawn_ = false;
}

}  // namespace shoal::shuffling
