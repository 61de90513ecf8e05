// A sandbox that refuses membarrier(2): memory comes back as before, by full fences, by those who are outside, or
// by time.
#include <sys/syscall.h>

#include <cerrno>
#include <string>

#include <shoal/store.hpp>

#include "../refused_calls.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

bool refuse_membarrier() { return refuse_call(SYS_membarrier, EPERM); }

// Ten times as much as the store holds.
std::string append_and_erase(Store& store) {
    const std::string value(100'000, 'v');
    for (int round = 0; round < 1600; ++round) {
        EXPECT_OK(store.append("key", value));
        EXPECT_OK(store.erase("key"));
    }
    return {};
}

}  // namespace

TEST_CASE("Memory is used again by a process whose sandbox refuses membarrier", "[process]") {
    TemporaryStore place;
    REQUIRE(Child::run([&]() -> std::string {
                EXPECT(refuse_membarrier());
                auto store = Store::open(place.path(), with_limit(16 * kMiB));
                EXPECT_OK(store);
                return append_and_erase(*store);
            }) == "");
}

TEST_CASE("What a sandboxed process erases comes back through one that is not", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("here", "first"));
    REQUIRE(Child::run([&]() -> std::string {
                EXPECT(refuse_membarrier());
                auto own = Store::attach(place.path());
                EXPECT_OK(own);
                const std::string value(100'000, 'v');
                for (int round = 0; round < 100; ++round) {
                    EXPECT_OK(own->append("there", value));
                    EXPECT_OK(own->erase("there"));
                }
                return {};
            }) == "");
    REQUIRE(append_and_erase(*store) == "");
    CHECK(store->get("here")->text() == "first");
}

TEST_CASE("A sandboxed process uses memory again beside a process that is not, and does nothing", "[process]") {
    TemporaryStore place;
    auto idle = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(idle);
    REQUIRE_OK(idle->append("here", "first"));  // so that this thread has entered an epoch, by a light fence
    REQUIRE(Child::run([&]() -> std::string {
                EXPECT(refuse_membarrier());
                auto own = Store::attach(place.path());
                EXPECT_OK(own);
                return append_and_erase(*own);
            }) == "");
    CHECK(idle->get("here")->text() == "first");
}
