// Faults below the I/O room, so that a test can have any transfer come out short or fail: a transfer is one step of
// a request, what one SQE or one preadv/pwritev asks for.
//
// Only a build with SHOAL_CRASH_POINTS, which the tests link, knows them; elsewhere next_io_fault() is nothing, not
// one instruction.
//
// Thread safety: every function; who shares the count of transfers is not told apart. What is armed is this
// process's, and its children's by fork.
#pragma once

#include <cstdint>

#ifdef SHOAL_CRASH_POINTS
#include <limits>
#include <mutex>
#endif

namespace shoal {

struct IoFault {
    int error = 0;               // errno with which it fails, nothing transferred; 0: none
    std::uint64_t short_by = 0;  // bytes that it transfers less; see Transfer::begin_step
};

#ifndef SHOAL_CRASH_POINTS

constexpr IoFault next_io_fault() noexcept { return {}; }

#else

namespace io_fault {

struct Armed {
    std::mutex mutex;
    std::uint64_t seen = 0;             // transfers, since the process began
    std::uint64_t first = 0, last = 0;  // of those that have the fault, counted as `seen` is
    std::uint64_t every = 1;
    IoFault fault;
};
inline Armed armed;

inline constexpr std::uint64_t kForEver = std::numeric_limits<std::uint32_t>::max();

// The transfer of that number, counted from 1 from now on, and of the `among` from there each `every`-th. Forgets
// what was armed.
inline void at(std::uint64_t transfer, IoFault fault, std::uint64_t among = 1, std::uint64_t every = 1) {
    const std::lock_guard lock(armed.mutex);
    armed.first = armed.seen + transfer;
    armed.last = armed.first + among - 1;
    armed.every = every;
    armed.fault = fault;
}

inline void forget() {
    const std::lock_guard lock(armed.mutex);
    armed.first = armed.last = 0;
}

[[nodiscard]] inline std::uint64_t transfers_seen() {
    const std::lock_guard lock(armed.mutex);
    return armed.seen;
}

}  // namespace io_fault

inline IoFault next_io_fault() {
    io_fault::Armed& armed = io_fault::armed;
    const std::lock_guard lock(armed.mutex);
    const std::uint64_t now = ++armed.seen;
    const bool has_it = armed.first <= now && now <= armed.last && (now - armed.first) % armed.every == 0;
    return has_it ? armed.fault : IoFault{};
}

#endif

}  // namespace shoal
