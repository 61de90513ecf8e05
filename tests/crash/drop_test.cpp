// A drop at one moment of another process's work, or broken off there: what was acknowledged after it stays.
#include <signal.h>

#include <string>

#include "../spill/spilling_store.hpp"
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

TEST_CASE("A drop takes effect while its process lives, or never", "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kDropNamed, CrashPoint::kDropSucceeded,
                                      CrashPoint::kDropInstalled, CrashPoint::kDropCounted);
    INFO(shoal::crash::name(point));
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    auto handle = store->key("by handle");
    REQUIRE_OK(handle);
    REQUIRE_OK(store->append("k", "before,"));
    REQUIRE_OK(store->append(*handle, "before,"));
    Child child = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path());
        EXPECT_OK(own);
        shoal::crash::at(point, 1, shoal::crash::kill_here);
        EXPECT_OK(own->drop());
        return {};
    });
    (void)child.wait();
    REQUIRE(child.killed_by() == SIGKILL);
    REQUIRE_OK(store->append("k", "after,"));
    REQUIRE_OK(store->append(*handle, "after,"));
    const std::string value = store->get("k")->str();
    const std::string by_handle = store->get(*handle)->str();
    auto late = Store::attach(place.path());  // who attaches recovers the dead
    REQUIRE_OK(late);
    REQUIRE_OK(late->get("k"));
    CHECK(late->get("k")->text() == value);
    CHECK(late->get("by handle")->text() == by_handle);
    CHECK(store->get("k")->text() == value);
    CHECK((value == "after,") == (by_handle == "after,"));
    REQUIRE_OK(late->drop());
    CHECK(store->keys()->empty());
}

TEST_CASE("A spill file whose remover was killed is made anew by the next who spills, and removed when it is empty",
          "[process]") {
    const auto point =
        GENERATE(CrashPoint::kSpillFileEnded, CrashPoint::kSpillFileEmptied, CrashPoint::kSpillFileUnlinked);
    const SpillingPlace place;
    shoal::Options options = place.options(16 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "before"));
    REQUIRE_OK(store->spill());
    Child remover = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path(), options);
        EXPECT_OK(own);
        shoal::crash::at(point, 1, shoal::crash::kill_here);
        EXPECT_OK(own->drop());
        return "never came to the crash point";
    });
    const std::string ended = remover.wait();
    INFO(ended);
    REQUIRE(remover.killed_by() == SIGKILL);
    auto next = Store::attach(place.path(), options);  // which recovers the dead
    REQUIRE_OK(next);
    REQUIRE_OK(next->append("key", "after"));
    REQUIRE_OK(next->spill());
    CHECK(next->get("key")->text() == "after");
    CHECK(next->stats()->spill_files == 1);
    CHECK(place.spill_files().size() == 1);
    REQUIRE_OK(next->drop());
    CHECK(next->stats()->spill_files == 0);
    CHECK(place.spill_files().empty());
}
