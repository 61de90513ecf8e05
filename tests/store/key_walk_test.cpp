// Walks over the keys: each key that stays comes once and none twice, whatever others do meanwhile, and a walk
// holds nothing of the store between two batches.
#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "new_store.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"
#include "turnover.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::KeyCursor;
using shoal::Store;
using namespace shoal_test;

namespace {

constexpr const char* kStays = "stays ";
constexpr const char* kComes = "comes and goes ";

// Appends to `count` keys that begin with `prefix`.
std::string add_keys(Store& store, const std::string& prefix, std::size_t count) {
    std::vector<std::string> names;
    std::vector<shoal::Pair> batch;
    for (std::size_t number = 0; number < count; ++number) names.push_back(prefix + std::to_string(number));
    for (const std::string& name : names) batch.emplace_back(name, "value");
    EXPECT_OK(store.append(batch));
    return {};
}

// What a walk gives; and "" or which key came twice.
struct Walk {
    std::set<std::string> keys;
    std::string twice;
    void note(ByteView key) {
        if (!keys.emplace(key.text()).second && twice.empty()) twice = key.text();
    }
};

// A walk in which each key comes once that `stays` of `count` names, and no key twice.
std::string walk_and_check(const Store& store, std::size_t count) {
    Walk walk;
    EXPECT_OK(store.for_each_key([&](ByteView key) {
        walk.note(key);
        return true;
    }));
    if (!walk.twice.empty()) return "twice: " + walk.twice;
    std::size_t stayed = 0;
    for (const std::string& key : walk.keys) {
        if (key.starts_with(kStays)) ++stayed;
        if (!key.starts_with(kStays) && !key.starts_with(kComes)) return "a key that is none: " + key;
    }
    if (stayed != count) return "of " + std::to_string(count) + " keys came " + std::to_string(stayed);
    return {};
}

// Makes and erases keys, one of them over and over, and every so often so many that leaves are split.
std::string come_and_go(Store& store, const std::string& by, const std::function<bool()>& goes_on) {
    const std::string prefix = kComes + by + " ";
    for (std::size_t round = 0; goes_on(); ++round) {
        const std::size_t count = round % 8 == 0 ? scaled(20'000, 2'000) : 50;
        const std::string failure = add_keys(store, prefix, count);
        if (!failure.empty()) return failure;
        for (std::size_t number = 0; number < count; ++number) {
            EXPECT_OK(store.erase(prefix + std::to_string(number)));
        }
    }
    return {};
}

std::set<std::string> keys_of(const Store& store, ByteView prefix) {
    Walk walk;
    REQUIRE_OK(store.for_each_key(prefix, [&](ByteView key) {
        walk.note(key);
        return true;
    }));
    REQUIRE(walk.twice == "");
    return walk.keys;
}

}  // namespace

TEST_CASE("A walk gives each key once, whatever bytes it has") {
    Store store = new_store();
    const std::set<std::string> names = {"",
                                         std::string(1, '\0'),
                                         std::string("a\0b", 3),
                                         "a",
                                         "ab",
                                         "b",
                                         std::string("\xff\xfe"),
                                         std::string(shoal::kMaxKeyBytes, 'm')};
    for (const std::string& name : names) REQUIRE_OK(store.append(name, "value"));
    CHECK(keys_of(store, "") == names);
    CHECK(keys_of(store, "a") == std::set<std::string>{"a", "ab", std::string("a\0b", 3)});
    CHECK(keys_of(store, ByteView("a\0", 2)) == std::set<std::string>{std::string("a\0b", 3)});
    CHECK(keys_of(store, std::string(shoal::kMaxKeyBytes, 'm')).size() == 1);
    CHECK(keys_of(store, std::string(shoal::kMaxKeyBytes, 'n')).empty());
    CHECK(keys_of(store, "c").empty());
}

