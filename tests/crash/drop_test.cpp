// A drop at one moment of another process's work, or broken off there: what was acknowledged after it stays.
#include <string>

#include "../store/child.hpp"
#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"
#include "arena/crash_point.hpp"
#include "catch.hpp"

using shoal::CrashPoint;
using shoal::Store;
using namespace shoal_test;

TEST_CASE("A batch that a drop comes into keeps all that follows the first record it keeps") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    auto other = Store::attach(place.path());
    REQUIRE_OK(store);
    REQUIRE_OK(other);
    REQUIRE_OK(store->append("old", "before,"));
    const shoal::Pair batch[] = {{"old", "1,"}, {"new", "2,"}, {"old", "3,"}, {"newer", "4,"}};
    shoal::Result<void> dropped;
    shoal::crash::at(CrashPoint::kClaimNamed, 1, [&] { dropped = other->drop(); });
    REQUIRE_OK(store->append(batch));
    REQUIRE_OK(dropped);
    CHECK(store->get("new")->text() == "2,");
    REQUIRE_OK(store->get("old"));
    CHECK(store->get("old")->text() == "3,");
    CHECK(store->get("newer")->text() == "4,");
}
