// Key handles: right for ever, whatever happens to the key meanwhile.
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "new_store.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Pair;
using shoal::Store;
using namespace shoal_test;

TEST_CASE("A handle creates nothing by itself") {
    Store store = new_store();
    auto handle = store.key("k");
    REQUIRE_OK(handle);
    CHECK(handle->bytes() == "k");
    CHECK_FALSE(*store.contains("k"));
    CHECK(store.keys()->empty());
    REQUIRE_CODE(store.get(*handle), Code::kNotFound);
    CHECK(store.keys()->empty());
}

TEST_CASE("A handle made before its key and one made after reach the same value") {
    Store store = new_store();
    auto before = store.key("k");
    REQUIRE_OK(before);
    REQUIRE_OK(store.append("k", "1"));
    auto after = store.key("k");
    REQUIRE_OK(after);
    REQUIRE_OK(store.append(*before, "2"));
    REQUIRE_OK(store.append(*after, "3"));
    REQUIRE_OK(store.append("k", "4"));
    CHECK(store.get(*before)->text() == "1234");
    CHECK(store.get(*after)->text() == "1234");
    CHECK(store.get("k")->text() == "1234");
}

TEST_CASE("A handle outlives the bytes it was made from") {
    Store store = new_store();
    std::string name = "a name long enough to live on the heap, so that a dangling one would show";
    auto handle = store.key(name);
    REQUIRE_OK(handle);
    const std::string kept = name;
    name.assign(name.size(), 'x');
    REQUIRE_OK(store.append(*handle, "v"));
    CHECK(store.get(kept)->text() == "v");
    CHECK_FALSE(*store.contains(name));
}

TEST_CASE("A handle finds its key erased, and made again") {
    Store store = new_store();
    auto handle = store.key("k");
    REQUIRE_OK(handle);
    for (int round = 0; round < 200; ++round) {
        REQUIRE_OK(store.append(*handle, "old"));
        CHECK(*store.erase("k"));
        REQUIRE_CODE(store.get(*handle), Code::kNotFound);
        if (round % 2 == 0) REQUIRE_OK(store.append("k", "new "));
        REQUIRE_OK(store.append(*handle, "value"));
        REQUIRE(store.get("k")->text() == (round % 2 == 0 ? "new value" : "value"));
        REQUIRE(store.get(*handle)->text() == store.get("k")->text());
        CHECK(*store.erase("k"));
    }
}

TEST_CASE("A handle finds its key dropped") {
    Store store = new_store();
    auto handle = store.key("k");
    REQUIRE_OK(handle);
    for (int round = 0; round < 50; ++round) {
        REQUIRE_OK(store.append(*handle, std::to_string(round)));
        REQUIRE(store.get(*handle)->text() == std::to_string(round));
        REQUIRE_OK(store.drop());
        REQUIRE_CODE(store.get(*handle), Code::kNotFound);
    }
}

TEST_CASE("A handle of an erased key never writes into keys that took its memory") {
    Store store = new_store();
    const std::size_t rounds = scaled(200, 20);
    std::vector<shoal::Key> stale;
    for (std::size_t round = 0; round < rounds; ++round) {
        const std::string name = "stale " + std::to_string(round);
        auto handle = store.key(name);
        REQUIRE_OK(handle);
        REQUIRE_OK(store.append(*handle, "x"));
        stale.push_back(*handle);
        REQUIRE(*store.erase(name));
        for (int i = 0; i < 20; ++i)  // of the same shape, so that they take the same blocks
            REQUIRE_OK(store.append("taker " + std::to_string(round) + "/" + std::to_string(i), "y"));
    }
    for (shoal::Key& handle : stale) REQUIRE_CODE(store.get(handle), Code::kNotFound);
    std::vector<Pair> batch;
    for (shoal::Key& handle : stale) batch.emplace_back(handle, "z");
    REQUIRE_OK(store.append(batch));
    for (shoal::Key& handle : stale) REQUIRE(store.get(handle.bytes())->text() == "z");
    for (std::size_t round = 0; round < rounds; ++round)
        for (int i = 0; i < 20; ++i)
            REQUIRE(store.get("taker " + std::to_string(round) + "/" + std::to_string(i))->text() == "y");
    CHECK(store.keys()->size() == rounds * 21);
}

TEST_CASE("A handle sees what another Store of the same path does to its key") {
    TemporaryStore place;
    auto mine = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(mine);
    auto other = Store::attach(place.path());
    REQUIRE_OK(other);
    auto handle = mine->key("k");
    auto other_handle = other->key("k");
    REQUIRE_OK(handle);
    REQUIRE_OK(other_handle);
    for (int round = 0; round < 100; ++round) {
        REQUIRE_OK(mine->append(*handle, "a"));
        REQUIRE_OK(other->append(*other_handle, "b"));
        REQUIRE(mine->get(*handle)->text() == "ab");
        REQUIRE(*other->erase("k"));
        REQUIRE_CODE(mine->get(*handle), Code::kNotFound);
        REQUIRE_OK(other->append("k", "c"));
        REQUIRE(mine->get(*handle)->text() == "c");
        REQUIRE_OK(round % 2 == 0 ? mine->drop() : other->drop());
        REQUIRE_CODE(other->get(*other_handle), Code::kNotFound);
    }
}

TEST_CASE("A handle made by one store is right in another, and one made by none stands for the empty key") {
    Store first = new_store();
    Store second = new_store();
    auto handle = first.key("k");
    REQUIRE_OK(handle);
    REQUIRE_OK(first.append(*handle, "in the first"));
    REQUIRE_OK(second.append(*handle, "in the second"));
    CHECK(first.get("k")->text() == "in the first");
    CHECK(second.get("k")->text() == "in the second");
    CHECK(second.get(*handle)->text() == "in the second");

    shoal::Key nobodys;
    REQUIRE_OK(first.append(nobodys, "empty key"));
    REQUIRE_OK(first.append("", ", by bytes"));
    CHECK(first.get("")->text() == "empty key, by bytes");
    CHECK(first.keys()->size() == 2);
}