TEST_CASE("A walk over an empty store gives nothing, and one over many keys all") {
    Store store = new_store();
    CHECK(keys_of(store, "").empty());
    REQUIRE(add_keys(store, kStays, 30'000) == "");
    REQUIRE(walk_and_check(store, 30'000) == "");
    CHECK(keys_of(store, std::string(kStays) + "29").size() == 1 + 10 + 100 + 1000);
    KeyCursor cursor;  // of which no batch is a list of all
    while (store.next_keys(cursor).value()) {
        std::size_t bytes = 0;
        for (const ByteView key : cursor.keys()) bytes += key.size();
        CHECK(bytes < (64U << 10) + 504 * 16);
    }
    const auto all = store.keys();
    REQUIRE_OK(all);
    CHECK(all->size() == 30'000);
}

TEST_CASE("A walk ends where it is told to") {
    Store store = new_store();
    REQUIRE(add_keys(store, kStays, 5'000) == "");
    std::size_t taken = 0;
    REQUIRE_OK(store.for_each_key([&](ByteView) { return ++taken < 7; }));
    CHECK(taken == 7);
}

TEST_CASE("What a walk calls may use the store, to walk and to drop too") {
    Store store = new_store();
    REQUIRE(add_keys(store, kStays, 3'000) == "");
    Walk walk;
    const auto walked = store.for_each_key([&](ByteView key) {
        walk.note(key);
        REQUIRE_OK(store.get(key));
        REQUIRE_OK(store.append(key, "more"));
        REQUIRE_OK(store.append("other than " + std::string(key.text()), "value"));
        if (walk.keys.size() % 1'000 == 0) CHECK(store.keys()->size() >= 3'000);
        REQUIRE_OK(store.erase(key));
        REQUIRE_OK(store.append(key, "again"));  // a key that is behind the walk does not come again
        return true;
    });
    REQUIRE_OK(walked);
    CHECK(walk.twice == "");

    std::size_t after_the_drop = 0;
    const auto walked_on = store.for_each_key([&](ByteView) {
        if (after_the_drop == 0) {
            REQUIRE_OK(store.drop());
            REQUIRE(add_keys(store, "new ", 10) == "");
        }
        return ++after_the_drop < 100'000;
    });
    REQUIRE_OK(walked_on);
    CHECK(after_the_drop < 100'000);
    CHECK(keys_of(store, "").size() == 10);
}

TEST_CASE("A key that came before a drop does not come again behind it") {
    Store store = new_store();
    REQUIRE(add_keys(store, kStays, 30'000) == "");
    Walk walk;
    const auto walked = store.for_each_key([&](ByteView key) {
        walk.note(key);
        if (walk.keys.size() != 15'000) return true;
        // So few that the new index has one leaf for all hashes, those too that the walk has behind it.
        const std::vector<std::string> again(walk.keys.begin(), std::next(walk.keys.begin(), 300));
        REQUIRE_OK(store.drop());
        for (const std::string& name : again) REQUIRE_OK(store.append(name, "again"));
        return true;
    });
    REQUIRE_OK(walked);
    CHECK(walk.twice == "");
}

TEST_CASE("What a walk's function throws comes through, and leaves nothing behind") {
    Store store = new_store(16 * kMiB);
    REQUIRE(add_keys(store, kStays, 100) == "");
    CHECK_THROWS_AS((void)store.for_each_key([](ByteView) -> bool { throw std::runtime_error("enough"); }),
                    std::runtime_error);
    CHECK(turn_over_until_full(store).message == "");
    CHECK(walk_and_check(store, 100) == "");
}

TEST_CASE("A walk keeps no memory from reuse between two batches") {
    Store store = new_store(16 * kMiB);
    REQUIRE(add_keys(store, kStays, 100) == "");
    std::string failure = "nothing came";
    REQUIRE_OK(store.for_each_key([&](ByteView) {
        failure = turn_over_until_full(store).message;
        return false;
    }));
    CHECK(failure == "");

    KeyCursor cursor;
    REQUIRE(store.next_keys(cursor).value());
    CHECK(turn_over_until_full(store).message == "");
}

TEST_CASE("A cursor is of the store with which it has begun") {
    Store store = new_store();
    Store other = new_store();
    REQUIRE(add_keys(store, kStays, 100) == "");
    REQUIRE(add_keys(other, kStays, 100) == "");
    KeyCursor cursor;
    REQUIRE(store.next_keys(cursor).value());
    CHECK(cursor.keys().size() == 100);
    REQUIRE_CODE(other.next_keys(cursor), Code::kInvalidArgument);
    CHECK_FALSE(store.next_keys(cursor).value());
    CHECK(cursor.keys().empty());
    CHECK_FALSE(store.next_keys(cursor).value());

    Store moved = std::move(store);
    REQUIRE_CODE(store.next_keys(cursor), Code::kInvalidArgument);
    REQUIRE_CODE(store.for_each_key([](ByteView) { return true; }), Code::kInvalidArgument);
}

TEST_CASE("A cursor goes on where another Store of the same path goes on", "[two mappings]") {
    if (kThreadSanitizer) SHOAL_SKIP(kTwoMappings);
    TemporaryStore place;
    Walk walk;
    KeyCursor cursor;
    {
        auto store = Store::open(place.path(), with_limit(64 * kMiB));
        REQUIRE_OK(store);
        REQUIRE(add_keys(*store, kStays, 30'000) == "");
        REQUIRE(store->next_keys(cursor).value());
        for (const ByteView key : cursor.keys()) walk.note(key);
    }
    const std::size_t first = walk.keys.size();
    CHECK(first < 30'000);
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    while (store->next_keys(cursor).value()) {
        for (const ByteView key : cursor.keys()) walk.note(key);
    }
    CHECK(walk.keys.size() == 30'000);
    CHECK(walk.twice == "");
}

TEST_CASE("A walk of a store that is destroyed fails") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE(add_keys(*store, kStays, 10) == "");
    std::size_t taken = 0;
    KeyCursor cursor;
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    REQUIRE_CODE(store->for_each_key([&](ByteView) { return ++taken > 0; }), Code::kDestroyed);
    REQUIRE_CODE(store->next_keys(cursor), Code::kDestroyed);
    CHECK(taken == 0);
}

TEST_CASE("Beside threads that make and erase keys each key that stays comes once, and none twice") {
    Store store = new_store(256 * kMiB);
    const std::size_t stays = scaled(30'000, 3'000);
    REQUIRE(add_keys(store, kStays, stays) == "");
    std::atomic<bool> done{false};
    std::atomic<std::size_t> rounds{0};
    Threads threads;
    for (const char* by : {"one", "two"}) {
        threads.start([&, by] {
            return come_and_go(store, by, [&] {
                ++rounds;
                return !done;
            });
        });
    }
    std::string failure;
    for (std::size_t walks = 0; failure.empty() && (walks < scaled(60, 20) || rounds < 100); ++walks) {
        failure = walk_and_check(store, stays);
    }
    done = true;
    CHECK(failure == "");
    CHECK(threads.join() == "");
}

TEST_CASE("Beside threads that drop all, no key comes twice") {
    Store store = new_store(256 * kMiB);
    std::atomic<bool> done{false};
    std::atomic<std::size_t> drops{0};
    Threads threads;
    threads.start([&]() -> std::string {
        while (!done) {
            const std::string failure = add_keys(store, kComes, scaled(5'000, 1'000));
            if (!failure.empty()) return failure;
        }
        return {};
    });
    threads.start([&]() -> std::string {
        while (!done) {
            EXPECT_OK(store.drop());
            ++drops;
        }
        return {};
    });
    std::string failure;
    for (std::size_t walks = 0; failure.empty() && (walks < scaled(300, 50) || drops < 100); ++walks) {
        failure = walk_and_check(store, 0);
    }
    done = true;
    CHECK(failure == "");
    CHECK(threads.join() == "");
}

TEST_CASE("Beside processes that are killed, each key that stays comes once, and none twice", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(256 * kMiB));
    REQUIRE_OK(store);
    const std::size_t stays = scaled(10'000, 2'000);
    REQUIRE(add_keys(*store, kStays, stays) == "");
    for (std::size_t round = 0; round < scaled(20, 4); ++round) {
        SharedCounters walks(1);
        Child writer = Child::start([&]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            return come_and_go(*own, "killed", [] { return true; });
        });
        Child walker = Child::start([&]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            for (;;) {
                const std::string failure = walk_and_check(*own, stays);
                if (!failure.empty()) return failure;
                walks[0].fetch_add(1);
            }
        });
        for (std::size_t walk = 0; walk < 3; ++walk) REQUIRE(walk_and_check(*store, stays) == "");
        while (walks[0].load() == 0 && !walker.has_ended()) ::usleep(100);
        writer.kill();
        walker.kill();
        CHECK(writer.wait().starts_with("killed by signal 9"));
        CHECK(walker.wait().starts_with("killed by signal 9"));
    }
    REQUIRE(walk_and_check(*store, stays) == "");
    // What the dead walkers held comes back: far more goes through the store than its limit.
    CHECK(turn_over_until_full(*store).message == "");
}

TEST_CASE("After a fork parent and child go on with the walk, each to its end", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(store);
    REQUIRE(add_keys(*store, kStays, 30'000) == "");
    Walk walk;
    KeyCursor cursor;
    REQUIRE(store->next_keys(cursor).value());
    for (const ByteView key : cursor.keys()) walk.note(key);
    const auto go_on = [&]() -> std::string {
        for (;;) {
            const auto some = store->next_keys(cursor);
            EXPECT_OK(some);
            if (!*some) break;
            for (const ByteView key : cursor.keys()) walk.note(key);
        }
        EXPECT(walk.keys.size() == 30'000);
        EXPECT(walk.twice.empty());
        return {};
    };
    Child child = Child::start(go_on);
    CHECK(go_on() == "");
    CHECK(child.wait() == "");
}

TEST_CASE("A child that is forked inside of a walk, and ends there, takes nothing from the parent", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE(add_keys(*store, kStays, 1'000) == "");
    std::size_t taken = 0;
    REQUIRE_OK(store->for_each_key([&](ByteView key) {
        if (taken++ % 200 != 0) return true;
        const std::string name(key.text());
        CHECK(Child::run([&]() -> std::string {
                  EXPECT_OK(store->get(name));
                  return walk_and_check(*store, 1'000);
              }) == "");
        return true;
    }));
    CHECK(taken == 1'000);
    CHECK(turn_over_until_full(*store).message == "");
}
