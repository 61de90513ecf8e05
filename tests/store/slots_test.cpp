// Slots of the process table: threads and processes that come and go give theirs back, alive or killed.
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

TEST_CASE("Threads that come and go use the slots again", "[threads]") {
    auto store = Store::in_memory(with_limit(32 * kMiB));
    REQUIRE_OK(store);
    const std::size_t threads = scaled(10'000, 1000);
    std::size_t failed = 0;
    for (std::size_t i = 0; i < threads; i += 2) {
        shoal::Result<void> one, two;
        std::thread first([&] { one = store->append("k", "x"); });
        std::thread second([&] { two = store->append("k", "x"); });
        first.join();
        second.join();
        failed += !one + !two;
    }
    CHECK(failed == 0);
    CHECK(store->size("k")->records == threads);
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    CHECK(stats->slots_in_use <= 4);
}

TEST_CASE("Memory that a thread held is used again after its end", "[threads]") {
    auto store = Store::in_memory(with_limit(16 * kMiB));
    REQUIRE_OK(store);
    for (std::size_t i = 0; i < scaled(1000, 100); ++i) {
        std::string failure;
        std::thread thread([&]() {
            failure = [&]() -> std::string {
                for (int key = 0; key < 100; ++key)
                    EXPECT_OK(store->append(std::to_string(key), std::string(500, 'x')));
                EXPECT_OK(store->drop());
                return {};
            }();
        });
        thread.join();
        INFO("thread " << i);
        REQUIRE(failure == "");
    }
}

// To fill the table takes more threads than machines start: see tests/arena/slot_table_test.cpp.
TEST_CASE("Two thousand threads at once have a slot each, and give it back", "[threads]") {
    if (kSanitizer) SHOAL_SKIP("so many threads at once are too many under a sanitizer");
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "x"));
    CHECK(store->stats()->slots_total >= 32'768);
    const std::size_t in_use = store->stats()->slots_in_use;
    constexpr std::size_t kThreads = 2000;

    std::mutex mutex;
    std::condition_variable changed;
    std::size_t arrived = 0;
    std::string failures;
    bool leave = false;
    std::vector<std::thread> threads;
    std::string cannot_start;
    while (threads.size() < kThreads && cannot_start.empty()) {
        try {
            threads.emplace_back([&] {
                const auto appended = store->append("k", "x");
                std::unique_lock lock(mutex);
                ++arrived;
                if (!appended) failures += describe(appended) + "\n";
                changed.notify_all();
                changed.wait(lock, [&] { return leave; });
            });
        } catch (const std::system_error& error) {
            cannot_start = error.what();
        }
    }
    std::size_t in_use_then = 0;
    {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return arrived == threads.size(); });
        in_use_then = store->stats()->slots_in_use;
        leave = true;
        changed.notify_all();
    }
    for (std::thread& thread : threads) thread.join();
    if (!cannot_start.empty())
        SHOAL_SKIP("the machine starts only " << threads.size() << " threads: " << cannot_start);
    CHECK(failures == "");
    CHECK(in_use_then == in_use + kThreads);
    CHECK(store->size("k")->records == 1 + kThreads);
    CHECK(store->stats()->slots_in_use == in_use);
}

TEST_CASE("Threads that append one byte each take their memory from the same pages", "[threads]") {
    constexpr std::size_t kThreads = 300;
    auto store = Store::in_memory(with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "x"));
    const std::uint64_t real = store->stats()->real_bytes;
    StartLine line(kThreads);
    Threads threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
        threads.start([&, thread]() -> std::string {
            EXPECT_OK(store->append(std::to_string(thread), "x"));
            line.arrive_and_wait();  // all have their slots, and what those have set aside
            return {};
        });
    }
    CHECK(threads.join() == "");
    CHECK(store->stats()->keys == kThreads + 1);
    // By a page for each thread and class it would be 56 MiB.
    CHECK(store->stats()->real_bytes - real < 4 * kMiB);
}

TEST_CASE("Slots of killed processes are used again", "[process]") {
    TemporaryStore place;
    REQUIRE_OK(Store::open(place.path(), with_limit(64 * kMiB)));
    // Each process dies with so many slots taken.
    const std::size_t threads = scaled(64, 8), processes = scaled(30, 10);
    for (std::size_t i = 0; i < processes; ++i) {
        Child child = Child::start([&]() -> std::string {
            auto store = Store::attach(place.path());
            EXPECT_OK(store);
            StartLine line(threads);
            Threads appending;
            for (std::size_t thread = 0; thread < threads; ++thread)
                appending.start([&]() -> std::string {
                    const auto appended = store->append("k", "x");
                    if (!appended) {
                        std::fprintf(stderr, "%s\n", describe(appended).c_str());
                        ::_exit(1);
                    }
                    line.arrive_and_wait();
                    ::raise(SIGKILL);
                    return "unreachable";
                });
            return appending.join();
        });
        const std::string ended = child.wait();
        INFO("process " << i << ": " << ended);
        REQUIRE(child.killed_by() == SIGKILL);
    }
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    CHECK(store->get("k")->text() == std::string(processes * threads, 'x'));
}

TEST_CASE("A thread whose own objects append as it ends gives its slot back too", "[threads]") {
    auto opened = shoal::Store::in_memory(with_limit(16 * kMiB));
    REQUIRE_OK(opened);
    shoal::Store& store = *opened;
    struct Flush {
        shoal::Store* store = nullptr;
        ~Flush() { (void)store->append("k", "at the end"); }
    };
    for (int round = 0; round < 1000; ++round) {
        bool appended = false;
        std::thread([&] {
            static thread_local Flush flush;  // made before the thread's first call, so it ends after
            flush.store = &store;
            appended = store.append("k", "v").has_value();
        }).join();
        REQUIRE(appended);
    }
    CHECK(store.stats()->slots_in_use <= 2);
}
