// RapidCheck against a model (../store/model_walk.hpp), where data goes to files and comes back: spilled at random
// moments, and by itself in a store of the smallest memory that there is; by any codec; with a thread for it, or
// not.
#include <rapidcheck.h>

#include <tuple>
#include <vector>

#include <shoal/store.hpp>

#include "../store/model_walk.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

struct Shape {
    std::uint64_t limit_bytes = 0;
    std::string codec;
    bool spill_thread = false;
    unsigned first_segment_power = 0;
    unsigned max_segment_power = 0;
    std::size_t stores = 0;  // Store objects on the one store
};

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << "{limit " << shape.limit_bytes << ", codec " << shape.codec << ", thread " << shape.spill_thread
               << ", segments 2^" << shape.first_segment_power << " to 2^" << shape.max_segment_power << ", "
               << shape.stores << " stores}";
}

rc::Gen<Shape> shape() {
    return rc::gen::build<Shape>(
        rc::gen::set(&Shape::limit_bytes, rc::gen::element<std::uint64_t>(8 * kMiB, 8 * kMiB, 64 * kMiB)),
        rc::gen::set(&Shape::codec,
                     rc::gen::element<std::string>("none", "lz4", "zstd:3", "blosc:type_size=4,shuffle=bit")),
        rc::gen::set(&Shape::spill_thread, rc::gen::arbitrary<bool>()),
        rc::gen::set(&Shape::first_segment_power, rc::gen::inRange(6U, 17U)),
        rc::gen::set(&Shape::max_segment_power, rc::gen::inRange(16U, 21U)),
        rc::gen::set(&Shape::stores, rc::gen::inRange<std::size_t>(1, kThreadSanitizer ? 2 : 3)));  // kTwoMappings
}

}  // namespace

TEST_CASE("A store that spills does what a map of lists does") {
    scale_down();
    REQUIRE(rc::check("spilling", [] {
        const Shape shape = *::shape();
        const auto steps = *rc::gen::container<std::vector<Step>>(spilling_step());
        const SpillingPlace place;
        shoal::Options options = place.options(shape.limit_bytes, shape.codec);
        options.spill_thread = shape.spill_thread;
        options.room_wait_ms = 500;  // of 20 tries
        options.first_segment_bytes = 1U << shape.first_segment_power;
        options.max_segment_bytes = 1U << shape.max_segment_power;
        {
            std::vector<Store> stores;
            for (std::size_t i = 0; i < shape.stores; ++i)
                stores.push_back(Store::open(place.path(), options).value());
            Walk walk(stores, 20);
            for (const Step& each : steps) walk.take(each);
            walk.check_all();
            if (const auto spilled = stores.front().spill(); !spilled) RC_FAIL(describe(spilled));
            walk.check_all();
        }
        const auto verified = Store::verify(place.path());
        RC_ASSERT(verified.has_value());
        for (const auto& damage : verified->damage) RC_FAIL(damage.invariant + ": " + damage.what);
        RC_ASSERT(verified->at_rest);
    }));
}
