// Who is attached and what each is doing; and a store that is full because somebody stands still, which is named.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "attached_child.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "turnover.hpp"

using shoal::Attached;
using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

std::vector<Attached> attached_of(const Store& store, pid_t process) {
    auto all = store.attached();
    REQUIRE_OK(all);
    std::erase_if(*all, [&](const Attached& each) { return each.process_id != process; });
    return *all;
}

// A child with a view of "k" (and so inside an epoch), which ends when it is told to.
class Reader {
public:
    explicit Reader(const std::string& path)
        : child_(Child::start([this, path]() -> std::string {
              auto store = Store::attach(path);
              EXPECT_OK(store);
              auto view = store->view("k");
              EXPECT_OK(view);
              stage_[0].store(1);
              while (stage_[0].load() == 1) ::usleep(1000);
              EXPECT(view->spans()[0] == shoal::ByteView("seen"));
              *view = shoal::View();
              EXPECT_OK(store->append("k2", "x"));
              stage_[0].store(3);
              while (stage_[0].load() == 3) ::usleep(1000);
              return {};
          })) {
        while (stage_[0].load() == 0) std::this_thread::yield();
    }

    pid_t pid() const { return child_.pid(); }
    void stop() {
        child_.kill(SIGSTOP);
        siginfo_t info{};
        REQUIRE(::waitid(P_PID, static_cast<id_t>(child_.pid()), &info, WSTOPPED | WNOWAIT) == 0);
    }
    void go_on_and_let_go() {
        stage_[0].store(2);
        child_.kill(SIGCONT);
        while (stage_[0].load() < 3) std::this_thread::yield();
    }
    std::string end() {
        stage_[0].store(4);
        return child_.wait();
    }
    void kill() {
        child_.kill();
        (void)child_.wait();
    }

private:
    SharedCounters stage_{1};
    Child child_;
};

}  // namespace

TEST_CASE("Who is attached is shown with its ids and command, and what it does", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    CHECK(store->attached()->empty());  // opening is not using
    REQUIRE_OK(store->append("k", "seen"));
    auto mine = attached_of(*store, ::getpid());
    REQUIRE(mine.size() == 1);
    CHECK(mine[0].alive);
    CHECK_FALSE(mine[0].inside);
    CHECK(mine[0].doing == "idle");
    CHECK(mine[0].thread_id == ::gettid());
    CHECK(mine[0].same_namespace);
    CHECK(mine[0].command.rfind("store_", 0) == 0);
    CHECK(mine[0].epochs_behind == 0);

    Reader reader(place.path());
    auto theirs = attached_of(*store, reader.pid());
    REQUIRE_FALSE(theirs.empty());
    const auto views =
        std::find_if(theirs.begin(), theirs.end(), [](const Attached& each) { return each.is_views; });
    REQUIRE(views != theirs.end());
    CHECK(views->alive);
    CHECK(views->inside);
    CHECK(views->doing == "views");
    CHECK(views->thread_id == 0);
    reader.kill();
    theirs = attached_of(*store, reader.pid());
    for (const Attached& each : theirs) CHECK_FALSE(each.alive);  // unless somebody has recovered it already
}

TEST_CASE("A thread that ends is attached no more, and one that stays is", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    for (int round = 0; round < 5; ++round) {
        std::thread([&] { (void)store->append("k", "x"); }).join();
        CHECK(store->attached()->empty());
    }
}

TEST_CASE("The dead are shown as dead, by their lock", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    Child child = start_attached(place.path(), []() -> std::string {
        ::raise(SIGKILL);
        return {};
    });
    const pid_t pid = child.pid();
    (void)child.wait();
    REQUIRE(child.killed_by() == SIGKILL);
    const auto dead = attached_of(*store, pid);
    REQUIRE(dead.size() == 1);
    CHECK_FALSE(dead[0].alive);
    CHECK(dead[0].command.empty());
}

TEST_CASE("A stopped reader delays nobody until memory is short; then the error names it, and all goes on with it",
          "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "seen"));
    Reader reader(place.path());
    reader.stop();
    CHECK(store->stats()->held_back_by.empty());  // nothing waits for it yet
    const shoal::Error full = turn_over_until_full(*store);
    REQUIRE(full.code == Code::kMemoryLimit);
    INFO(full.message);
    CHECK(full.message.find("process " + std::to_string(reader.pid())) != std::string::npos);
    CHECK(full.message.find("views") != std::string::npos);
    CHECK(full.message.find('\n') == std::string::npos);
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    REQUIRE(stats->held_back_by.size() == 1);
    CHECK(stats->held_back_by[0].process_id == reader.pid());
    CHECK(stats->held_back_by[0].epochs_behind > 0);
    CHECK(stats->held_back_by[0].alive);
    CHECK(stats->retired_objects > 0);
    CHECK(store->get("k")->text() == "seen");  // reading takes no memory

    reader.go_on_and_let_go();
    CHECK(turn_over_until_full(*store).message == "");
    CHECK(store->stats()->held_back_by.empty());
    CHECK(reader.end() == "");
}

TEST_CASE("A killed reader is named by no error: what it held back comes back", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "seen"));
    Reader reader(place.path());
    reader.stop();
    REQUIRE(turn_over_until_full(*store).code == Code::kMemoryLimit);
    reader.kill();
    CHECK(turn_over_until_full(*store).message == "");
}

TEST_CASE("A full store names nobody when nobody holds memory back") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    const auto large = store->append("k", std::string(9'000'000, 'x'));
    REQUIRE_CODE(large, Code::kMemoryLimit);
    CHECK(large.error().message.find("process") == std::string::npos);
}
