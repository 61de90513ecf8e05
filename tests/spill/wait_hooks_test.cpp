// Options::wait_hooks: around waits for files and for room, and around nothing else.
#include <cstdint>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::ByteView;
using shoal::Store;
using namespace shoal_test;

namespace {

thread_local int begun = 0;
thread_local int ended = 0;
thread_local bool nested = false;

shoal::Options with_hooks(shoal::Options options) {
    begun = ended = 0;
    nested = false;
    options.wait_hooks.begin = [] {
        nested = nested || begun != ended;
        ++begun;
    };
    options.wait_hooks.end = [] { ++ended; };
    return options;
}

}  // namespace

TEST_CASE("A read of files is between the hooks, of one value and of several, and a read of memory is not") {
    SpillingPlace place;
    auto store = Store::open(place.path(), with_hooks(place.options(16 * kMiB))).value();
    REQUIRE(store.append("cold", pattern(300'000, 1)));
    REQUIRE(store.spill());
    REQUIRE(store.append("warm", "here"));
    begun = ended = 0;

    REQUIRE(store.get("warm"));
    REQUIRE(store.view("warm"));
    CHECK(begun == 0);

    REQUIRE(store.get("cold"));
    CHECK(begun == 1);
    REQUIRE(store.view("cold"));
    CHECK(begun == 2);
    const std::vector<ByteView> both = {"warm", "cold"};
    for (const auto& value : store.get(both)) REQUIRE(value);
    CHECK(begun == 3);
    CHECK(ended == begun);
    CHECK(!nested);
}

TEST_CASE("An append that waits for room does so between the hooks") {
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = false;  // so that the append has to make its room
    auto store = Store::open(place.path(), with_hooks(options)).value();
    for (std::uint64_t at = 0; at < 400; ++at) REQUIRE(store.append("key", pattern(100'000, at)));
    CHECK(begun > 0);
    CHECK(ended == begun);
    CHECK(!nested);
}
