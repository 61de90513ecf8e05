// RapidCheck against a model (model_walk.hpp): all operations, random sizes, stores of random shapes, one or two
// Store objects on one store.
#include <rapidcheck.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "model_walk.hpp"
#include "temporary_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

rc::Gen<shoal::Options> store_shape() {
    return rc::gen::map(rc::gen::tuple(rc::gen::inRange(6U, 21U), rc::gen::inRange(16U, 21U)),
                        [](std::tuple<unsigned, unsigned> powers) {
                            shoal::Options options = with_limit(256 * kMiB);
                            options.max_segment_bytes = 1U << std::get<1>(powers);
                            options.first_segment_bytes = 1U << std::min(std::get<0>(powers), std::get<1>(powers));
                            return options;
                        });
}

}  // namespace

TEST_CASE("A store does what a map of lists does") {
    scale_down();
    REQUIRE(rc::check("one Store", [] {
        const auto shape = *store_shape();
        const auto steps = *rc::gen::container<std::vector<Step>>(step());
        std::vector<Store> stores;
        stores.push_back(Store::in_memory(shape).value());
        Walk walk(stores);
        for (const Step& each : steps) walk.take(each);
        walk.check_all();
    }));
}

TEST_CASE("Two Store objects of one path do together what a map of lists does") {
    scale_down();
    REQUIRE(rc::check("two Stores", [] {
        const auto shape = *store_shape();
        const auto steps = *rc::gen::container<std::vector<Step>>(step());
        const TemporaryStore place;
        std::vector<Store> stores;
        stores.push_back(Store::open(place.path(), shape).value());
        stores.push_back(Store::attach(place.path()).value());
        Walk walk(stores);
        for (const Step& each : steps) walk.take(each);
        walk.check_all();
    }));
}
