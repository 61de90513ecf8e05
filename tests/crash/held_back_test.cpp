// A process that is stopped inside an operation keeps what others erase from reuse: the process that needs the
// memory learns which one it is, and does not wait for it each time. When it goes on, its record is there and the
// memory comes back. One that is stopped while it frees memory keeps what is in its hand, and no more.
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "../refused_calls.hpp"
#include "../store/threads.hpp"
#include "../store/turnover.hpp"
#include "catch.hpp"
#include "scene.hpp"

using shoal::Attached;
using shoal::Code;
using shoal::CrashPoint;
using shoal::Store;
using namespace shoal_test;

namespace {

std::atomic<int> waits{0};  // begun by this process's calls

// A Store whose waits are counted.
shoal::Options counting() {
    waits = 0;
    shoal::Options options = without_spill_thread();
    options.wait_hooks = {[] { ++waits; }, [] {}};
    return options;
}

// Comes to `point` in the freeing of small values, or of one with so many bytes.
Child start_freeing(const std::string& path, CrashPoint point, std::size_t large_bytes = 0) {
    return Child::start([=]() -> std::string {
        auto own = Store::attach(path, without_spill_thread());
        EXPECT_OK(own);
        if (large_bytes != 0) {
            EXPECT_OK(own->append("large", std::string(large_bytes, 'l')));
            EXPECT_OK(own->erase("large"));
        }
        for (int number = 0; large_bytes == 0 && number < 63; ++number) {
            const std::string key = "small " + std::to_string(number);
            EXPECT_OK(own->append(key, "value"));
            EXPECT_OK(own->erase(key));
        }
        shoal::crash::at(point, 1, shoal::crash::stop_here);
        for (int turn = 0; turn < 4; ++turn) EXPECT_OK(own->stats());  // frees what is retired
        return {};
    });
}

}  // namespace

TEST_CASE("A process stopped inside an append is named by the error of a full store, until it goes on",
          "[process]") {
    // In an append that has not come to its claim yet, `stat` cannot tell what it will be.
    const auto [point, doing] = GENERATE(table<CrashPoint, std::string>({{CrashPoint::kEpochEntered, "reading"},
                                                                         {CrashPoint::kClaimAdded, "appending"},
                                                                         {CrashPoint::kClaimSaid, "appending"},
                                                                         {CrashPoint::kClaimCopied, "appending"}}));
    INFO(shoal::crash::name(point));
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "before,"));
    SharedCounters stage(1);  // 1: its append has returned; 2: it may end
    Child writer = Child::start([&, at = point]() -> std::string {
        auto own = Store::attach(place.path());
        EXPECT_OK(own);
        shoal::crash::at(at, 1, shoal::crash::stop_here);
        EXPECT_OK(own->append("k", "stopped,"));
        stage[0].store(1);
        while (stage[0].load() == 1) std::this_thread::yield();
        return {};
    });
    REQUIRE(has_stopped(writer));
    CHECK(store->stats()->held_back_by.empty());  // nothing waits for it yet
    const shoal::Error full = turn_over_until_full(*store);
    REQUIRE(full.code == Code::kMemoryLimit);
    INFO(full.message);
    CHECK(full.message.find("process " + std::to_string(writer.pid()) + " (thread ") != std::string::npos);
    CHECK(full.message.find("inside an operation") != std::string::npos);
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    REQUIRE(stats->held_back_by.size() == 1);
    CHECK(stats->held_back_by[0].process_id == writer.pid());
    CHECK(stats->held_back_by[0].doing == doing);
    CHECK(stats->held_back_by[0].epochs_behind > 0);
    const auto attached = store->attached();
    REQUIRE_OK(attached);
    const auto shown = std::find_if(attached->begin(), attached->end(), [&](const Attached& each) {
        return each.process_id == writer.pid() && each.inside;
    });
    REQUIRE(shown != attached->end());
    CHECK(shown->alive);
    CHECK(shown->doing == doing);
    CHECK(store->get("k")->text() == "before,");

    writer.kill(SIGCONT);
    while (stage[0].load() == 0) std::this_thread::yield();
    CHECK(store->get("k")->text() == "before,stopped,");
    CHECK(turn_over_until_full(*store).message == "");
    CHECK(store->stats()->held_back_by.empty());
    stage[0].store(2);
    CHECK(writer.wait() == "");
}

