// One line on standard error that says how far a command is, where that is a terminal; else nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace shoal::tool {

class ProgressLine {
public:
    explicit ProgressLine(std::string what);
    ~ProgressLine() { clear(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    // Draws it, some times a second at most: that part of all is done, and that many bytes since the first call.
    void show(double fraction, std::uint64_t bytes);
    // Leaves an empty line, to which an error can be written.
    void clear();

private:
    using Clock = std::chrono::steady_clock;

    bool on_;
    bool drawn_ = false;
    std::string what_;
    std::optional<Clock::time_point> begun_;
    Clock::time_point next_;
};

}  // namespace shoal::tool
