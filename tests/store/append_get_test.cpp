// append and the ways to read a value, one thread: what they do and the errors they document.
#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "new_store.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

// Keys that a map which mangles, trims or compares by C string gets wrong.
std::vector<std::string> awkward_keys() {
    using namespace std::string_literals;
    std::vector<std::string> keys = {
        ""s,     "\0"s,   "\0\0"s, "a"s,   "a\0"s, "a\0b"s, "a\0c"s, "A"s,   "1"s, "01"s, "é"s,
        "\xff"s, "../x"s, "/"s,    "a/b"s, "."s,   ".."s,   "Foo!"s, "Foo"s, " "s, "\n"s, "a\n"s,
    };
    for (const std::size_t size : {7U,   8U,   9U,   15U,  16U,  17U,  31U,  32U,  33U,   63U,   64U,    65U,
                                   127U, 128U, 129U, 240U, 241U, 255U, 256U, 257U, 1000U, 4096U, 65535U, 65536U}) {
        std::string key(size, 'k');
        keys.push_back(key);
        key.back() = 'l';  // differs in its last byte only
        keys.push_back(key);
        key.back() = 'k';
        key.front() = 'l';  // in its first
        keys.push_back(key);
    }
    return keys;
}

}  // namespace

TEST_CASE("A value is its records joined in the order they were appended") {
    Store store = new_store();
    REQUIRE_OK(store.append("apple", "red,"));
    REQUIRE_OK(store.append("apple", "green,"));
    REQUIRE_OK(store.append("pear", "yellow"));
    const auto apple = store.get("apple");
    REQUIRE_OK(apple);
    CHECK(apple->text() == "red,green,");
    const auto pear = store.get("pear");
    REQUIRE_OK(pear);
    CHECK(pear->text() == "yellow");
}

TEST_CASE("A key that was never appended to is not found by any way of reading") {
    Store store = new_store();
    REQUIRE_OK(store.append("present", "x"));
    std::byte buffer[8];
    auto handle = store.key("absent");
    REQUIRE_OK(handle);
    REQUIRE_CODE(store.get("absent"), Code::kNotFound);
    REQUIRE_CODE(store.get(*handle), Code::kNotFound);
    REQUIRE_CODE(store.get_into("absent", buffer), Code::kNotFound);
    REQUIRE_CODE(store.get_into(*handle, buffer), Code::kNotFound);
    REQUIRE_CODE(store.view("absent"), Code::kNotFound);
    REQUIRE_CODE(store.records("absent"), Code::kNotFound);
    REQUIRE_CODE(store.size("absent"), Code::kNotFound);
    const auto contains = store.contains("absent");
    REQUIRE_OK(contains);
    CHECK_FALSE(*contains);
    const auto erased = store.erase("absent");
    REQUIRE_OK(erased);
    CHECK_FALSE(*erased);
    const auto keys = store.keys();
    REQUIRE_OK(keys);
    CHECK(keys->size() == 1);
}

TEST_CASE("An empty record makes an empty value, which is not a missing one") {
    Store store = new_store();
    REQUIRE_OK(store.append("k", ""));
    REQUIRE_OK(store.append("k", ByteView()));
    const auto value = store.get("k");
    REQUIRE_OK(value);
    CHECK(value->empty());
    const auto contains = store.contains("k");
    REQUIRE_OK(contains);
    CHECK(*contains);
    const auto size = store.size("k");
    REQUIRE_OK(size);
    CHECK(size->bytes == 0);
    CHECK(size->records == 2);
    const auto records = store.records("k");
    REQUIRE_OK(records);
    REQUIRE(records->size() == 2);
    CHECK((*records)[0].empty());
    CHECK((*records)[1].empty());
    CHECK(records->bytes() == 0);
    const auto view = store.view("k");
    REQUIRE_OK(view);
    CHECK(view->spans().empty());
    CHECK(view->bytes() == 0);
    const auto into = store.get_into("k", std::span<std::byte>());
    REQUIRE_OK(into);
    CHECK(*into == 0);
}

TEST_CASE("Empty records between others keep their places") {
    Store store = new_store();
    std::string value;
    for (int i = 0; i < 1000; ++i) {
        REQUIRE_OK(store.append("k", ""));
        REQUIRE_OK(store.append("k", std::to_string(i)));
        value += std::to_string(i);
    }
    const auto records = store.records("k");
    REQUIRE_OK(records);
    REQUIRE(records->size() == 2000);
    for (std::size_t i = 0; i < 1000; ++i) {
        REQUIRE((*records)[2 * i].empty());
        REQUIRE((*records)[2 * i + 1].text() == std::to_string(i));
    }
    const auto got = store.get("k");
    REQUIRE_OK(got);
    CHECK(got->text() == value);
}

