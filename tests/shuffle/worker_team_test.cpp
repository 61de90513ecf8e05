// A phase ends with its last worker, or with the first that fails; nobody is left behind.
#include "shuffle/worker_team.hpp"

#include <sys/wait.h>

#include <cerrno>

#include "catch.hpp"

namespace shoal::shuffling::test {
namespace {

Outcome<void> run_team(unsigned workers, const std::function<Outcome<void>(unsigned)>& work) {
    auto interruption = Interruption::guard();
    REQUIRE(interruption.has_value());
    auto desks = SharedArray<Desk>::make(workers);
    REQUIRE(desks.has_value());
    const Phase phase{"mapper", workers, work, [](unsigned) { return std::string("reading f.csv"); }, {}};
    auto result = run_phase(phase, *desks, **interruption);
    REQUIRE(waitpid(-1, nullptr, WNOHANG) == -1);  // no child is left
    REQUIRE(errno == ECHILD);
    return result;
}

[[noreturn]] void wait_for_ever() {
    while (true) pause();
}

}  // namespace

TEST_CASE("a phase whose workers all succeed succeeds, and each ran once") {
    auto runs = SharedArray<std::atomic<unsigned>>::make(3);
    REQUIRE(runs.has_value());
    REQUIRE(run_team(3, [&](unsigned index) -> Outcome<void> {
                (*runs)[index].fetch_add(1);
                return {};
            }).has_value());
    for (const auto& count : *runs) REQUIRE(count.load() == 1);
}

TEST_CASE("a worker's own error is the phase's, and workers that would wait for ever are ended") {
    const auto result = run_team(3, [](unsigned index) -> Outcome<void> {
        if (index == 1) return failure(ShuffleCause::kStore, "no room");
        wait_for_ever();
    });
    REQUIRE(result.error().cause == ShuffleCause::kStore);
    REQUIRE(result.error().message == "no room");
}

TEST_CASE("a worker that is killed, throws or exits is named with what it was doing") {
    const auto killed = run_team(2, [](unsigned index) -> Outcome<void> {
        if (index == 0) raise(SIGKILL);
        wait_for_ever();
    });
    REQUIRE(killed.error().cause == ShuffleCause::kWorker);
    REQUIRE(killed.error().message.find("mapper 0 (pid ") == 0);
    REQUIRE(killed.error().message.find("was killed by signal 9 (Killed) while reading f.csv") !=
            std::string::npos);
    const auto left = run_team(1, [](unsigned) -> Outcome<void> { _exit(7); });
    REQUIRE(left.error().message.find("ended with status 7 while reading f.csv") != std::string::npos);
    const auto thrown = run_team(1, [](unsigned) -> Outcome<void> { throw std::bad_alloc(); });
    REQUIRE(thrown.error().message.find("bad_alloc") != std::string::npos);
}

TEST_CASE("SIGTERM ends a phase, and reaches the caller's handler when the guard goes") {
    static volatile sig_atomic_t seen = 0;
    struct sigaction before {};
    struct sigaction handler {};
    handler.sa_handler = [](int) { seen = 1; };
    sigaction(SIGTERM, &handler, &before);
    const pid_t parent = getpid();
    const auto result = run_team(2, [parent](unsigned index) -> Outcome<void> {
        if (index == 0) kill(parent, SIGTERM);
        wait_for_ever();
    });
    REQUIRE(result.error().cause == ShuffleCause::kInterrupted);
    REQUIRE(seen == 1);
    sigaction(SIGTERM, &before, nullptr);
}

}  // namespace shoal::shuffling::test
