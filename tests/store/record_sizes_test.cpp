// Records of every size around every boundary there is or may be, in stores of several segment shapes.
#include <string>
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

// 0 to 65, and each power of two up to `largest`, give or take 9.
std::vector<std::size_t> boundary_sizes(std::size_t largest) {
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size < 66; ++size) sizes.push_back(size);
    for (std::size_t power = 128; power <= largest; power *= 2)
        for (std::size_t size = power - 9; size <= power + 9; ++size) sizes.push_back(size);
    return sizes;
}

shoal::Options shaped(std::uint32_t first_segment_bytes, std::uint32_t max_segment_bytes) {
    shoal::Options options = with_limit(128 * kMiB);
    options.first_segment_bytes = first_segment_bytes;
    options.max_segment_bytes = max_segment_bytes;
    return options;
}

const std::size_t kLargest = kSanitizer ? 256 * 1024 : 4 * kMiB;

struct Shape {
    std::uint32_t first, max;
};
const Shape kShapes[] = {{64, 1U << 20}, {64, 64 * 1024}, {4096, 256 * 1024}, {1U << 20, 1U << 20}};

}  // namespace

TEST_CASE("A record of any size comes back exactly, and its neighbours too") {
    const auto [first_segment, max_segment] = GENERATE(from_range(std::begin(kShapes), std::end(kShapes)));
    // The default shape goes through all sizes, the others up to twice their largest segment.
    const bool is_default = first_segment == 64 && max_segment == 1U << 20;
    auto store = Store::in_memory(shaped(first_segment, max_segment));
    REQUIRE_OK(store);
    for (const std::size_t size : boundary_sizes(is_default ? kLargest : std::min(kLargest, kMiB / 2))) {
        INFO(size << " bytes");
        const std::string key = std::to_string(size), record = pattern(size, size);
        const std::vector<std::string> records = {"a", record, "bc", record, record, "d"};
        for (const std::string& part : records) REQUIRE_OK(store->append(key, part));
        const auto found = store->records(key);
        REQUIRE_OK(found);
        REQUIRE(found->size() == records.size());
        for (std::size_t i = 0; i < records.size(); ++i) REQUIRE(((*found)[i].text() == records[i]));
        REQUIRE(store->size(key)->bytes == 3 * size + 4);
        REQUIRE(*store->erase(key));
    }
}

TEST_CASE("Records of all sizes in a row make one value") {
    const auto [first_segment, max_segment] = GENERATE(from_range(std::begin(kShapes), std::end(kShapes)));
    auto store = Store::in_memory(shaped(first_segment, max_segment));
    REQUIRE_OK(store);
    const std::vector<std::size_t> sizes = boundary_sizes(64 * 1024);
    std::string value;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        // From both ends at once: small beside large in every combination of fill and size.
        for (const std::size_t size : {sizes[i], sizes[sizes.size() - 1 - i]}) {
            const std::string record = pattern(size, i);
            REQUIRE_OK(store->append("k", record));
            value += record;
        }
    }
    const auto got = store->get("k");
    REQUIRE_OK(got);
    REQUIRE(got->size() == value.size());
    CHECK((got->text() == value));
    std::vector<std::byte> buffer(value.size());
    REQUIRE_OK(store->get_into("k", buffer));
    CHECK((ByteView(buffer) == ByteView(value)));
    CHECK(store->size("k")->bytes == value.size());
    CHECK(store->size("k")->records == 2 * sizes.size());
}

TEST_CASE("A record that fills what is left of a segment to the byte, or is one more or less, is whole") {
    auto store = Store::in_memory(shaped(4096, 64 * 1024));
    REQUIRE_OK(store);
    // Whatever the head of a segment takes: each start of a key and each size near the rest is tried.
    for (std::size_t start = 3900; start < 4100; ++start) {
        const std::string key = std::to_string(start);
        const std::string first = pattern(start, start);
        REQUIRE_OK(store->append(key, first));
        std::string value = first;
        for (std::size_t i = 0; i < 40; ++i) {
            const std::string record = pattern(i * 7 % 33, i);
            REQUIRE_OK(store->append(key, record));
            value += record;
        }
        const auto got = store->get(key);
        REQUIRE_OK(got);
        REQUIRE((got->text() == value));
    }
}

TEST_CASE("Large records of a key take at most three times their bytes, however few there are") {
    const auto record_bytes = static_cast<std::size_t>(GENERATE(40'000, 64 * 1024, 100'000, 200'000));
    const bool together = GENERATE(false, true);  // two of them as one group of a batch
    INFO(record_bytes << " bytes" << (together ? ", two at once" : ""));
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(256 * kMiB));
    REQUIRE_OK(store);
    constexpr std::size_t kKeys = 8;
    const std::string record = pattern(record_bytes, 0);
    const std::uint64_t before = store->stats()->used_bytes;
    for (std::size_t count = together ? 2 : 1; count <= 16; count += together ? 2 : 1) {
        for (std::size_t key = 0; key < kKeys; ++key) {
            const std::string name = std::to_string(key);
            if (together) {
                const std::vector<shoal::Pair> batch(2, shoal::Pair{name, record});
                REQUIRE_OK(store->append(batch));
            } else {
                REQUIRE_OK(store->append(name, record));
            }
        }
        // What the index and the first pages of small blocks take is not the records'.
        const std::uint64_t taken = store->stats()->used_bytes - before - kMiB;
        INFO(count << " records a key");
        CHECK(static_cast<std::int64_t>(taken) <= static_cast<std::int64_t>(3 * count * kKeys * record_bytes));
    }
    for (std::size_t key = 0; key < kKeys; ++key) CHECK(store->size(std::to_string(key))->records == 16);
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->sound());
}
