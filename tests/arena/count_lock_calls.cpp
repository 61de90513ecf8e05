// No <fcntl.h> here: it may declare fcntl under the other name.
#include "count_lock_calls.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>

namespace {

std::atomic<std::uint64_t> calls{0};

}  // namespace

extern "C" {

int fcntl(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void* argument = va_arg(arguments, void*);
    va_end(arguments);
    calls.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    return static_cast<int>(::syscall(SYS_fcntl, descriptor, command, argument));
}

int fcntl64(int descriptor, int command, ...) __attribute__((alias("fcntl")));
}

std::uint64_t shoal_test::lock_calls() noexcept {
    return calls.load(std::memory_order_relaxed);  // relaxed: as above
}
