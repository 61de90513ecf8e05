// Memory of the process that is not to be had: operator new of the whole program, which fails when a test says so.
// For one source file of a program.
#pragma once

#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <utility>

#include "catch.hpp"

namespace shoal_test {

thread_local long allocations_until_failure = -1;        // of this thread; -1: none fails
std::atomic<long> allocations_of_any_until_failure{-1};  // of all threads together
thread_local bool every_allocation_fails = false;        // of this thread

inline void* allocate_or_fail(std::size_t bytes) {
    if (every_allocation_fails) throw std::bad_alloc();
    if (allocations_until_failure >= 0 && allocations_until_failure-- == 0) throw std::bad_alloc();
    if (allocations_of_any_until_failure.load() >= 0 && allocations_of_any_until_failure.fetch_sub(1) == 0) {
        throw std::bad_alloc();
    }
    if (void* memory = std::malloc(bytes == 0 ? 1 : bytes); memory != nullptr) return memory;
    throw std::bad_alloc();
}

// Code of a test in the middle of a call whose allocations fail.
template <class Body>
void with_memory(Body&& body) {
    const long left = std::exchange(allocations_until_failure, -1);
    body();
    allocations_until_failure = left;
}

enum class Of { kThisThread, kAnyThread };

// Calls `call` with its first allocation failing, then with its second, and so on, until it needs no more; after
// each calls `check`.
inline void fail_each_allocation(const std::function<bool()>& call, const std::function<void()>& check,
                                 Of of = Of::kThisThread) {
    long failing = 0;
    for (bool through = false; !through; ++failing) {
        bool done = false;
        if (of == Of::kThisThread) allocations_until_failure = failing;
        if (of == Of::kAnyThread) allocations_of_any_until_failure = failing;
        try {
            done = call();
        } catch (const std::bad_alloc&) {
        }
        // it came to its end without the failure
        through = allocations_until_failure >= 0 || allocations_of_any_until_failure.load() >= 0;
        allocations_until_failure = -1;
        allocations_of_any_until_failure = -1;
        INFO("allocation " << failing << " fails");
        if (through) CHECK(done);
        check();
    }
    CHECK(failing > 1);
}

}  // namespace shoal_test

// GCC, which inlines one of a pair, takes the other's memory for that of another allocator.
#define SHOAL_NOT_INLINED __attribute__((noinline))

SHOAL_NOT_INLINED void* operator new(std::size_t bytes) { return shoal_test::allocate_or_fail(bytes); }
SHOAL_NOT_INLINED void* operator new[](std::size_t bytes) { return shoal_test::allocate_or_fail(bytes); }
SHOAL_NOT_INLINED void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    try {
        return shoal_test::allocate_or_fail(bytes);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
SHOAL_NOT_INLINED void* operator new[](std::size_t bytes, const std::nothrow_t& nothrow) noexcept {
    return operator new(bytes, nothrow);
}
SHOAL_NOT_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
SHOAL_NOT_INLINED void operator delete[](void* memory) noexcept { std::free(memory); }
SHOAL_NOT_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
SHOAL_NOT_INLINED void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
