// Processes killed at random while they append: nobody waits for them, nothing acknowledged is lost.
#include <signal.h>

#include <algorithm>
#include <iterator>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "numbered_workload.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

// Waits until all writers together have `more` records more acknowledged: a moment at random, without a clock.
// They may go on for as many again, so that the kill that follows hits writers at work.
void let_them_write(Ledger& ledger, std::uint64_t more) {
    const std::uint64_t enough = ledger.acknowledged_in_all() + more;
    ledger.allow(enough + 1000);
    while (ledger.acknowledged_in_all() < enough) std::this_thread::yield();
}

}  // namespace

TEST_CASE("Writers killed at random take nothing back that was acknowledged, and delay nobody", "[process]") {
    const Mode mode = GENERATE(Mode::kOneAtATime, Mode::kBatches);
    constexpr std::size_t kAlive = 3, kKeys = 3;
    const std::size_t kills = scaled(60, 10);
    TemporaryStore place;
    // Each process is a writer of its own. The last is a survivor that writes throughout.
    Ledger ledger(kills + kAlive + 1, kKeys);
    auto store = Store::open(place.path(), with_limit(512 * kMiB));
    REQUIRE_OK(store);
    const auto start_writer = [&](std::size_t writer) {
        return Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            return NumberedWriter(*own, ledger, writer).write(UINT64_MAX / 2, mode);
        });
    };
    Child survivor = start_writer(kills + kAlive);
    Child reader = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path());
        EXPECT_OK(own);
        ClosedCutChecker checker(ledger);
        return read_until_finished(*own, ledger, checker);
    });
    std::list<Child> alive;
    std::size_t next_writer = 0;
    while (alive.size() < kAlive) alive.push_back(start_writer(next_writer++));
    std::uint64_t random = 1;
    ClosedCutChecker checker(ledger);
    std::string wrong, ended;
    for (std::size_t killed = 0; killed < kills && wrong.empty(); ++killed) {
        let_them_write(ledger, next_random(random) % 1000);
        auto victim = std::next(alive.begin(), static_cast<long>(next_random(random) % alive.size()));
        victim->kill();
        const std::string text = victim->wait();
        if (victim->killed_by() != SIGKILL) ended += text + "\n";
        alive.erase(victim);
        wrong = read_and_check(*store, checker, kKeys, killed);
        alive.push_back(start_writer(next_writer++));
    }
    ledger.finish();
    CHECK(wrong == "");
    CHECK(ended == "");
    for (Child& child : alive) CHECK(child.wait() == "");
    CHECK(survivor.wait() == "");
    CHECK(reader.wait() == "");
    REQUIRE(check_at_rest(*store, ledger, checker) == "");

    // New appends work, from here and from a process that comes late.
    for (std::size_t key = 0; key < kKeys; ++key) REQUIRE_OK(store->append(key_name(key), "late"));
    CHECK(Child::run([&]() -> std::string {
              auto own = Store::attach(place.path());
              EXPECT_OK(own);
              for (std::size_t key = 0; key < kKeys; ++key) {
                  EXPECT_OK(own->append(key_name(key), "later"));
                  const auto value = own->get(key_name(key));
                  EXPECT_OK(value);
                  EXPECT(value->text().substr(value->size() - 9) == "latelater");
                  EXPECT(*own->erase(key_name(key)));
              }
              EXPECT(own->keys()->empty());
              return {};
          }) == "");
}

TEST_CASE("Processes killed while they erase and drop leave a store that works", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(store);
    SharedCounters steps(1);
    std::uint64_t random = 3;
    for (std::size_t round = 0; round < scaled(60, 10); ++round) {
        Child child = Child::start([&]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            for (std::uint64_t i = 0;; ++i) {
                for (int key = 0; key < 5; ++key)
                    EXPECT_OK(own->append("key " + std::to_string(key), std::string(1 + i % 9000, 'x')));
                if (i % 3 == 0) EXPECT_OK(own->drop());
                if (i % 3 != 0) EXPECT_OK(own->erase("key " + std::to_string(i % 5)));
                steps[0].fetch_add(1);
            }
        });
        const std::uint64_t enough = steps[0].load() + 1 + next_random(random) % 100;
        while (steps[0].load() < enough) std::this_thread::yield();
        child.kill();
        const std::string ended = child.wait();
        INFO(ended);
        REQUIRE(child.killed_by() == SIGKILL);
        INFO("after kill " << round);
        REQUIRE_OK(store->append("mine", std::to_string(round)));
        REQUIRE(store->get("mine")->text() == std::to_string(round));
        REQUIRE_OK(store->drop());
        REQUIRE(store->keys()->empty());
    }
    // Kills leak a block each at most: nearly all memory is still there.
    std::uint64_t taken = 0;
    while (store->append("fill", std::string(100'000, 'f'))) taken += 100'000;
    CHECK(taken > 32 * kMiB);
}
