// Several processes on one store that spills all the time: every record once, in order; some are killed.
#include <unistd.h>

#include <list>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "../store/child.hpp"
#include "../store/numbered_workload.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "../store/shared_counters.hpp"
#include "../store/threads.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

// Of NumberedWriter, of which each takes some 250 B: 8 MiB of memory do not hold them all.
constexpr std::size_t kRecordsPastMemory = 42'000;

}  // namespace

TEST_CASE("Writers and readers in many processes that spill lose nothing and see closed cuts", "[process]") {
    constexpr std::size_t kWriters = 3, kKeys = 5;
    const bool threads = GENERATE(true, false);
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB, "lz4");
    options.room_wait_ms = 100'000;
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    options.spill_thread = threads;  // of the children, which are forked where no thread is
    Ledger ledger(kWriters, kKeys);
    std::vector<Child> writers;
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
        writers.push_back(Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path(), options);
            EXPECT_OK(own);
            return NumberedWriter(*own, ledger, writer)
                .write(scaled(20'000, kRecordsPastMemory / kWriters), Mode::kBoth);
        }));
    }
    Child reader = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path(), options);
        EXPECT_OK(own);
        ClosedCutChecker checker(ledger);
        return read_until_finished(*own, ledger, checker);
    });
    CHECK(wait_for(writers) == "");
    ledger.finish();
    CHECK(reader.wait() == "");
    CHECK(store->stats()->spilled_bytes > 0);
    ClosedCutChecker checker(ledger);
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
    REQUIRE_OK(store->spill());
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
}

TEST_CASE("A process spills by one slot, with a thread for it or without, idle or at work", "[process]") {
    const bool thread = GENERATE(true, false);
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    options.spill_thread = thread;
    constexpr std::size_t kProcesses = 3;
    std::vector<Child> others;
    for (std::size_t process = 0; process < kProcesses; ++process) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        others.push_back(Child::start([&, process]() -> std::string {
            auto own = Store::attach(place.path(), options);
            EXPECT_OK(own);
            for (int number = 0; number < 4000; ++number) {  // the memory twice over, by several batches
                EXPECT_OK(own->append(std::to_string(process), std::string(4000, 'x')));
            }
            EXPECT_OK(own->spill());
            EXPECT(::write(ends[1], "d", 1) == 1);
            for (;;) ::pause();
        }));
        ::close(ends[1]);
        char done = 0;
        CHECK(::read(ends[0], &done, 1) == 1);
        ::close(ends[0]);
    }
    const auto attached = store->attached();
    REQUIRE_OK(attached);
    std::map<std::int64_t, int> slots;
    std::map<std::int64_t, int> spilling;
    for (const shoal::Attached& each : *attached) {
        slots[each.process_id] += 1;
        spilling[each.process_id] += each.is_spiller ? 1 : 0;
    }
    slots.erase(::getpid());
    spilling.erase(::getpid());
    CHECK(slots.size() == kProcesses);
    for (const auto& [process, count] : slots) CHECK(count == 2);  // its thread's, and that one
    for (const auto& [process, count] : spilling) CHECK(count == 1);
    for (Child& other : others) other.kill();
    CHECK(store->size("0")->records == 4000);
}