TEST_CASE("Keys are any bytes and are compared whole") {
    Store store = new_store();
    const std::vector<std::string> keys = awkward_keys();
    for (std::size_t i = 0; i < keys.size(); ++i) REQUIRE_OK(store.append(keys[i], std::to_string(i)));
    for (std::size_t i = 0; i < keys.size(); ++i) {
        INFO("key " << i << " of " << keys[i].size() << " bytes");
        const auto value = store.get(keys[i]);
        REQUIRE_OK(value);
        REQUIRE(value->text() == std::to_string(i));
    }
    const auto listed = store.keys();
    REQUIRE_OK(listed);
    std::vector<std::string> sorted_listed, sorted_keys = keys;
    for (const shoal::Bytes& key : *listed) sorted_listed.push_back(key.str());
    std::sort(sorted_listed.begin(), sorted_listed.end());
    std::sort(sorted_keys.begin(), sorted_keys.end());
    CHECK(sorted_listed == sorted_keys);
}

TEST_CASE("A key of more than 64 KiB is refused by every call and nothing is touched") {
    Store store = new_store();
    const std::string key(shoal::kMaxKeyBytes + 1, 'k');
    const ByteView pieces[] = {"a", "b"};
    const ByteView asked[] = {"good", key};
    const shoal::Pair batch[] = {{"good", "1"}, {ByteView(key), "2"}, {"good", "3"}};
    std::byte buffer[8];
    REQUIRE_CODE(store.append(key, "x"), Code::kInvalidArgument);
    REQUIRE_CODE(store.append(key, pieces), Code::kInvalidArgument);
    REQUIRE_CODE(store.iset(key, "x"), Code::kInvalidArgument);
    REQUIRE_CODE(store.key(key), Code::kInvalidArgument);
    REQUIRE_CODE(store.get(key), Code::kInvalidArgument);
    REQUIRE_CODE(store.get_into(key, buffer), Code::kInvalidArgument);
    REQUIRE_CODE(store.view(key), Code::kInvalidArgument);
    REQUIRE_CODE(store.records(key), Code::kInvalidArgument);
    REQUIRE_CODE(store.size(key), Code::kInvalidArgument);
    REQUIRE_CODE(store.contains(key), Code::kInvalidArgument);
    REQUIRE_CODE(store.erase(key), Code::kInvalidArgument);
    const auto keys_before = store.keys();
    REQUIRE_OK(keys_before);
    CHECK(keys_before->empty());

    const auto appended = store.append(batch);
    REQUIRE_CODE(appended, Code::kInvalidArgument);
    REQUIRE(appended.error().count <= 1);
    const auto got = store.get(asked);
    REQUIRE(got.size() == 2);
    REQUIRE_CODE(got[1], Code::kInvalidArgument);
    if (appended.error().count == 0) REQUIRE_CODE(got[0], Code::kNotFound);
    if (appended.error().count == 1) CHECK(got[0]->text() == "1");
}

