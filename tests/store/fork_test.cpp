// fork: the child of a process that uses a store may use it too, with threads running, and outlive it.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "numbered_workload.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"

using shoal::Store;
using namespace shoal_test;

TEST_CASE("A child uses the Store object it was forked with", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(32 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "parent,"));
    auto handle = store->key("k");
    REQUIRE_OK(handle);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(Child::run([&]() -> std::string {
                    EXPECT_OK(store->append("k", "child,"));
                    EXPECT_OK(store->append(*handle, "handle,"));
                    EXPECT(store->get("k")->text().find("parent,") == 0);
                    return {};
                }) == "");
        REQUIRE_OK(store->append("k", "parent,"));
    }
    std::string value = "parent,";
    for (int i = 0; i < 20; ++i) value += "child,handle,parent,";
    CHECK(store->get("k")->text() == value);
}

TEST_CASE("An in-memory store is shared with children and leaves no file", "[process]") {
    auto store = Store::in_memory(with_limit(32 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "1"));
    REQUIRE(Child::run([&]() -> std::string {
                EXPECT(store->get("k")->text() == "1");
                EXPECT_OK(store->append("k", "2"));
                EXPECT_OK(store->append("large", std::string(3'000'000, 'l')));
                return {};
            }) == "");
    CHECK(store->get("k")->text() == "12");
    CHECK(store->get("large")->size() == 3'000'000);
    Ledger ledger(3, 2);
    std::vector<Child> children;
    for (std::size_t writer = 0; writer < 3; ++writer)
        children.push_back(Child::start(
            [&, writer] { return NumberedWriter(*store, ledger, writer).write(scaled(3'000), Mode::kBoth); }));
    REQUIRE(wait_for(children) == "");
    ClosedCutChecker checker(ledger);
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
}

TEST_CASE("Children of a process whose threads use the store at that moment use it too", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(256 * kMiB));
    REQUIRE_OK(store);
    constexpr std::size_t kThreads = 3, kChildren = 20, kKeys = 2;
    Ledger ledger(kThreads + kChildren, kKeys);
    Threads threads;
    for (std::size_t writer = 0; writer < kThreads; ++writer)
        threads.start(
            [&, writer] { return NumberedWriter(*store, ledger, writer).write(scaled(20'000), Mode::kBoth); });
    std::vector<Child> children;
    for (std::size_t child = 0; child < kChildren; ++child)
        children.push_back(Child::start([&, child]() -> std::string {
            EXPECT_OK(store->contains(key_name(0)));
            return NumberedWriter(*store, ledger, kThreads + child).write(scaled(200, 20), Mode::kBoth);
        }));
    CHECK(wait_for(children) == "");
    CHECK(threads.join() == "");
    ClosedCutChecker checker(ledger);
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
}

TEST_CASE("A child goes on when the parent it was forked from is dead", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(store);
    SharedCounters stage(1);  // 0, 1: the parent is dead, 2: all was well with the orphan, 3: it was not
    // The orphan holds the pipe's end too: Child::wait returns when both are gone, with the orphan's text.
    Child parent = Child::start([&]() -> std::string {
        EXPECT_OK(store->append("k", "parent,"));
        const pid_t orphan = ::fork();
        if (orphan == 0) {
            ::alarm(kChildWatchdogSeconds);
            while (stage[0].load() == 0) std::this_thread::yield();
            bool good = true;
            for (int i = 0; i < 1000; ++i) good = good && store->append("k", "orphan,").has_value();
            good = good && Store::attach(place.path()).has_value();
            stage[0].store(good ? 2 : 3);
            ::_exit(0);
        }
        ::raise(SIGKILL);
        return "unreachable";
    });
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(parent.pid()), &info, WEXITED | WNOWAIT) == 0);
    stage[0].store(1);
    (void)parent.wait();
    REQUIRE(stage[0].load() == 2);
    CHECK(store->size("k")->records == 1001);
    REQUIRE_OK(store->append("k", "mine"));
}

TEST_CASE("A child that ends the parent's view leaves the parent's bytes where they are", "[process]") {
    auto opened = Store::in_memory(with_limit(16 * kMiB));
    REQUIRE_OK(opened);
    Store& store = *opened;
    const std::string value(3000, 'A');
    REQUIRE_OK(store.append("k", value));
    std::optional<shoal::Records> records = *store.records("k");
    CHECK(Child::run([&]() -> std::string {
              records.reset();
              return {};
          }) == "");
    REQUIRE_OK(store.erase("k"));
    for (int round = 0; round < 200; ++round) {  // would reuse the block, were it free
        REQUIRE_OK(store.append("x" + std::to_string(round), std::string(3000, 'B')));
        REQUIRE_OK(store.erase("y"));
    }
    CHECK((*records)[0] == shoal::ByteView(value));
}