TEST_CASE("Many threads at the memory limit at once all get through, by one spiller, several, or their own help") {
    constexpr std::size_t kWriters = 8, kKeys = 5;
    const std::size_t stores = GENERATE(1U, 3U);
    const bool threads = GENERATE(true, false);
    if (kThreadSanitizer && stores > 1) SHOAL_SKIP(kTwoMappings);
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = threads;
    options.room_wait_ms = 100'000;
    std::vector<Store> opened;
    for (std::size_t store = 0; store < stores; ++store) {
        opened.push_back(Store::open(place.path(), options).value());
    }
    Ledger ledger(kWriters, kKeys);
    Threads writers;
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
        writers.start([&, writer] {
            return NumberedWriter(opened[writer % stores], ledger, writer)
                .write(scaled(10'000, kRecordsPastMemory / kWriters), Mode::kBoth);
        });
    }
    CHECK(writers.join() == "");
    CHECK(opened[0].stats()->spilled_bytes > 0);
    ClosedCutChecker checker(ledger);
    REQUIRE(check_at_rest(opened[0], ledger, checker) == "");
}

TEST_CASE(
    "A Store that is closed while it spills leaves all to the other one of its process, and may be opened anew") {
    if (kThreadSanitizer) SHOAL_SKIP(kTwoMappings);
    SpillingPlace place;
    const shoal::Options options = place.options(8 * kMiB, "lz4");
    auto lasting = Store::open(place.path(), options);
    REQUIRE_OK(lasting);
    std::string value;
    for (int round = 0; round < 10; ++round) {
        auto fleeting = Store::attach(place.path(), options);
        REQUIRE_OK(fleeting);
        for (std::uint64_t at = 0; at < 600; ++at) {
            const std::string record = pattern(5'000, at);
            REQUIRE_OK((at % 2 == 0 ? *fleeting : *lasting).append("key", record));
            value += record;
        }
    }
    CHECK((lasting->get("key")->text() == value));
    lasting = Store::attach(place.path(), options);
    REQUIRE_OK(lasting);
    CHECK((lasting->get("key")->text() == value));
    const auto attached = lasting->attached();
    for (const shoal::Attached& each : *attached) CHECK(each.alive);
}

TEST_CASE("Children of a process whose threads append and spill at that moment do so too", "[process]") {
    if (kAddressSanitizer) SHOAL_SKIP(kForkBesideThreads);
    constexpr std::size_t kThreads = 3, kKeys = 3;
    const std::size_t children = scaled(10, 3);
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.room_wait_ms = 100'000;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    Ledger ledger(kThreads + children, kKeys);
    Threads writers;
    for (std::size_t writer = 0; writer < kThreads; ++writer) {
        writers.start([&, writer] {
            return NumberedWriter(*store, ledger, writer)
                .write(scaled(20'000, kRecordsPastMemory / kThreads), Mode::kBoth);
        });
    }
    while (store->stats()->spilled_bytes == 0) std::this_thread::yield();
    std::vector<Child> forked;
    for (std::size_t child = 0; child < children; ++child) {
        forked.push_back(Child::start([&, child]() -> std::string {
            EXPECT_OK(store->spill(kMiB));
            return NumberedWriter(*store, ledger, kThreads + child).write(scaled(2'000, 500), Mode::kBoth);
        }));
    }
    CHECK(wait_for(forked) == "");
    CHECK(writers.join() == "");
    ClosedCutChecker checker(ledger);
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
}

TEST_CASE("Processes killed while they append and spill take nothing back", "[process]") {
    const std::size_t kills = scaled(12, 4);
    constexpr std::size_t kKeys = 3;
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.room_wait_ms = 100'000;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    Ledger ledger(kills, kKeys);
    ClosedCutChecker checker(ledger);
    std::uint64_t random = 5;
    for (std::size_t writer = 0; writer < kills; ++writer) {
        Child victim = Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path(), options);
            EXPECT_OK(own);
            return NumberedWriter(*own, ledger, writer).write(UINT64_MAX / 2, Mode::kBatches);
        });
        const std::uint64_t enough = ledger.acknowledged_in_all() + 1'500 + next_random(random) % 4'000;
        ledger.allow(enough + 1'000);
        while (ledger.acknowledged_in_all() < enough) std::this_thread::yield();
        if (writer % 2 == 0) REQUIRE_OK(store->spill(kMiB));
        victim.kill();
        (void)victim.wait();
        REQUIRE(victim.killed_by() == SIGKILL);
        REQUIRE(read_and_check(*store, checker, kKeys, writer) == "");
    }
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
    REQUIRE_OK(store->drop());
    CHECK(store->stats()->stored_bytes < kMiB);
}

TEST_CASE("A child of fork spills by itself when it runs out of memory, beside its parent", "[process]") {
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = GENERATE(true, false);
    if (kAddressSanitizer && options.spill_thread) SHOAL_SKIP(kForkBesideThreads);
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    const auto write = [&](const std::string& key) -> std::string {
        for (std::size_t at = 0; at < 4'000; ++at) EXPECT_OK(store->append(key, pattern(4'000, at)));
        return {};
    };
    REQUIRE(write("parent") == "");
    Child child = Child::start([&] { return write("child"); });
    CHECK(write("parent") == "");
    CHECK(child.wait() == "");
    CHECK(store->get("child")->size() == 16'000'000);
    CHECK(store->get("parent")->size() == 32'000'000);
}

TEST_CASE("A spill of everything ends beside writers that never do, and what was there at its start is in files",
          "[process]") {
    constexpr std::size_t kWriters = 2;
    const bool threads = GENERATE(true, false);
    SpillingPlace place;
    shoal::Options options = place.options(64 * kMiB);
    options.room_wait_ms = 100'000;
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::uint64_t old_bytes = 0;
    // So many that the writers have come to something new before the spiller has been round.
    for (int number = 0; number < 60'000; ++number)
        REQUIRE_OK(store->append("small " + std::to_string(number), "s"));
    for (int number = 0; number < 300; ++number) {
        const std::string value(10'000, 'o');
        REQUIRE_OK(store->append("old " + std::to_string(number), value));
        old_bytes += value.size();
    }
    REQUIRE(store->stats()->spilled_bytes < old_bytes);
    options.spill_thread = threads;       // of the children, which are forked where no thread is
    SharedCounters shared(kWriters + 1);  // appends of each, and whether to end
    std::vector<Child> writers;
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
        writers.push_back(Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path(), options);
            EXPECT_OK(own);
            const std::string record(100, 'r');
            for (std::uint64_t number = 0; shared[kWriters].load() == 0; ++number) {
                const std::string key = std::to_string(writer) + " of " + std::to_string(number % 2'000);
                EXPECT_OK(own->append(key, record));
                EXPECT_OK(own->append("one for all", record));
                if (number % 20 == 19) EXPECT_OK(own->erase(key));
                if (number % 5'000 == 4'999) EXPECT_OK(own->erase("one for all"));
                shared[writer].fetch_add(1);
            }
            return {};
        }));
    }
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
        while (shared[writer].load() < 3'000) std::this_thread::yield();
    }
    for (int round = 0; round < 2; ++round) {
        REQUIRE_OK(store->spill());
        CHECK(store->stats()->spilled_bytes >= old_bytes);
        for (std::size_t writer = 0; writer < kWriters; ++writer) {  // they go on
            const std::uint64_t before = shared[writer].load();
            while (shared[writer].load() == before) std::this_thread::yield();
        }
    }
    shared[kWriters].store(1);
    CHECK(wait_for(writers) == "");
    for (int number = 0; number < 300; ++number)
        CHECK(store->get("old " + std::to_string(number))->size() == 10'000);
}
