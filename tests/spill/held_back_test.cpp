// What readers keep from reuse of what was spilled: their view's blocks, for as long as they have it, and no
// longer; and that an append which finds no room for that says so.
#include <unistd.h>

#include <optional>
#include <string>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

std::string append_kilobytes(Store& store, const std::string& key, int count) {
    const std::string record = pattern(1'000, 1);
    for (int at = 0; at < count; ++at) EXPECT_OK(store.append(key, record));
    return {};
}

}  // namespace

TEST_CASE("A Store that has spilled under a view and does nothing more keeps nothing once the view is gone") {
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = false;
    options.room_wait_ms = 2'000;
    auto idle = Store::open(place.path(), options);
    auto busy = Store::attach(place.path(), options);
    REQUIRE_OK(idle);
    REQUIRE_OK(busy);
    REQUIRE(append_kilobytes(*idle, "key", 5'000) == "");
    std::optional<shoal::View> view = *idle->view("key");
    REQUIRE_OK(idle->spill());
    view.reset();
    REQUIRE_OK(busy->append("large", std::string(5'000'000, 'l')));
    CHECK(busy->get("key")->size() == 5'000'000);
}

TEST_CASE("What a process spills with is shown as that, and not as its views") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(8 * kMiB));
    REQUIRE_OK(store);
    REQUIRE(append_kilobytes(*store, "key", 20'000) == "");
    const std::optional<shoal::View> view = *store->view("key");
    const auto attached = store->attached();
    REQUIRE_OK(attached);
    int spillers = 0, views = 0;
    for (const shoal::Attached& each : *attached) {
        spillers += each.is_spiller;
        views += each.is_views;
        if (each.is_spiller) CHECK((each.thread_id == -1 && !each.is_views && each.doing != "views"));
        if (!each.is_spiller && !each.is_views) CHECK(each.thread_id > 0);
        CHECK(each.process_id == ::getpid());
        CHECK_FALSE(each.command.empty());
    }
    CHECK(spillers > 0);
    CHECK(views == 1);
}

TEST_CASE("What is asked for is spilled to the end while a view keeps its memory from reuse") {
    SpillingPlace place;
    shoal::Options options = place.options(64 * kMiB);
    options.spill_thread = GENERATE(true, false);
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    for (const char* key : {"a", "b", "c"}) REQUIRE(append_kilobytes(*store, key, 12'000) == "");
    std::optional<shoal::View> view = *store->view("a");
    CHECK(*store->spill() >= 36'000'000);
    CHECK(store->stats()->spilled_bytes == store->stats()->payload_bytes);
    CHECK(store->stats()->used_bytes >= 36'000'000);
    CHECK(view->loaded_bytes() == 0);
    view.reset();
    CHECK(store->stats()->used_bytes < 8 * kMiB);
}

TEST_CASE("An append without room since a view holds what was spilled names its process, and not all is spilled") {
    SpillingPlace place;
    shoal::Options options = place.options(64 * kMiB);
    options.spill_thread = GENERATE(true, false);
    options.room_wait_ms = 1'500;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    std::optional<shoal::View> view = *store->view("key");
    const std::string record = pattern(100'000, 1);
    shoal::Result<void> appended;
    for (int at = 0; at < 1'000 && appended; ++at) appended = store->append("key", record);
    REQUIRE_CODE(appended, Code::kMemoryLimit);
    INFO(appended.error().message);
    CHECK(appended.error().message.find("process " + std::to_string(::getpid())) != std::string::npos);
    CHECK(appended.error().message.find("views") != std::string::npos);
    CHECK(store->stats()->spilled_bytes < 32 * kMiB);
    view.reset();
    REQUIRE_OK(store->append("key", record));
}