TEST_CASE("Appends do not wait again for a process that is stopped where it was, and then go on with it",
          "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    auto counted = Store::attach(place.path(), counting());
    REQUIRE_OK(counted);
    REQUIRE_OK(counted->append("k", "before,"));
    Child reader = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path());
        EXPECT_OK(own);
        shoal::crash::at(CrashPoint::kEpochEntered, 1, shoal::crash::stop_here);
        EXPECT_OK(own->get("k"));
        return {};
    });
    REQUIRE(has_stopped(reader));
    REQUIRE(turn_over_until_full(*counted).code == Code::kMemoryLimit);
    CHECK(waits >= 20);  // some milliseconds each, a second in all
    for (int turn = 0; turn < 3; ++turn) {
        waits = 0;
        const auto again = counted->append("k", std::string(100'000, 'x'));
        REQUIRE_CODE(again, Code::kMemoryLimit);
        CHECK(waits <= 3);
        CHECK(again.error().message.find("process " + std::to_string(reader.pid())) != std::string::npos);
        CHECK(again.error().message.find("stopped") != std::string::npos);
    }
    const auto shown = counted->attached();
    REQUIRE_OK(shown);
    CHECK(std::any_of(shown->begin(), shown->end(), [&](const Attached& each) {
        return each.process_id == reader.pid() && each.stopped && each.epochs_behind > 0;
    }));
    reader.kill(SIGCONT);
    CHECK(reader.wait() == "");
    CHECK(turn_over_until_full(*counted).message == "");
}

TEST_CASE("A process stopped while it frees erased memory does not keep others' from reuse", "[process]") {
    const CrashPoint point =
        GENERATE(CrashPoint::kObjectTaken, CrashPoint::kObjectEmptied, CrashPoint::kObjectForgotten,
                 CrashPoint::kListDrained, CrashPoint::kEpochMoved);
    INFO(shoal::crash::name(point));
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    Child freeing = start_freeing(place.path(), point);
    REQUIRE(has_stopped(freeing));
    CHECK(turn_over_until_full(*store).message == "");
    freeing.kill(SIGCONT);
    CHECK(freeing.wait() == "");
    CHECK(turn_over_until_full(*store).message == "");
    CHECK(Store::verify(place.path())->sound());
}

TEST_CASE("A process stopped while it takes what it is to free is named, and does not take it twice", "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kObjectNamed, CrashPoint::kObjectClaimed,
                                      CrashPoint::kObjectOwned, CrashPoint::kHeadMoved);
    const bool dies = GENERATE(false, true);
    INFO(shoal::crash::name(point));
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    const std::uint64_t empty = store->stats()->used_bytes;
    Child freeing = start_freeing(place.path(), point);
    REQUIRE(has_stopped(freeing));
    const shoal::Error full = turn_over_until_full(*store);
    REQUIRE(full.code == Code::kMemoryLimit);
    INFO(full.message);
    CHECK(full.message.find("process " + std::to_string(freeing.pid()) + " (thread ") != std::string::npos);
    CHECK(full.message.find("reclaiming") != std::string::npos);
    freeing.kill(dies ? SIGKILL : SIGCONT);
    CHECK((freeing.wait() == "") == !dies);
    CHECK(turn_over_until_full(*store).message == "");
    REQUIRE_OK(store->erase("turned over"));
    CHECK(store->stats()->used_bytes < empty + 4 * 65'536);  // some pages of blocks stay a thread's
    store.emplace(*Store::attach(place.path()));
    CHECK(Store::verify(place.path())->sound());
}

TEST_CASE("What a stopped process has in its hand to free is named where it is missing", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    Child freeing = start_freeing(place.path(), CrashPoint::kObjectTaken, 9 * kMiB);
    REQUIRE(has_stopped(freeing));
    const auto refused = store->append("k", std::string(9 * kMiB, 'x'));
    REQUIRE_CODE(refused, Code::kMemoryLimit);
    INFO(refused.error().message);
    CHECK(refused.error().message.find("process " + std::to_string(freeing.pid())) != std::string::npos);
    CHECK(refused.error().message.find("in its hand") != std::string::npos);
    std::vector<Attached> holders;
    while (holders.empty()) holders = store->stats()->held_back_by;  // within a second
    REQUIRE(holders.size() == 1);
    CHECK(holders[0].process_id == freeing.pid());
    CHECK(holders[0].doing == "reclaiming");
    CHECK(holders[0].stopped);
    SECTION("it goes on") {
        freeing.kill(SIGCONT);
        CHECK(freeing.wait() == "");
    }
    SECTION("it dies") {
        freeing.kill();
        (void)freeing.wait();
    }
    REQUIRE_OK(store->append("k", std::string(9 * kMiB, 'x')));
    CHECK(store->stats()->held_back_by.empty());
}

TEST_CASE("An append waits for what a thread has in its hand to free, though others move the epoch many times",
          "[process]") {
    TemporaryStore place;
    REQUIRE_OK(Store::open(place.path(), with_limit(16 * kMiB)));
    auto store = Store::attach(place.path(), counting());
    REQUIRE_OK(store);
    SharedCounters steps(2);
    Child freeing = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path(), without_spill_thread());
        EXPECT_OK(own);
        EXPECT_OK(own->append("large", std::string(9 * kMiB, 'l')));
        EXPECT_OK(own->erase("large"));
        // Not stopped, as /proc would show: it has no processor.
        shoal::crash::at(CrashPoint::kObjectTaken, 1, [&] {
            steps[0] = 1;
            while (steps[1] == 0) ::usleep(100);
        });
        for (int turn = 0; turn < 4; ++turn) EXPECT_OK(own->stats());  // frees what is retired
        return {};
    });
    while (steps[0] == 0 && !freeing.has_ended()) ::usleep(100);
    REQUIRE(steps[0] == 1);
    std::atomic<bool> done{false};
    Threads threads;
    threads.start([&]() -> std::string {
        while (!done) {
            if (waits > 100) steps[1] = 1;  // more than an append waits for what others take
            EXPECT_OK(store->append("small", "value"));
            EXPECT_OK(store->erase("small"));
            EXPECT_OK(store->stats());  // moves the epoch
        }
        return {};
    });
    const auto appended = store->append("k", std::string(9 * kMiB, 'x'));
    done = true;
    steps[1] = 1;
    CHECK(threads.join() == "");
    CHECK(freeing.wait() == "");
    REQUIRE_OK(appended);
}

