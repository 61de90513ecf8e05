// A program that closes all descriptors, the store's too, as daemons do, and gets their numbers for files of its
// own.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "spill/spilling_store.hpp"
#include "store/child.hpp"
#include "store/pattern.hpp"
#include "store/result_checks.hpp"
#include "store/shared_counters.hpp"
#include "store/temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

const std::string kVictimBytes(300'000, 'v');

// Closes all from 3 on, and has the numbers for one file each of them, whose path is `victim`.
bool become_daemon(const std::string& victim) {
    if (::syscall(SYS_close_range, 3U, ~0U, 0U) != 0) return false;
    for (int number = 3; number < 40; ++number) {
        if (::open(victim.c_str(), O_RDWR) != number) return false;
    }
    return true;
}
bool has_its_numbers() {
    for (int number = 3; number < 40; ++number) {
        if (::fcntl(number, F_GETFD) < 0) return false;
    }
    return true;
}

// Runs `body` in a child, whose failures come by a file, since its pipes are closed.
template <class Body>
std::string run_daemon(const TemporaryDirectory& directory, Body&& body) {
    const std::string report = directory / "report";
    const std::string victim = directory / "victim";
    std::ofstream(victim) << kVictimBytes;
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(kChildWatchdogSeconds);
        const std::string failure = body(victim);
        std::ofstream(report) << failure;
        ::_exit(failure.empty() ? 0 : 1);
    }
    int status = -1;
    if (::waitpid(child, &status, 0) != child) return "cannot wait";
    std::ifstream said(report);
    std::string text{std::istreambuf_iterator<char>(said), {}};
    std::ifstream file(victim);
    if (std::string(std::istreambuf_iterator<char>(file), {}) != kVictimBytes) text += " the file was written to";
    if (!WIFEXITED(status)) text += " killed by " + std::to_string(status);
    return text;
}

template <class T>
bool says_closed(const shoal::Result<T>& result) {
    return failed_with(result, Code::kSystem) &&
           result.error().message.find("closed the descriptor") != std::string::npos;
}

}  // namespace

TEST_CASE("Who closes the arena's descriptor keeps its slots, and is told; no other file is written to",
          "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(32 * kMiB));
    REQUIRE_OK(store);
    SharedCounters stage(2);
    std::thread other([&] {
        while (stage[0] == 0) std::this_thread::yield();
        const auto again = Store::attach(place.path());  // recovers the dead
        const auto all = again ? again->attached() : tl::unexpected(again.error());
        for (const shoal::Attached& each : all.value_or(std::vector<shoal::Attached>())) {
            stage[1] += each.process_id == static_cast<pid_t>(stage[0].load()) && each.alive;
        }
        stage[0] = 0;
    });
    const std::string failure = run_daemon(place.directory(), [&](const std::string& victim) -> std::string {
        {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            EXPECT_OK(own->append("k", "before,"));
            const auto records = own->records("k");
            EXPECT_OK(records);
            EXPECT(become_daemon(victim));
            stage[0] = static_cast<std::uint64_t>(::getpid());
            while (stage[0] != 0) std::this_thread::yield();
            EXPECT_OK(own->append("k", "after"));
            EXPECT((*records)[0].text() == "before,");
            EXPECT(own->get("k")->text() == "before,after");
            // Pages cannot be made real, nor slots be taken.
            EXPECT(says_closed(own->append("large", std::string(20'000'000, 'l'))));
            std::string wrong;
            std::thread([&] {
                if (const auto got = own->get("k"); !says_closed(got)) wrong = describe(got);
            }).join();
            EXPECT(wrong == "");
            EXPECT(says_closed(own->attached()));
        }
        EXPECT(has_its_numbers());  // the store's end has not closed what is not its own
        auto anew = Store::attach(place.path());
        EXPECT_OK(anew);
        EXPECT_OK(anew->append("large", std::string(3'000'000, 'l')));
        return {};
    });
    CHECK(failure == "");
    if (stage[0] == 0 && !failure.empty()) stage[0] = 1;
    other.join();
    CHECK(stage[1] == 2);  // the thread's, and that of the views
    CHECK(store->get("k")->text() == "before,after");
    CHECK(store->size("large")->bytes == 3'000'000);
    CHECK(store->attached()->size() == 1);
}

TEST_CASE("Who closes spill files and rings reads them by others, and writes into no other file", "[process]") {
    const SpillingPlace place;
    const TemporaryDirectory directory;
    shoal::Options options = place.options(16 * kMiB);
    options.page_cache = GENERATE(false, true);
    REQUIRE_OK(Store::open(place.path(), options));
    CHECK(run_daemon(directory, [&](const std::string& victim) -> std::string {
              {
                  auto own = Store::attach(place.path());
                  EXPECT_OK(own);
                  for (int record = 0; record < 40; ++record) EXPECT_OK(own->append("cold", pattern(1'000'000, 1)));
                  EXPECT(own->get("cold")->size() == 40'000'000);  // its readers' rings and files are open now
                  EXPECT(become_daemon(victim));
                  for (int record = 0; record < 40; ++record) {
                      const auto appended = own->append("more", pattern(1'000'000, 2));
                      if (!appended) EXPECT(says_closed(appended));
                  }
                  const auto value = own->get("cold");
                  EXPECT_OK(value);
                  EXPECT(value->size() == 40'000'000);
                  for (std::size_t at = 0; at < value->size(); at += 1'000'000) {
                      EXPECT(value->text().substr(at, 1'000'000) == pattern(1'000'000, 1));
                  }
                  (void)own->spill();
                  (void)own->sync();
              }
              EXPECT(has_its_numbers());
              return {};
          }) == "");
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    CHECK(store->size("cold")->bytes == 40'000'000);
    REQUIRE_OK(store->append("more", pattern(1'000'000, 2)));
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->sound());
}
