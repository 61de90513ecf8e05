// append(batch): many records in one call, keys by bytes and by handle.
#include <map>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "new_store.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::ByteView;
using shoal::Pair;
using shoal::Store;
using namespace shoal_test;

TEST_CASE("A batch appends its pairs in order, whatever its length") {
    Store store = new_store(128 * kMiB);
    for (std::size_t length = 0; length < 130; ++length) {
        std::vector<std::string> records, keys;
        for (std::size_t i = 0; i < length; ++i) {
            keys.push_back(std::to_string(length) + "/" + std::to_string(i % 7));
            records.push_back(std::to_string(i) + ",");
        }
        std::vector<Pair> batch;
        std::map<std::string, std::string> model;
        for (std::size_t i = 0; i < length; ++i) {
            batch.emplace_back(ByteView(keys[i]), records[i]);
            model[keys[i]] += records[i];
        }
        REQUIRE_OK(store.append(batch));
        for (const auto& [key, expected_value] : model) {
            const auto value = store.get(key);
            REQUIRE_OK(value);
            REQUIRE(value->text() == expected_value);
        }
    }
}

TEST_CASE("A batch may have the same key many times") {
    Store store = new_store(128 * kMiB);
    std::vector<std::string> records;
    std::string joined;
    for (std::size_t i = 0; i < 5000; ++i) {
        records.push_back(pattern(i % 300, i));
        joined += records.back();
    }
    std::vector<Pair> batch;
    for (const std::string& record : records) batch.emplace_back("hot", record);
    REQUIRE_OK(store.append(batch));
    const auto found = store.records("hot");
    REQUIRE_OK(found);
    REQUIRE(found->size() == records.size());
    for (std::size_t i = 0; i < records.size(); ++i) REQUIRE(((*found)[i].text() == records[i]));
    const auto value = store.get("hot");
    REQUIRE_OK(value);
    CHECK((value->text() == joined));
}

TEST_CASE("A batch takes keys by bytes, by handle and both, also for one key") {
    Store store = new_store(128 * kMiB);
    auto handle_a = store.key("a");
    auto handle_b = store.key("b");
    REQUIRE_OK(handle_a);
    REQUIRE_OK(handle_b);
    auto handle_a_copy = *handle_a;
    std::string expected_a, expected_b;
    for (int round = 0; round < 200; ++round) {
        const std::string r = std::to_string(round);
        const std::string r1 = r + "1,", r2 = r + "2,", r3 = r + "3,", r4 = r + "4,", r5 = r + "5,";
        const Pair batch[] = {{*handle_a, r1},     {"a", r2},       {*handle_b, r3},
                              {handle_a_copy, r4}, {*handle_a, ""}, {"b", r5}};
        REQUIRE_OK(store.append(batch));
        expected_a += r1 + r2 + r4;
        expected_b += r3 + r5;
    }
    CHECK(store.get("a")->text() == expected_a);
    CHECK(store.get("b")->text() == expected_b);
    CHECK(store.get(*handle_a)->text() == expected_a);
    CHECK(store.size("a")->records == 800);
    CHECK(store.keys()->size() == 2);
}

TEST_CASE("A batch mixes new keys, old keys, empty keys, and records of all sizes") {
    Store store = new_store(128 * kMiB);
    std::map<std::string, std::string> model;
    std::uint64_t random = 42;
    const std::size_t rounds = scaled(60, 6);
    for (std::size_t round = 0; round < rounds; ++round) {
        std::vector<std::string> keys, records;
        for (int i = 0; i < 300; ++i) {
            const std::uint64_t word = next_random(random);
            keys.push_back(word % 17 == 0 ? std::string() : "k" + std::to_string(word % 2000));
            const std::size_t size = word % 101 == 0  ? (word >> 40) % 200'000
                                     : word % 11 == 0 ? (word >> 40) % 4000
                                                      : (word >> 40) % 80;
            records.push_back(pattern(size, word));
        }
        std::vector<Pair> batch;
        for (std::size_t i = 0; i < keys.size(); ++i) {
            batch.emplace_back(ByteView(keys[i]), records[i]);
            model[keys[i]] += records[i];
        }
        REQUIRE_OK(store.append(batch));
        if (round % 10 == 9) {
            REQUIRE_OK(store.drop());
            model.clear();
        }
    }
    REQUIRE_OK(store.append("last", "one"));
    model["last"] = "one";
    REQUIRE(store.keys()->size() == model.size());
    for (const auto& [key, expected_value] : model) {
        const auto value = store.get(key);
        REQUIRE_OK(value);
        REQUIRE((value->text() == expected_value));
    }
}

TEST_CASE("The limit met in a batch before a key that is too long is the error that is told") {
    auto store = Store::in_memory(with_limit(8 * kMiB));
    REQUIRE_OK(store);
    const std::string large(40 * kMiB, 'v');
    const std::string long_key(shoal::kMaxKeyBytes + 1, 'k');
    const std::vector<Pair> batch{{"small", "v"}, {"large", large}, {long_key, "v"}, {"after", "v"}};
    const auto appended = store->append(batch);
    REQUIRE_FALSE(appended);
    CHECK(appended.error().code == shoal::Code::kMemoryLimit);
    CHECK(appended.error().count == 1);
    CHECK(store->keys()->size() == 1);
}
