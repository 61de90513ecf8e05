// One line on a terminal that says how far the job is. Draws on stderr; nothing at all when it is off.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace shoal::shuffling {

class ProgressBar {
public:
    explicit ProgressBar(bool on) noexcept : on_(on) {}
    ~ProgressBar() { clear(); }
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    [[nodiscard]] bool on() const noexcept { return on_; }

    // Starts a part of the job, `total_bytes` long.
    void begin(std::string what, std::uint64_t total_bytes);

    // Draws it, that many bytes and rows being done, and bytes in files (both 0: not shown).
    void show(std::uint64_t bytes, std::uint64_t rows, std::uint64_t spilled_bytes = 0);

    // Leaves an empty line.
    void clear();

private:
    bool on_;
    bool drawn_ = false;
    std::string what_;
    std::uint64_t total_bytes_ = 0;
    std::chrono::steady_clock::time_point start_;
};

}  // namespace shoal::shuffling