TEST_CASE("Scattered pieces form one record") {
    Store store = new_store();
    const std::string large = pattern(100'000, 1);
    const ByteView none[] = {ByteView()};
    const ByteView several[] = {"one ", "", "two ", large, "", " three"};
    REQUIRE_OK(store.append("k", std::span<const ByteView>()));
    REQUIRE_OK(store.append("k", none));
    REQUIRE_OK(store.append("k", several));
    auto handle = store.key("k");
    REQUIRE_OK(handle);
    REQUIRE_OK(store.append(*handle, several));
    std::vector<ByteView> thousand(1000, ByteView("abc"));
    REQUIRE_OK(store.append("k", thousand));
    std::string thousand_joined;
    for (int i = 0; i < 1000; ++i) thousand_joined += "abc";

    const auto records = store.records("k");
    REQUIRE_OK(records);
    REQUIRE(records->size() == 5);
    CHECK((*records)[0].empty());
    CHECK((*records)[1].empty());
    CHECK(((*records)[2].text() == "one two " + large + " three"));
    CHECK(((*records)[3].text() == "one two " + large + " three"));
    CHECK((*records)[4].text() == thousand_joined);
}

TEST_CASE("get of many keys gives one result a key in the order asked") {
    Store store = new_store();
    std::vector<std::string> names;
    for (int i = 0; i < 500; ++i) {
        names.push_back("key " + std::to_string(i));
        if (i % 3 != 0) REQUIRE_OK(store.append(names.back(), pattern(static_cast<std::size_t>(i), 5)));
    }
    std::vector<ByteView> asked(names.rbegin(), names.rend());
    asked.push_back(names[1]);  // twice is allowed
    asked.push_back(names[0]);
    const auto got = store.get(asked);
    REQUIRE(got.size() == asked.size());
    for (std::size_t i = 0; i < 500; ++i) {
        const std::size_t key = 499 - i;
        INFO("key " << key);
        if (key % 3 == 0) {
            REQUIRE_CODE(got[i], Code::kNotFound);
        } else {
            REQUIRE_OK(got[i]);
            REQUIRE((got[i]->text() == pattern(key, 5)));
        }
    }
    REQUIRE_OK(got[500]);
    CHECK((got[500]->text() == pattern(1, 5)));
    REQUIRE_CODE(got[501], Code::kNotFound);
    CHECK(store.get(std::span<const ByteView>()).empty());
}

TEST_CASE("get_into fills a buffer that is large enough and says how much a small one lacks") {
    Store store = new_store();
    const std::string value = pattern(10'000, 3);
    for (std::size_t at = 0; at < value.size(); at += 1000) REQUIRE_OK(store.append("k", value.substr(at, 1000)));
    auto handle = store.key("k");
    REQUIRE_OK(handle);
    for (const std::size_t spare : {0U, 1U, 100U}) {
        std::vector<std::byte> buffer(value.size() + spare, std::byte{0x5A});
        const auto bytes = spare == 1 ? store.get_into(*handle, buffer) : store.get_into("k", buffer);
        REQUIRE_OK(bytes);
        REQUIRE(*bytes == value.size());
        CHECK((ByteView(buffer.data(), *bytes) == ByteView(value)));
        for (std::size_t i = value.size(); i < buffer.size(); ++i) REQUIRE(buffer[i] == std::byte{0x5A});
    }
    for (const std::size_t size : {0U, 1U, 999U, 1000U, 9999U}) {
        std::vector<std::byte> buffer(size + 8, std::byte{0x5A});
        const auto bytes = store.get_into("k", std::span(buffer).first(size));
        REQUIRE_CODE(bytes, Code::kBufferTooSmall);
        CHECK(bytes.error().count == value.size());
        for (std::size_t i = size; i < buffer.size(); ++i) REQUIRE(buffer[i] == std::byte{0x5A});
    }
}

TEST_CASE("size counts bytes and records as they are appended") {
    Store store = new_store();
    std::uint64_t bytes = 0;
    for (std::uint64_t i = 0; i < 2000; ++i) {
        const std::size_t record = (i * 37) % 500;
        REQUIRE_OK(store.append("k", std::string(record, 'x')));
        bytes += record;
        const auto size = store.size("k");
        REQUIRE_OK(size);
        REQUIRE(size->bytes == bytes);
        REQUIRE(size->records == i + 1);
    }
}

TEST_CASE("stats count keys, records and payload, and name the store") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    const auto empty = store->stats();
    REQUIRE_OK(empty);
    CHECK(empty->keys == 0);
    CHECK(empty->records == 0);
    CHECK(empty->payload_bytes == 0);
    for (int i = 0; i < 1000; ++i) REQUIRE_OK(store->append("key " + std::to_string(i % 100), "0123456789"));
    const auto full = store->stats();
    REQUIRE_OK(full);
    CHECK(full->path == place.path());
    CHECK_FALSE(full->arena_path.empty());
    CHECK(full->store_id.size() == 32);
    CHECK(full->store_id.find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(full->memory_limit_bytes == 16 * kMiB);
    CHECK(full->real_bytes <= full->memory_limit_bytes);
    CHECK(full->used_bytes <= full->real_bytes);
    CHECK(full->used_bytes >= full->payload_bytes + full->index_bytes);
    CHECK(full->keys == 100);
    CHECK(full->records == 1000);
    CHECK(full->payload_bytes == 10'000);
    CHECK(full->segments >= 100);
    CHECK(full->index_bytes > 0);
    CHECK(full->slots_in_use >= 1);
    CHECK(full->slots_total >= full->slots_in_use);
}
