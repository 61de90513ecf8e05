// Corners of a process's life with a store: fork, exec, ends of threads, static destructors, two Stores of one
// path.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "spill/spilling_store.hpp"
#include "store/child.hpp"
#include "store/result_checks.hpp"
#include "store/temporary_store.hpp"

extern char** environ;

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

// Runs the program on that store; its exit code, and in `farewell` what it and its destructors have appended.
int run_program(const char* deed, Store& store, std::string& farewell) {
    REQUIRE_OK(store.append("farewell", ""));
    const std::string path = store.stats()->path;
    const char* words[] = {LIFECYCLE_PROGRAM, deed, path.c_str(), nullptr};
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, words[0], nullptr, nullptr, const_cast<char* const*>(words), environ) == 0);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    farewell = store.get("farewell")->str();
    REQUIRE_OK(store.append("k", "x"));
    const auto attached = store.attached();
    REQUIRE_OK(attached);
    for (const shoal::Attached& each : *attached) CHECK((each.process_id == ::getpid() || !each.alive));
    return status;
}
int run_program(const char* deed, std::string& farewell) {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    return run_program(deed, *store, farewell);
}

}  // namespace

TEST_CASE("Stores are used in static and thread_local destructors", "[process]") {
    std::string farewell;
    CHECK(run_program("static_destructors", farewell) == 0);
    CHECK(farewell == "thread,main thread,static,");
}

TEST_CASE("Stores are used in static and thread_local destructors while their spillers are at work", "[process]") {
    const SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::string farewell;
    CHECK(run_program("spills", *store, farewell) == 0);
    CHECK(farewell == "static,");
    CHECK(store->size("flood")->records == 16'000);
    CHECK((store->get("flood")->text() == std::string(64'000'000, 'f')));
    CHECK(store->stats()->spilled_bytes > 48'000'000);
}

TEST_CASE("A thread may end by pthread_exit, and the process while a detached one lives", "[process]") {
    std::string farewell;
    CHECK(run_program("ends_of_threads", farewell) == 0);
    CHECK(farewell == "pthread_exit,detached,");
}

TEST_CASE("system, posix_spawn and vfork start programs that have nothing of the store", "[process]") {
    std::string farewell;
    CHECK(run_program("starts_others", farewell) == 0);
    CHECK(farewell == "before,after,");
}

TEST_CASE("After exec the old slots are dead at once, and the record is there", "[process]") {
    std::string farewell;
    CHECK(run_program("execs", farewell) == 0);
    CHECK(farewell == "exec,after exec,");
}

TEST_CASE("Two Stores of one path in one process stand beside each other; closing one leaves the other") {
    TemporaryStore place;
    std::optional<Store> first = *Store::open(place.path(), with_limit(16 * kMiB));
    auto second = Store::attach(place.path());
    REQUIRE_OK(second);
    REQUIRE_OK(first->append("k", "first,"));
    REQUIRE_OK(second->append("k", "second,"));
    CHECK(second->attached()->size() == 2);
    first.reset();
    const auto left = second->attached();
    REQUIRE_OK(left);
    REQUIRE(left->size() == 1);
    CHECK((*left)[0].alive);
    REQUIRE_OK(second->append("k", "still"));
    CHECK(second->get("k")->text() == "first,second,still");
}

TEST_CASE("A Store may be moved to another thread and closed there") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "here,"));
    std::thread([moved = std::move(*store)]() mutable {
        (void)moved.append("k", "there");
        const Store closed = std::move(moved);
    }).join();
    auto again = Store::attach(place.path());
    CHECK(again->get("k")->text() == "here,there");
    CHECK(again->attached()->size() == 1);
}

TEST_CASE("A child that ends by _exit without a look at the store takes nothing with it", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "x"));
    for (int i = 0; i < 10; ++i) REQUIRE(Child::run([] { return std::string(); }) == "");
    const auto attached = store->attached();
    REQUIRE(attached->size() == 1);
    CHECK((*attached)[0].alive);
    CHECK(store->get("k")->text() == "x");
}

TEST_CASE("A child of a child uses the Store that its grandparent opened, beside both", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "parent,"));
    CHECK(Child::run([&]() -> std::string {
              EXPECT_OK(store->append("k", "child,"));
              const std::string inner = Child::run([&]() -> std::string {
                  EXPECT_OK(store->append("k", "grandchild,"));
                  EXPECT(store->attached()->size() == 3);
                  return {};
              });
              EXPECT_OK(store->append("k", "child,"));
              return inner;
          }) == "");
    REQUIRE_OK(store->append("k", "parent"));
    CHECK(store->get("k")->text() == "parent,child,grandchild,child,parent");
}
