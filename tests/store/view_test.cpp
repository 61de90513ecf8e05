// view and records: the bytes themselves, valid while they are held, whatever becomes of key and Store.
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::ByteView;
using shoal::Store;
using namespace shoal_test;

namespace {

std::string joined(const shoal::View& view) {
    std::string bytes;
    for (const ByteView span : view.spans()) bytes += span.text();
    return bytes;
}

std::string joined(const shoal::Records& records) {
    std::string bytes;
    for (const ByteView record : records) bytes += record.text();
    return bytes;
}

// Appends records of `sizes`, and returns the value.
std::string append_all(Store& store, const std::string& key, const std::vector<std::size_t>& sizes) {
    std::string value;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        const std::string record = pattern(sizes[i], i);
        REQUIRE_OK(store.append(key, record));
        value += record;
    }
    return value;
}

// Uses so much memory, again and again, that every block which may be reused is.
void churn(Store& store) {
    for (std::size_t round = 0; round < scaled(8, 2); ++round) {
        for (int i = 0; i < 2000; ++i)
            REQUIRE_OK(store.append("churn " + std::to_string(i), std::string(500, '#')));
        REQUIRE_OK(store.append("churn large", std::string(3'000'000, '#')));
        REQUIRE_OK(store.drop());
    }
}

const std::vector<std::size_t> kSizes = {0, 1, 40, 0, 8, 3000, 64, 200'000, 5, 2'000'000, 17};

}  // namespace

TEST_CASE("records gives each record whole, in order; view the same bytes without empty spans") {
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    const std::string value = append_all(*store, "k", kSizes);
    const auto records = store->records("k");
    REQUIRE_OK(records);
    REQUIRE(records->size() == kSizes.size());
    CHECK_FALSE(records->empty());
    CHECK(records->bytes() == value.size());
    for (std::size_t i = 0; i < kSizes.size(); ++i) REQUIRE(((*records)[i].text() == pattern(kSizes[i], i)));
    const auto view = store->view("k");
    REQUIRE_OK(view);
    CHECK(view->bytes() == value.size());
    CHECK((joined(*view) == value));
    for (const ByteView span : view->spans()) CHECK_FALSE(span.empty());
}

TEST_CASE("A view is a cut: what is appended later is not in it") {
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "before"));
    const auto view = store->view("k");
    const auto records = store->records("k");
    REQUIRE_OK(view);
    REQUIRE_OK(records);
    for (int i = 0; i < 1000; ++i) REQUIRE_OK(store->append("k", "after"));
    CHECK(joined(*view) == "before");
    CHECK(records->size() == 1);
    CHECK(joined(*records) == "before");
}

TEST_CASE("A default-made view or records is empty") {
    const shoal::View view;
    const shoal::Records records;
    CHECK(view.bytes() == 0);
    CHECK(view.spans().empty());
    CHECK(records.empty());
    CHECK(records.bytes() == 0);
}

TEST_CASE("A view outlives the erase of its key and the reuse of memory") {
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    const std::string value = append_all(*store, "k", kSizes);
    const auto view = store->view("k");
    const auto records = store->records("k");
    REQUIRE_OK(view);
    REQUIRE_OK(records);
    REQUIRE(*store->erase("k"));
    churn(*store);
    CHECK((joined(*view) == value));
    CHECK((joined(*records) == value));
    append_all(*store, "k", {10, 10});
    CHECK((joined(*view) == value));
}

TEST_CASE("A view outlives drop") {
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    const std::string value = append_all(*store, "k", kSizes);
    const auto records = store->records("k");
    REQUIRE_OK(records);
    REQUIRE_OK(store->drop());
    churn(*store);
    CHECK((joined(*records) == value));
}

TEST_CASE("Views outlive the Store object they came from, also each other") {
    TemporaryStore place;
    std::optional<shoal::View> view;
    std::optional<shoal::Records> records;
    std::string value;
    auto other = Store::open(place.path(), with_limit(256 * kMiB));  // a view keeps all that is erased after it
    REQUIRE_OK(other);
    {
        auto store = Store::attach(place.path());
        REQUIRE_OK(store);
        value = append_all(*store, "k", kSizes);
        view = *store->view("k");
        records = *store->records("k");
    }
    CHECK((joined(*view) == value));
    REQUIRE(*other->erase("k"));
    churn(*other);
    CHECK((joined(*view) == value));
    view.reset();
    churn(*other);
    CHECK((joined(*records) == value));
}

TEST_CASE("Views outlive destroy") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(store);
    const std::string value = append_all(*store, "k", kSizes);
    const auto view = store->view("k");
    REQUIRE_OK(view);
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    CHECK((joined(*view) == value));
}

TEST_CASE("Copies of records may be handed to other threads, and the last one keeps the bytes", "[threads]") {
    auto store = Store::in_memory(with_limit(64 * kMiB));
    REQUIRE_OK(store);
    const std::string value = append_all(*store, "k", kSizes);
    auto records = store->records("k");
    REQUIRE_OK(records);
    std::vector<char> right(4, 0);
    std::vector<std::thread> threads;
    for (char& is_right : right)
        threads.emplace_back([copy = *records, &value, &is_right] { is_right = joined(copy) == value; });
    *records = {};
    REQUIRE(*store->erase("k"));
    churn(*store);
    for (std::thread& thread : threads) thread.join();
    for (const char is_right : right) CHECK(is_right);
}

TEST_CASE("Memory that views held is used again once they are gone") {
    auto store = Store::in_memory(with_limit(32 * kMiB));
    REQUIRE_OK(store);
    for (int round = 0; round < 20; ++round) {
        REQUIRE_OK(store->append("k", std::string(8'000'000, 'v')));
        const auto view = store->view("k");
        REQUIRE_OK(view);
        REQUIRE(*store->erase("k"));
        CHECK(view->bytes() == 8'000'000);
    }
}