TEST_CASE("A spiller stopped inside its epoch is named, and appends do not wait for it each time", "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kSpillGathered, CrashPoint::kSpillPublished);
    INFO(shoal::crash::name(point));
    TemporaryStore place;
    shoal::Options options = counting();
    options.memory_limit_bytes = 16 * kMiB;
    options.spill_dir = place.directory().path();
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    const std::string record(10'000, 'r');
    for (int number = 0; number < 100; ++number) REQUIRE_OK(store->append("key", record));
    Child spiller = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path(), without_spill_thread());
        EXPECT_OK(own);
        shoal::crash::at(point, 1, shoal::crash::stop_here);
        EXPECT_OK(own->spill(kSpillAll));
        return {};
    });
    REQUIRE(has_stopped(spiller));
    std::uint64_t acknowledged = 100;
    shoal::Error full;
    for (; full.message.empty() && acknowledged < 10'000; ++acknowledged) {
        const auto appended = store->append("key", record);
        if (!appended) full = appended.error();
    }
    --acknowledged;
    INFO(full.message);
    REQUIRE(full.code == Code::kMemoryLimit);
    CHECK(full.message.find("process " + std::to_string(spiller.pid())) != std::string::npos);
    CHECK(full.message.find("spilling") != std::string::npos);
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    REQUIRE_FALSE(stats->held_back_by.empty());
    CHECK(stats->held_back_by[0].process_id == spiller.pid());
    CHECK(stats->held_back_by[0].stopped);
    CHECK(stats->spill_files == 2);  // the stopped process has the other one in its hand
    CHECK(stats->spilled_bytes > kMiB);
    for (int turn = 0; turn < 3; ++turn) {
        waits = 0;
        REQUIRE_CODE(store->append("key", record), Code::kMemoryLimit);
        CHECK(waits <= 4);
    }
    CHECK(store->get("key")->size() == acknowledged * record.size());
    spiller.kill(SIGCONT);
    CHECK(spiller.wait() == "");
    for (int number = 0; number < 3'000; ++number) REQUIRE_OK(store->append("key", record));
    CHECK(store->get("key")->size() == (acknowledged + 3'000) * record.size());
}

TEST_CASE("A sandbox that refuses membarrier recovers the dead, and uses their memory again", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "before,"));
    Child sandboxed = Child::start([&]() -> std::string {
        EXPECT(refuse_call(SYS_membarrier, EPERM));
        auto own = Store::attach(place.path());
        EXPECT_OK(own);
        Child writer = Child::start([&]() -> std::string {  // as its parent, refused
            auto third = Store::attach(place.path());
            EXPECT_OK(third);
            shoal::crash::at(CrashPoint::kClaimAdded, 1, shoal::crash::kill_here);
            EXPECT_OK(third->append("k", "never acknowledged"));
            return {};
        });
        (void)writer.wait();
        EXPECT(writer.killed_by() == SIGKILL);
        return turn_over_until_full(*own).message;
    });
    CHECK(sandboxed.wait() == "");
    CHECK(store->get("k")->text() == "before,");
}
