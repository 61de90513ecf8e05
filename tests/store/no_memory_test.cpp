// A call that finds no memory in its process: it gives an error or throws std::bad_alloc, and holds nothing
// afterwards: no pin, no epoch, no slot, no segment in hand, no spill file.
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "failing_allocations.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using namespace shoal;
using namespace shoal_test;

namespace {

// What is erased is freed at once: nothing is inside an epoch.
void expect_nothing_held(Store& store) {
    REQUIRE_OK(store.append("passing", std::string(3'000, 'p')));
    REQUIRE_OK(store.erase("passing"));
    const auto stats = store.stats();
    REQUIRE_OK(stats);
    CHECK(stats->retired_objects == 0);
    const auto attached = store.attached();
    REQUIRE_OK(attached);
    for (const Attached& one : *attached) CHECK_FALSE(one.inside);
}

}  // namespace

TEST_CASE("A view for which there is no memory leaves no pin") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    for (int number = 0; number < 100; ++number) REQUIRE_OK(store->append("key", std::string(100, 'v')));
    const auto check = [&] { expect_nothing_held(*store); };
    SECTION("view") {
        fail_each_allocation([&] { return store->view("key").has_value(); }, check);
    }
    SECTION("records") {
        fail_each_allocation([&] { return store->records("key").has_value(); }, check);
    }
    SECTION("records in parts") {
        const auto take = [](const Records&) { return true; };
        fail_each_allocation([&] { return store->records("key", 1'000, take).has_value(); }, check);
    }
}

TEST_CASE("A walk over the keys for which there is no memory holds nothing, and goes on") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    std::size_t keys = 0;
    for (; keys < 10'000; ++keys) REQUIRE_OK(store->append("key " + std::to_string(keys), "value"));
    KeyCursor cursor;
    std::size_t given = 0;
    bool ended = false;
    const auto step = [&] {
        const auto some = store->next_keys(cursor);
        if (some && *some) given += cursor.keys().size();
        ended = some && !*some;
        return some.has_value();
    };
    fail_each_allocation(step, [&] { expect_nothing_held(*store); });
    while (!ended) REQUIRE(step());
    CHECK(given == keys);
}

TEST_CASE("A call for which there is no memory holds nothing afterwards") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    const auto check = [&] { expect_nothing_held(*store); };
    SECTION("get") {
        fail_each_allocation([&] { return store->get("key").has_value(); }, check);
    }
    SECTION("keys") {
        fail_each_allocation([&] { return store->keys().has_value(); }, check);
    }
    SECTION("stats") {
        fail_each_allocation([&] { return store->stats().has_value(); }, check);
    }
    SECTION("a thread's first call") {
        const auto in_a_thread = [&] {
            bool done = false;
            long left = std::exchange(allocations_until_failure, -1);
            auto own = Store::attach(place.path());
            REQUIRE_OK(own);
            std::thread([&] {
                allocations_until_failure = left;
                done = own->append("key", "of a thread").has_value();
                left = std::exchange(allocations_until_failure, -1);
            }).join();
            allocations_until_failure = left;
            return done;
        };
        const auto before = store->stats()->slots_in_use;
        fail_each_allocation(in_a_thread, [&] {
            check();
            CHECK(store->stats()->slots_in_use == before);
        });
    }
}

TEST_CASE("A spill or sync for which there is no memory holds nothing afterwards, and the next one works") {
    TemporaryStore place;
    Options options = with_limit(16 * kMiB);
    options.spill_dir = place.directory().path();
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::string expected;
    const auto append = [&] {
        const std::string record = std::string(3'000, 'r') + std::to_string(expected.size());
        REQUIRE_OK(store->append("key", record));
        expected += record;
    };
    const auto check = [&] {
        expect_nothing_held(*store);
        REQUIRE_OK(store->get("key"));
        CHECK(store->get("key")->text() == expected);
        append();
    };
    append();
    SECTION("spill") {
        fail_each_allocation([&] { return store->spill().has_value(); }, check);
        REQUIRE_OK(store->spill());
        CHECK(store->stats()->spilled_bytes == expected.size());
    }
    SECTION("sync") {
        fail_each_allocation([&] { return store->sync().has_value(); }, check);
        REQUIRE_OK(store->sync());
    }
    store = Store::attach(place.path(), options);
    REQUIRE_OK(store);
    CHECK(store->get("key")->text() == expected);
}

TEST_CASE("A get that reads files by several threads gives the value, or an error, whichever has no memory") {
    TemporaryStore place;
    Options options = with_limit(64 * kMiB);
    options.spill_dir = place.directory().path();
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::string expected;
    while (expected.size() < 17 * kMiB) {  // of two threads, where there are two processors
        const std::string record = pattern(kMiB / 2, static_cast<std::uint32_t>(expected.size()));
        REQUIRE_OK(store->append("key", record));
        expected += record;
    }
    REQUIRE_OK(store->spill());
    const auto is_whole = [&](const Result<Bytes>& got) { return got.has_value() && got->text() == expected; };
    fail_each_allocation(
        [&] {
            const auto got = store->get("key");
            return got.has_value() && got->size() == expected.size();
        },
        [&] { CHECK(is_whole(store->get("key"))); }, Of::kAnyThread);
}

namespace {

// A store that has spilled, and the folders of all that it consists of.
class ManyTimesMade {
public:
    [[nodiscard]] std::string path() const { return stores_ / "store"; }
    [[nodiscard]] Options options(bool temporary) const {
        Options options = with_limit(16 * kMiB);
        options.arena_dir = arenas_.path();
        options.spill_dir = spills_.path();
        options.spill_thread = false;
        options.temporary = temporary;
        return options;
    }
    [[nodiscard]] Store make(bool temporary) const {
        auto store = Store::open(path(), options(temporary));
        REQUIRE_OK(store);
        REQUIRE_OK(store->append("key", std::string(3'000, 'v')));
        REQUIRE_OK(store->spill());
        if (!temporary) REQUIRE_OK(store->sync());
        return std::move(*store);
    }
    void expect_nothing_left() const {
        CHECK(arenas_.entries().empty());
        CHECK(spills_.entries().empty());
        if (!std::filesystem::exists(path())) return;
        CHECK(std::filesystem::is_empty(path()));  // the next creator's
        std::filesystem::remove(path());
    }

private:
    TemporaryDirectory stores_;
    TemporaryDirectory arenas_{"/dev/shm"};
    TemporaryDirectory spills_;
};

}  // namespace

TEST_CASE("What a destroy leaves that has no memory, the next one removes") {
    const ManyTimesMade place;
    fail_each_allocation(
        [&] {
            with_memory([&] { static_cast<void>(place.make(false)); });
            return Store::destroy(place.path()).has_value();
        },
        [&] {
            static_cast<void>(Store::destroy(place.path()));
            place.expect_nothing_left();
        });
}

TEST_CASE("The last owner of a temporary store ends it, and what it has no memory to remove goes with the next") {
    const ManyTimesMade place;
    std::optional<Store> store;
    fail_each_allocation(
        [&] {
            with_memory([&] { store.emplace(place.make(true)); });
            store.reset();
            return true;
        },
        [&] {
            const auto attached = Store::attach(place.path());
            CHECK((!attached && attached.error().code == Code::kNotFound));
            static_cast<void>(place.make(false));
            REQUIRE_OK(Store::destroy(place.path()));
            place.expect_nothing_left();
        });
}
