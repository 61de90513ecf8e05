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

TEST_CASE("More threads at once than there are slots get a typed error, and later ones a slot", "[threads]") {
    if (kSanitizer) SHOAL_SKIP("so many threads at once are too many under a sanitizer");
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "x"));
    const std::size_t slots = store->stats()->slots_total;
    const std::size_t in_use = store->stats()->slots_in_use;
    const std::size_t attempts = slots + 20;
    if (attempts > 20'000) SHOAL_SKIP("a process table of " << slots << " slots needs too many threads to fill");

    std::mutex mutex;
    std::condition_variable changed;
    std::size_t arrived = 0, refused = 0;
    std::string other_failures;
    bool leave = false;
    std::vector<std::thread> threads;
    std::string cannot_start;
    for (std::size_t i = 0; i < attempts && cannot_start.empty(); ++i) {
        try {
            threads.emplace_back([&] {
                const auto appended = store->append("k", "x");
                std::unique_lock lock(mutex);
                ++arrived;
                if (failed_with(appended, Code::kTooManyThreads))
                    ++refused;
                else if (!appended)
                    other_failures += describe(appended) + "\n";
                changed.notify_all();
                changed.wait(lock, [&] { return leave; });
            });
        } catch (const std::system_error& error) {
            cannot_start = error.what();
        }
    }
    {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return arrived == threads.size(); });
        leave = true;
        changed.notify_all();
    }
    for (std::thread& thread : threads) thread.join();
    if (!cannot_start.empty())
        SHOAL_SKIP("the machine starts only " << threads.size() << " threads: " << cannot_start);
    CHECK(other_failures == "");
    CHECK(refused == attempts - (slots - in_use));
    CHECK(store->size("k")->records == 1 + attempts - refused);

    shoal::Result<void> late = tl::unexpected(shoal::Error{});
    std::thread([&] { late = store->append("k", "x"); }).join();
    REQUIRE_OK(late);
}

TEST_CASE("Slots of killed processes are used again", "[process]") {
    TemporaryStore place;
    std::size_t slots = 0;
    {
        auto store = Store::open(place.path(), with_limit(64 * kMiB));
        REQUIRE_OK(store);
        slots = store->stats()->slots_total;
    }
    // Each process dies with so many slots taken.
    const std::size_t threads = scaled(64, 8), processes = scaled(slots / threads + 10, 10);
    if (processes > 2000) SHOAL_SKIP("a process table of " << slots << " slots needs too many processes to fill");
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
    const std::uint32_t slots = store.stats()->slots_total;
    for (std::uint32_t round = 0; round < slots + 100; ++round) {
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
