// Locks and fork: a child has locks of its own or none at all, and keeps none of its parent's.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "refusals.hpp"
#include "spill/spilling_store.hpp"
#include "store/attached_child.hpp"
#include "store/child.hpp"
#include "store/result_checks.hpp"
#include "store/scale.hpp"
#include "store/shared_counters.hpp"
#include "store/temporary_store.hpp"
#include "store/threads.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

// Without a pipe, which takes a descriptor: the exit code of a child that runs `body`.
template <class Body>
int exit_code_of(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(kChildWatchdogSeconds);
        ::_exit(body());
    }
    int status = -1;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

template <class T>
bool is_refused(const shoal::Result<T>& result, int cause) {
    return failed_with(result, Code::kSystem) && result.error().system_errno == cause &&
           result.error().message.find("forked") != std::string::npos &&
           result.error().message.find("open the store anew") != std::string::npos;
}

#define EXPECT_REFUSED(expression, cause)                                                              \
    do {                                                                                               \
        auto&& answer = (expression);                                                                  \
        if (!is_refused(answer, cause))                                                                \
            return failure_at(__FILE__, __LINE__, std::string(#expression) + ": " + describe(answer)); \
    } while (false)

std::string each_call_is_refused(Store& store, int cause) {
    const std::vector<shoal::Pair> batch{{"k", "child"}, {"new", "child"}};
    EXPECT_REFUSED(store.append("k", "child"), cause);
    EXPECT_REFUSED(store.append("new", "child"), cause);
    EXPECT_REFUSED(store.append(batch), cause);
    EXPECT_REFUSED(store.iset("new", "child"), cause);
    EXPECT_REFUSED(store.erase("k"), cause);
    EXPECT_REFUSED(store.drop(), cause);
    EXPECT_REFUSED(store.get("k"), cause);
    const std::vector<shoal::ByteView> keys{"k"};
    for (const auto& each : store.get(keys)) EXPECT_REFUSED(each, cause);
    std::array<std::byte, 8> buffer{};
    EXPECT_REFUSED(store.get_into("k", buffer), cause);
    EXPECT_REFUSED(store.view("k"), cause);
    EXPECT_REFUSED(store.records("k"), cause);
    EXPECT_REFUSED(store.size("k"), cause);
    EXPECT_REFUSED(store.contains("k"), cause);
    EXPECT_REFUSED(store.keys(), cause);
    EXPECT_REFUSED(store.stats(), cause);
    EXPECT_REFUSED(store.attached(), cause);
    EXPECT_REFUSED(store.spill(), cause);
    EXPECT_REFUSED(store.sync(), cause);
    EXPECT_REFUSED(store.set_codec("k", {}), cause);
    return {};
}

std::size_t living_slots(const Store& store, pid_t process) {
    const auto all = store.attached();
    std::size_t count = 0;
    for (const shoal::Attached& each : *all) count += each.process_id == process && each.alive;
    return count;
}

}  // namespace

TEST_CASE("A child that can get no locks of its own refuses every call, and takes nothing from its parent",
          "[process]") {
    const SpillingPlace place;
    CHECK(Child::run([&]() -> std::string {
              shoal::Options options = place.options(16 * kMiB);
              options.spill_dir.clear();
              options.temporary = true;
              auto second = Store::in_memory(with_limit(8 * kMiB));
              auto third = Store::open(place.path() + "-spilling", place.options(16 * kMiB));
              auto first = Store::open(place.path(), options);
              EXPECT_OK(first);
              EXPECT_OK(second);
              EXPECT_OK(third);
              const std::string value(200'000, 'A');
              for (Store* store : {&*first, &*second, &*third}) EXPECT_OK(store->append("k", value));
              std::optional<shoal::Records> records = *first->records("k");
              EXPECT_OK(first->erase("k"));
              EXPECT(refuse_opening(EACCES));
              const pid_t parent = ::getpid();
              const std::size_t slots = living_slots(*first, parent);
              const std::string wrong = Child::run([&]() -> std::string {
                  std::string refused = each_call_is_refused(*third, EACCES);
                  if (!refused.empty()) return refused;
                  EXPECT_REFUSED(first->append("x", value), EACCES);
                  EXPECT_REFUSED(second->append("x", value), EACCES);
                  // So does its own child.
                  const std::string inner = Child::run([&] { return each_call_is_refused(*third, EACCES); });
                  EXPECT(inner == "");
                  EXPECT((*records)[0] == shoal::ByteView(value));
                  records.reset();
                  for (auto* store : {&first, &second, &third}) *store = tl::unexpected(shoal::Error{});
                  return {};
              });
              EXPECT(wrong == "");
              EXPECT(living_slots(*first, parent) == slots);
              for (int round = 0; round < 200; ++round) EXPECT_OK(first->append("x", std::string(3'000, 'B')));
              EXPECT((*records)[0] == shoal::ByteView(value));
              EXPECT(second->get("k")->text() == value);
              EXPECT(third->get("k")->text() == value);
              return {};
          }) == "");
    REQUIRE_CODE(Store::attach(place.path()), Code::kNotFound);  // its owner removed it, and not the child
    REQUIRE_OK(Store::destroy(place.path() + "-spilling"));
}

TEST_CASE("A process at its limit of descriptors forks a hundred children that use the store", "[process]") {
    TemporaryStore place;
    const bool in_memory = GENERATE(false, true);
    CHECK(Child::run([&]() -> std::string {
              auto store = in_memory ? Store::in_memory(with_limit(16 * kMiB))
                                     : Store::open(place.path(), with_limit(16 * kMiB));
              EXPECT_OK(store);
              EXPECT_OK(store->append("k", "p"));
              EXPECT(use_up_descriptors());
              const pid_t parent = ::getpid();
              for (int child = 0; child < 100; ++child) {
                  const int code = exit_code_of([&] {
                      if (!store->append("k", "c")) return 1;
                      if (living_slots(*store, parent) != 1) return 2;
                      // A child of a child too.
                      return child % 10 != 0 ? 0 : exit_code_of([&] { return store->append("k", "g") ? 0 : 3; });
                  });
                  EXPECT(code == 0);
                  EXPECT_OK(store->append("k", "p"));
              }
              EXPECT(store->size("k")->records == 211);
              EXPECT(living_slots(*store, parent) == 1);
              return {};
          }) == "");
}

TEST_CASE("A child at the limit of descriptors whose parent has ended refuses calls, or has the store",
          "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    SharedCounters outcome(2);
    for (int round = 0; round < 30; ++round) {
        outcome[0] = 0;
        CHECK(exit_code_of([&] {
                  auto own = Store::attach(place.path());
                  if (!own || !own->append("k", "p") || !use_up_descriptors()) return 1;
                  if (::fork() != 0) return 0;  // the child of this one may find it dead
                  ::alarm(kChildWatchdogSeconds);
                  const auto appended = own->append("k", "c");
                  const bool refused = failed_with(appended, Code::kSystem);
                  outcome[1] += appended.has_value();
                  outcome[0] = appended.has_value() || refused ? 1 : 2;
                  ::_exit(0);
              }) == 0);
        while (outcome[0] == 0) std::this_thread::yield();
        CHECK(outcome[0] == 1);
    }
    CHECK(store->size("k")->records == 30 + outcome[1]);
}

namespace {

std::atomic<int> sync_stage{0};  // 1: inside of a sync, 2: another thread has forked

shoal::Options with_a_fork_inside(shoal::Options options) {
    sync_stage = 0;
    options.wait_hooks.begin = [] {
        int outside = 0;
        if (!sync_stage.compare_exchange_strong(outside, 1)) return;
        while (sync_stage != 2) std::this_thread::yield();
    };
    options.wait_hooks.end = [] {};
    return options;
}

}  // namespace

TEST_CASE("A fork while another thread syncs leaves the next sync free, though the child lives on", "[process]") {
    const SpillingPlace place;
    SharedCounters done(1);
    shoal::Options options = place.options(16 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), with_a_fork_inside(options));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "v"));
    Threads threads;
    threads.start([&]() -> std::string {
        EXPECT_OK(store->sync());
        return {};
    });
    while (sync_stage != 1) std::this_thread::yield();
    Child child = Child::start([&]() -> std::string {
        while (done[0] == 0) std::this_thread::yield();
        return {};
    });
    sync_stage = 2;
    CHECK(threads.join() == "");
    REQUIRE_OK(store->append("k", "v"));
    REQUIRE_OK(store->sync());
    auto other = Store::attach(place.path());
    REQUIRE_OK(other);
    REQUIRE_OK(other->sync());
    done[0] = 1;
    CHECK(child.wait() == "");
}

TEST_CASE("A sync whose process is killed leaves the next sync free, though its child lives on", "[process]") {
    const SpillingPlace place;
    SharedCounters done(2);
    shoal::Options options = place.options(16 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "v"));
    const pid_t syncer = ::fork();
    if (syncer == 0) {
        static SharedCounters* shared = &done;
        shoal::Options own = options;
        own.wait_hooks.begin = [] {  // inside of the sync, by its own thread
            if (::fork() == 0) {
                ::alarm(kChildWatchdogSeconds);
                (*shared)[0] = 1;
                while ((*shared)[1] == 0) std::this_thread::yield();
                ::_exit(0);
            }
            while ((*shared)[0] == 0) std::this_thread::yield();
            ::raise(SIGKILL);
        };
        own.wait_hooks.end = [] {};
        auto attached = Store::attach(place.path(), own);
        if (attached) (void)attached->sync();
        ::_exit(1);
    }
    int status = 0;
    REQUIRE(::waitpid(syncer, &status, 0) == syncer);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE_OK(store->sync());
    CHECK(living_slots(*store, syncer) == 0);
    done[1] = 1;
}

TEST_CASE("Processes fork while their threads append and sync; every child works, and no record is lost",
          "[process]") {
    // LLVM 14's allocator hangs in a child whose parent's other threads were allocating.
    if (kAddressSanitizer) SHOAL_SKIP("AddressSanitizer: a fork beside threads that allocate");
    const SpillingPlace place;
    constexpr std::uint64_t kThreads = 2;
    constexpr std::uint64_t kChildren = 40;
    SharedCounters appended(2);  // by threads, by children
    std::atomic<bool> stop{false};
    auto store = Store::open(place.path(), place.options(16 * kMiB));
    REQUIRE_OK(store);
    Threads threads;
    for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
        threads.start([&]() -> std::string {
            while (!stop) {
                EXPECT_OK(store->append("threads", std::string(500, 't')));
                appended[0] += 1;
            }
            return {};
        });
    }
    threads.start([&]() -> std::string {
        while (!stop) EXPECT_OK(store->sync());
        return {};
    });
    std::vector<Child> children;
    for (std::uint64_t child = 0; child < kChildren; ++child) {
        children.push_back(Child::start([&, child]() -> std::string {
            for (int record = 0; record < 50; ++record) {
                EXPECT_OK(store->append("children", std::string(500, 'c')));
                appended[1] += 1;
                if (record == 25 && child % 4 == 1) ::raise(SIGKILL);
                if (record == 25 && child % 4 == 2) EXPECT_OK(store->sync());
                if (record == 25 && child % 8 == 3) {
                    EXPECT(Child::run([&]() -> std::string {
                               EXPECT_OK(store->append("children", std::string(500, 'c')));
                               appended[1] += 1;
                               return {};
                           }) == "");
                }
            }
            return {};
        }));
        if (child % 4 == 3) {
            for (Child& each : children) {
                const std::string failure = each.wait();
                CHECK((failure.empty() || each.killed_by() == SIGKILL));
            }
            children.clear();
        }
    }
    stop = true;
    CHECK(threads.join() == "");
    REQUIRE_OK(store->sync());
    CHECK(store->size("threads")->records == appended[0]);
    CHECK(store->size("children")->records == appended[1]);
    CHECK((store->get("children")->text() == std::string(500 * appended[1], 'c')));
    const auto attached = store->attached();
    REQUIRE_OK(attached);
    for (const shoal::Attached& each : *attached) CHECK(each.process_id == ::getpid());
}

TEST_CASE("A lock that the kernel refuses to end ends the process, and no other waits for it", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    Child child = start_attached(place.path(), []() -> std::string {
        EXPECT(refuse_locks(ENOLCK));
        return {};
    });
    (void)child.wait();
    CHECK(child.killed_by() == SIGABRT);
    REQUIRE_OK(store->append("k", "v"));
    CHECK(store->attached()->size() == 1);
}
