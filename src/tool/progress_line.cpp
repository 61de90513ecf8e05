#include "tool/progress_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

namespace shoal::tool {
namespace {

constexpr std::chrono::milliseconds kBetween{100};
constexpr std::size_t kWidth = 30;

}  // namespace

ProgressLine::ProgressLine(std::string what) : on_(::isatty(STDERR_FILENO) == 1), what_(std::move(what)) {}

void ProgressLine::show(double fraction, std::uint64_t bytes) {
    const auto now = Clock::now();
    if (!begun_) begun_ = now;
    if (!on_ || now < next_) return;
    next_ = now + kBetween;
    const double part = std::clamp(fraction, 0.0, 1.0);
    const double seconds = std::chrono::duration<double>(now - *begun_).count();
    const auto filled = static_cast<std::size_t>(part * static_cast<double>(kWidth));
    const double megabytes = static_cast<double>(bytes) * 1e-6;
    const std::string line = fmt::format("\r\033[K{} [{}{}] {:3.0f} %  {:.0f} MB  {:.0f} MB/s", what_,
                                         std::string(filled, '#'), std::string(kWidth - filled, ' '), part * 100,
                                         megabytes, seconds > 0 ? megabytes / seconds : 0);
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
    drawn_ = true;
}

void ProgressLine::clear() {
    if (!std::exchange(drawn_, false)) return;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
}

}  // namespace shoal::tool
