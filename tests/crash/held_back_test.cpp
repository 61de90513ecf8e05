// A process that is stopped inside an append keeps what others erase from reuse: who needs the memory learns who it
// is, and when it goes on its record is there and the memory comes back.
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../store/turnover.hpp"
#include "catch.hpp"
#include "scene.hpp"

using shoal::Attached;
using shoal::Code;
using shoal::CrashPoint;
using shoal::Store;
using namespace shoal_test;

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
