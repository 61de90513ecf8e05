// Processes that race in open, attach and destroy.
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"

using shoal::Code;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;

namespace {

// Both places where a store may leave something, of this test alone.
struct Places {
    TemporaryDirectory arenas{"/dev/shm"};
    TemporaryStore store;

    Options options() const {
        Options made = with_limit(8 * kMiB);
        made.arena_dir = arenas.path();
        return made;
    }
    bool empty() const { return arenas.entries().empty() && store.directory().entries().empty(); }
};

// The first 8 digits of a store's id, as a number.
std::uint64_t id_of(const Store& store) { return std::stoull(store.stats()->store_id.substr(0, 8), nullptr, 16); }

}  // namespace

TEST_CASE("Of processes that create at once one does and all have the same store", "[process]") {
    const std::size_t creators = GENERATE(2U, 8U);
    for (std::size_t round = 0; round < scaled(40, 5); ++round) {
        const Places places;
        SharedCounters ids(creators);
        StartLine line(creators);
        std::vector<Child> children;
        for (std::size_t creator = 0; creator < creators; ++creator)
            children.push_back(Child::start([&, creator]() -> std::string {
                line.arrive_and_wait();
                auto store = Store::open(places.store.path(), places.options());
                EXPECT_OK(store);
                EXPECT_OK(store->append("k", "x"));
                ids[creator] = id_of(*store);
                return {};
            }));
        REQUIRE(wait_for(children) == "");
        for (std::size_t creator = 1; creator < creators; ++creator) REQUIRE(ids[creator].load() == ids[0].load());
        auto store = Store::attach(places.store.path());
        REQUIRE_OK(store);
        REQUIRE(store->get("k")->text() == std::string(creators, 'x'));
        REQUIRE(places.arenas.entries().size() == 1);
        REQUIRE_OK(Store::destroy(places.store.path(), by_force()));
        REQUIRE(places.empty());
    }
}

TEST_CASE("Of threads that create at once one does and all have the same store", "[threads]") {
    constexpr std::size_t kThreads = 4;
    for (std::size_t round = 0; round < scaled(30, 5); ++round) {
        const Places places;
        StartLine line(kThreads);
        Threads threads;
        for (std::size_t i = 0; i < kThreads; ++i)
            threads.start([&]() -> std::string {
                line.arrive_and_wait();
                auto store = Store::open(places.store.path(), places.options());
                EXPECT_OK(store);
                EXPECT_OK(store->append("k", "x"));
                return {};
            });
        REQUIRE(threads.join() == "");
        auto store = Store::attach(places.store.path());
        REQUIRE_OK(store);
        REQUIRE(store->get("k")->text() == std::string(kThreads, 'x'));
    }
}

TEST_CASE("attach while another process creates gives 'not found' or a store that works", "[process]") {
    for (std::size_t round = 0; round < scaled(40, 5); ++round) {
        const Places places;
        StartLine line(4);
        std::vector<Child> children;
        for (int i = 0; i < 3; ++i)
            children.push_back(Child::start([&]() -> std::string {
                line.arrive_and_wait();
                while (true) {
                    auto store = Store::attach(places.store.path());
                    if (!store) EXPECT_CODE(store, Code::kNotFound);
                    if (!store) continue;
                    EXPECT_OK(store->append("k", "x"));
                    return {};
                }
            }));
        children.push_back(Child::start([&]() -> std::string {
            line.arrive_and_wait();
            auto store = Store::open(places.store.path(), places.options());
            EXPECT_OK(store);
            EXPECT_OK(store->append("k", "x"));
            return {};
        }));
        REQUIRE(wait_for(children) == "");
        REQUIRE(Store::attach(places.store.path())->get("k")->text() == "xxxx");
    }
}

TEST_CASE("Processes that open, use and destroy one path at once: every call works or says why not", "[process]") {
    const Places places;
    constexpr std::size_t kProcesses = 4;
    StartLine line(kProcesses);
    std::vector<Child> children;
    for (std::size_t id = 0; id < kProcesses; ++id)
        children.push_back(Child::start([&, id]() -> std::string {
            line.arrive_and_wait();
            for (std::size_t round = 0; round < scaled(150, 15); ++round) {
                auto store = Store::open(places.store.path(), places.options());
                EXPECT_OK(store);
                for (int i = 0; i < 5; ++i) {
                    const auto appended = store->append("k", "x");
                    if (!appended) EXPECT_CODE(appended, Code::kDestroyed);
                    const auto value = store->get("k");
                    if (!value) EXPECT(value.error().code == Code::kDestroyed);
                }
                if ((round + id) % 2 == 0) {
                    const auto destroyed = Store::destroy(places.store.path(), by_force());
                    if (!destroyed) EXPECT_CODE(destroyed, Code::kNotFound);
                    const auto later = Store::attach(places.store.path());
                    if (!later) EXPECT_CODE(later, Code::kNotFound);
                }
            }
            return {};
        }));
    REQUIRE(wait_for(children) == "");
    const auto destroyed = Store::destroy(places.store.path(), by_force());
    if (!destroyed) REQUIRE_CODE(destroyed, Code::kNotFound);
    CHECK(places.store.directory().entries().empty());
    CHECK(places.arenas.entries().empty());
}

TEST_CASE("Of processes that destroy at once one does, and the others find nothing", "[process]") {
    for (std::size_t round = 0; round < scaled(40, 5); ++round) {
        const Places places;
        REQUIRE_OK(Store::open(places.store.path(), places.options()));
        constexpr std::size_t kProcesses = 4;
        StartLine line(kProcesses);
        SharedCounters destroyed(1);
        std::vector<Child> children;
        for (std::size_t i = 0; i < kProcesses; ++i)
            children.push_back(Child::start([&]() -> std::string {
                line.arrive_and_wait();
                const auto done = Store::destroy(places.store.path(), by_force());
                if (done) destroyed[0].fetch_add(1);
                if (!done) EXPECT_CODE(done, Code::kNotFound);
                return {};
            }));
        REQUIRE(wait_for(children) == "");
        CHECK(destroyed[0].load() >= 1);
        REQUIRE(places.empty());
    }
}

TEST_CASE("A process that is killed while it creates leaves a path where others can create", "[process]") {
    const Places places;
    SharedCounters rounds(1);
    std::uint64_t random = 1;
    for (std::size_t round = 0; round < scaled(60, 10); ++round) {
        rounds[0] = 0;
        Child child = Child::start([&]() -> std::string {
            while (true) {
                rounds[0].fetch_add(1);
                auto store = Store::open(places.store.path(), places.options());
                EXPECT_OK(store);
                EXPECT_OK(store->append("k", "x"));
                EXPECT_OK(Store::destroy(places.store.path(), by_force()));
            }
        });
        const std::uint64_t enough = 1 + next_random(random) % 3;
        while (rounds[0].load() < enough) std::this_thread::yield();
        child.kill();
        const std::string ended = child.wait();
        INFO("round " << round << ": " << ended);
        REQUIRE(child.killed_by() == SIGKILL);
        auto store = Store::open(places.store.path(), places.options());
        REQUIRE_OK(store);
        REQUIRE_OK(store->append("after", "y"));
        REQUIRE_OK(Store::destroy(places.store.path(), by_force()));
        REQUIRE_CODE(Store::attach(places.store.path()), Code::kNotFound);
        REQUIRE(places.store.directory().entries().empty());
    }
    // What the killed ones had begun to build is swept by those who came after.
    CHECK(places.arenas.entries().empty());
}
