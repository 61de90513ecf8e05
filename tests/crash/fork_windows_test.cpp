// The windows of a fork: the parent dies when its child's descriptor is open, the child before it has its own; and
// a fork in the midst of what holds a lock of an arena.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>

#include "../store/child.hpp"
#include "../store/result_checks.hpp"
#include "../store/shared_counters.hpp"
#include "../store/temporary_store.hpp"
#include "arena/crash_point.hpp"
#include "catch.hpp"
#include "windows.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::CrashPoint;
using shoal::Store;

namespace {

shoal::Options temporary() {
    shoal::Options options = with_limit(16 * kMiB);
    options.temporary = true;
    return options;
}

std::size_t alive(const Store& store) {
    const auto attached = store.attached();
    std::size_t count = 0;
    for (const shoal::Attached& each : *attached) count += each.alive;
    return count;
}

}  // namespace

std::set<CrashPoint> shoal_test::points_in_forks() { return {CrashPoint::kForkPrepared, CrashPoint::kForkedChild}; }

TEST_CASE("A process that dies in a fork, as parent or as child, leaves no slot and no presence", "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kForkPrepared, CrashPoint::kForkedChild);
    INFO(shoal::crash::name(point));
    const TemporaryStore place;
    Child child = Child::start([&]() -> std::string {
        auto store = Store::open(place.path(), temporary());
        EXPECT_OK(store);
        EXPECT_OK(store->append("k", "v"));
        shoal::crash::at(point, 1, shoal::crash::kill_here);
        const pid_t forked = ::fork();
        EXPECT(forked > 0);
        int status = 0;
        EXPECT(::waitpid(forked, &status, 0) == forked && WIFSIGNALED(status));
        EXPECT(alive(*store) == 1);
        EXPECT_OK(store->append("k", "v"));
        return {};
    });
    const std::string ended = child.wait();
    if (point == CrashPoint::kForkPrepared) {
        CHECK(child.killed_by() == SIGKILL);
    } else {
        CHECK(ended == "");
    }
    REQUIRE_CODE(Store::attach(place.path()), Code::kNotFound);  // it has ended
}

TEST_CASE("A temporary store whose owner forks and ends at once is its child's", "[process]") {
    const TemporaryStore place;
    CHECK(Child::run([&]() -> std::string {
              std::optional<Store> store = *Store::open(place.path(), temporary());
              EXPECT_OK(store->append("k", "parent,"));
              shoal::crash::at(CrashPoint::kForkedChild, 1, shoal::crash::stop_here);
              const pid_t forked = ::fork();
              if (forked == 0) ::_exit(store->append("k", "child") ? 0 : 1);
              struct AtEnd {  // it may be stopped still
                  pid_t forked;
                  ~AtEnd() { ::kill(forked, SIGKILL); }
              } const at_end{forked};
              int status = 0;
              EXPECT(::waitpid(forked, &status, WUNTRACED) == forked && WIFSTOPPED(status));
              store.reset();
              {
                  auto other = Store::attach(place.path());
                  EXPECT_OK(other);
                  ::kill(forked, SIGCONT);
                  EXPECT(::waitpid(forked, &status, 0) == forked && WIFEXITED(status) && WEXITSTATUS(status) == 0);
                  EXPECT(other->get("k")->text() == "parent,child");
              }
              EXPECT_CODE(Store::attach(place.path()), Code::kNotFound);
              return {};
          }) == "");
}

TEST_CASE("A fork in the midst of an attach, a repair or a creation leaves no lock with the child", "[process]") {
    const TemporaryStore place;
    SharedCounters done(1);
    const auto fork_one_that_stays = [&] {
        if (::fork() != 0) return;
        ::alarm(kChildWatchdogSeconds);
        while (done[0] == 0) std::this_thread::yield();
        ::_exit(0);
    };
    struct AtEnd {  // of the body: those that stay hold the pipe by which it says what failed
        SharedCounters& done;
        ~AtEnd() { done[0] = 1; }
    };
    CHECK(Child::run([&]() -> std::string {
              const AtEnd at_end{done};
              const auto at_each = [&](CrashPoint point, std::uint32_t passing) {
                  shoal::crash::at(point, passing, fork_one_that_stays);
              };
              at_each(CrashPoint::kCreatorPresent, 1);
              { EXPECT_OK(Store::open(place.path(), with_limit(16 * kMiB))); }
              at_each(CrashPoint::kPresenceAnnounced, 1);
              { EXPECT_OK(Store::attach(place.path())); }
              // Of the store itself, of what the repair tidies by, when its byte is locked.
              for (const std::uint32_t passing : {1U, 2U}) {
                  at_each(CrashPoint::kPresenceAnnounced, passing);
                  const auto repaired = Store::verify(place.path(), {true});
                  EXPECT_OK(repaired);
                  EXPECT(repaired->not_repaired == "");
              }
              const auto last = Store::verify(place.path(), {true});
              EXPECT_OK(last);
              EXPECT(last->not_repaired == "");  // nobody has it open, nor repairs it
              return {};
          }) == "");
}
