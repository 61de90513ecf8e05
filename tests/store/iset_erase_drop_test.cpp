// iset, erase and drop, and what a Store object's moves leave.
#include <string>
#include <utility>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "new_store.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

TEST_CASE("iset sets a value once") {
    Store store = new_store();
    const auto first = store.iset("k", "first");
    REQUIRE_OK(first);
    CHECK(*first);
    const auto second = store.iset("k", "second");
    REQUIRE_OK(second);
    CHECK_FALSE(*second);
    CHECK(store.get("k")->text() == "first");
    CHECK(store.size("k")->records == 1);
}

TEST_CASE("iset does nothing to a key that was appended to") {
    Store store = new_store();
    REQUIRE_OK(store.append("k", "appended"));
    REQUIRE_OK(store.append("empty", ""));
    CHECK_FALSE(*store.iset("k", "set"));
    CHECK_FALSE(*store.iset("empty", "set"));
    CHECK(store.get("k")->text() == "appended");
    CHECK(store.get("empty")->text().empty());
}

TEST_CASE("iset of an empty value is a value") {
    Store store = new_store();
    CHECK(*store.iset("k", ""));
    CHECK_FALSE(*store.iset("k", "late"));
    CHECK(*store.contains("k"));
    CHECK(store.get("k")->empty());
}

TEST_CASE("A value that was set can be appended to") {
    Store store = new_store();
    CHECK(*store.iset("k", "set,"));
    REQUIRE_OK(store.append("k", "appended"));
    CHECK(store.get("k")->text() == "set,appended");
}

TEST_CASE("iset takes values of any size") {
    Store store = new_store();
    for (const std::size_t size : {1U, 55U, 56U, 57U, 64U, 1000U, 65'536U, 1U << 20, 5'000'000U}) {
        const std::string key = std::to_string(size), value = pattern(size, 1);
        CHECK(*store.iset(key, value));
        const auto got = store.get(key);
        REQUIRE_OK(got);
        REQUIRE((got->text() == value));
        CHECK_FALSE(*store.iset(key, "x"));
    }
}

TEST_CASE("After erase and after drop a key can be set again") {
    Store store = new_store();
    for (int round = 0; round < 100; ++round) {
        const std::string value = std::to_string(round);
        REQUIRE(*store.iset("k", value));
        REQUIRE(store.get("k")->text() == value);
        if (round % 2 == 0) REQUIRE(*store.erase("k"));
        if (round % 2 == 1) REQUIRE_OK(store.drop());
        REQUIRE_CODE(store.get("k"), Code::kNotFound);
    }
}

TEST_CASE("erase removes one key and its value, and says whether there was one") {
    Store store = new_store();
    for (int i = 0; i < 1000; ++i) REQUIRE_OK(store.append("key " + std::to_string(i), std::to_string(i)));
    for (int i = 0; i < 1000; i += 2) REQUIRE(*store.erase("key " + std::to_string(i)));
    for (int i = 0; i < 1000; ++i) {
        const std::string key = "key " + std::to_string(i);
        if (i % 2 == 0) {
            REQUIRE_CODE(store.get(key), Code::kNotFound);
            REQUIRE_CODE(store.size(key), Code::kNotFound);
            REQUIRE_FALSE(*store.contains(key));
            REQUIRE_FALSE(*store.erase(key));
        } else {
            REQUIRE(store.get(key)->text() == std::to_string(i));
        }
    }
    CHECK(store.keys()->size() == 500);
    CHECK(store.stats()->keys == 500);
    CHECK(store.stats()->records == 500);
}

TEST_CASE("A key that was erased starts anew with the next append") {
    Store store = new_store();
    for (std::size_t round = 0; round < 300; ++round) {
        const std::string old_value = pattern((round * 997) % 70'000, round);
        REQUIRE_OK(store.append("k", old_value));
        REQUIRE(*store.erase("k"));
        REQUIRE_OK(store.append("k", "new"));
        REQUIRE(store.get("k")->text() == "new");
        REQUIRE(store.size("k")->records == 1);
        REQUIRE(*store.erase("k"));
    }
    CHECK(store.keys()->empty());
}

TEST_CASE("A key may be made and erased any number of times, alone and beside others, in the same memory") {
    const bool alone = GENERATE(true, false);
    Store store = new_store();
    if (!alone)
        for (int i = 0; i < 5000; ++i) REQUIRE_OK(store.append("other " + std::to_string(i), "kept"));
    std::uint64_t used = 0;
    const std::size_t rounds = scaled(50'000, 10'000);
    for (std::size_t round = 0; round < rounds; ++round) {
        REQUIRE_OK(store.append("k", "x"));
        REQUIRE(*store.erase("k"));
        if (round == 1000) used = store.stats()->used_bytes;
    }
    CHECK(store.stats()->used_bytes <= used + 128 * 1024);
    CHECK(store.keys()->size() == (alone ? 0U : 5000U));
}

TEST_CASE("drop empties the store and the store works on") {
    Store store = new_store();
    REQUIRE_OK(store.drop());  // of nothing
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 500; ++i) REQUIRE_OK(store.append("key " + std::to_string(i), std::to_string(round)));
        REQUIRE(store.keys()->size() == 500);
        REQUIRE(store.get("key 7")->text() == std::to_string(round));
        REQUIRE_OK(store.drop());
        REQUIRE(store.keys()->empty());
        REQUIRE_CODE(store.get("key 7"), Code::kNotFound);
        const auto stats = store.stats();
        REQUIRE_OK(stats);
        REQUIRE(stats->keys == 0);
        REQUIRE(stats->records == 0);
        REQUIRE(stats->payload_bytes == 0);
    }
}

TEST_CASE("A Store moves; what it was moved from may be assigned to and destroyed") {
    Store first = new_store();
    Store second = new_store();
    REQUIRE_OK(first.append("k", "first"));
    REQUIRE_OK(second.append("k", "second"));
    Store moved = std::move(first);
    CHECK(moved.get("k")->text() == "first");
    first = std::move(second);
    CHECK(first.get("k")->text() == "second");
    moved = std::move(first);
    CHECK(moved.get("k")->text() == "second");
    auto handle = moved.key("k");
    REQUIRE_OK(handle);
    Store last = std::move(moved);
    REQUIRE_OK(last.append(*handle, "!"));
    CHECK(last.get(*handle)->text() == "second!");
}

TEST_CASE("in-memory stores know nothing of each other") {
    Store one = new_store();
    Store two = new_store();
    REQUIRE_OK(one.append("k", "one"));
    REQUIRE_CODE(two.get("k"), Code::kNotFound);
    REQUIRE_OK(two.append("k", "two"));
    CHECK(one.get("k")->text() == "one");
    CHECK(one.stats()->path.empty());
}
