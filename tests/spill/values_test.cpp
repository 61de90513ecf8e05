// What is read of a store is the same, whether it is resident, spilled or both: every way to read against lists of
// records, several times the memory limit of them.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

using Model = std::map<std::string, std::vector<std::string>>;

std::string joined(const std::vector<std::string>& records) {
    std::string bytes;
    for (const std::string& record : records) bytes += record;
    return bytes;
}

// A record that lz4 and zstd make smaller, or that they do not, by `random`.
std::string some_record(std::size_t bytes, std::uint64_t random) {
    std::string record = pattern(bytes, random);
    if (random % 2 == 0) {
        for (std::size_t at = 0; at < bytes; ++at) record[at] = static_cast<char>('a' + (at / 7 + random) % 20);
    }
    return record;
}

// What is wrong with one key, read in every way.
std::string compare_key(const Store& store, const std::string& key, const std::vector<std::string>& records) {
    const std::string value = joined(records);
    const auto got = store.get(key);
    EXPECT_OK(got);
    EXPECT(got->text() == value);
    std::string into(value.size() + 3, '#');
    const auto filled = store.get_into(key, std::as_writable_bytes(std::span(into)));
    EXPECT_OK(filled);
    EXPECT(*filled == value.size());
    EXPECT(std::string_view(into).substr(0, *filled) == value);
    if (!value.empty()) {
        const auto small = store.get_into(key, std::as_writable_bytes(std::span(into.data(), value.size() - 1)));
        EXPECT_CODE(small, Code::kBufferTooSmall);
        EXPECT(small.error().count == value.size());
    }
    const auto view = store.view(key);
    EXPECT_OK(view);
    std::string bytes;
    for (const ByteView span : view->spans()) {
        EXPECT(!span.empty());
        bytes += span.text();
    }
    EXPECT(bytes == value);
    EXPECT(view->bytes() == value.size());
    EXPECT(view->loaded_bytes() <= value.size());
    const auto list = store.records(key);
    EXPECT_OK(list);
    EXPECT(list->size() == records.size());
    EXPECT(list->bytes() == value.size());
    for (std::size_t at = 0; at < records.size(); ++at) EXPECT((*list)[at].text() == records[at]);
    const auto size = store.size(key);
    EXPECT_OK(size);
    EXPECT(size->bytes == value.size());
    EXPECT(size->records == records.size());
    EXPECT(*store.contains(key));
    return {};
}

// What is wrong with the store; every `stride`th key in every way, all keys by one get of many.
std::string compare(const Store& store, const Model& model, std::size_t stride = 1) {
    std::vector<ByteView> asked;
    std::size_t at = 0;
    std::uint64_t bytes = 0, count = 0;
    for (const auto& [key, records] : model) {
        asked.emplace_back(key);
        for (const std::string& record : records) bytes += record.size();
        count += records.size();
        if (at++ % stride != 0) continue;
        if (std::string wrong = compare_key(store, key, records); !wrong.empty()) {
            return "key " + key.substr(0, 40) + ": " + wrong;
        }
    }
    asked.emplace_back("a key that is not there");
    const auto got = store.get(asked);
    EXPECT(got.size() == asked.size());
    at = 0;
    for (const auto& [key, records] : model) {
        EXPECT_OK(got[at]);
        EXPECT(got[at]->text() == joined(records));
        ++at;
    }
    EXPECT_CODE(got.back(), Code::kNotFound);
    const auto keys = store.keys();
    EXPECT_OK(keys);
    EXPECT(keys->size() == model.size());
    for (const shoal::Bytes& key : *keys) EXPECT(model.count(key.str()) == 1);
    const auto stats = store.stats();
    EXPECT_OK(stats);
    EXPECT(stats->keys == model.size());
    EXPECT(stats->records == count);
    EXPECT(stats->payload_bytes == bytes);
    EXPECT(stats->spilled_bytes <= bytes);
    EXPECT(stats->used_bytes <= stats->memory_limit_bytes);
    return {};
}

struct Shape {
    std::uint64_t limit_mib;
    std::size_t keys;
    std::size_t record_bytes;
    std::size_t total_mib;
    const char* codec;
    bool thread;  // that spills; else appends do
};

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << shape.keys << " keys, records of up to " << shape.record_bytes << " bytes, " << shape.total_mib
               << " MiB in all, " << shape.limit_mib << " MiB of memory, " << shape.codec
               << (shape.thread ? ", a thread spills" : ", appends spill");
}

// Descriptors of files in the folder that go past the page cache.
std::size_t direct_descriptors(const std::string& folder) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;  // the iterator's own
        if (std::filesystem::read_symlink(entry, gone).string().rfind(folder + "/", 0) != 0) continue;
        const int flags = ::fcntl(std::stoi(entry.path().filename()), F_GETFL);
        if (flags >= 0 && (flags & O_DIRECT) != 0) ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("What is spilled goes past the page cache, unless through it is asked for") {
    const bool page_cache = GENERATE(false, true);
    SpillingPlace place;
    const int probe = ::open(place.folder().c_str(), O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    if (probe < 0) SHOAL_SKIP("no O_DIRECT in the folder for temporary files");
    ::close(probe);
    shoal::Options options = place.options(8 * kMiB);
    options.page_cache = page_cache;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    Model model;
    for (std::size_t number = 0; number < 20; ++number) {
        model["key"].push_back(some_record(1'000'000, number));
        REQUIRE_OK(store->append("key", model["key"].back()));
    }
    REQUIRE(compare(*store, model, 1) == "");
    CHECK((direct_descriptors(place.folder()) == 0) == page_cache);
}

TEST_CASE("A store that is several times its memory reads as a map of lists, whatever the codec and the records") {
    const auto shape =
        GENERATE(Shape{8, 1, 300, 20, "none", true}, Shape{8, 100, 2'000, 20, "lz4", false},
                 Shape{8, 3, 100'000, 24, "zstd", true}, Shape{16, 5'000, 1'500, 32, "none", true},
                 Shape{8, 5, 3'000, 20, "blosc:8", false}, Shape{16, 4, 5'000'000, 40, "lz4", true},
                 Shape{8, 2'000, 2'000, 16, "zstd:-5", false}, Shape{32, 50'000, 700, 40, "none", true},
                 Shape{8, 40, 20'000, 20, "blosc:type_size=4,shuffle=bit,inner=zstd,level=3", false});
    INFO(shape);
    if (kThreadSanitizer && (!shape.thread || shape.keys > 10'000)) SHOAL_SKIP("one thread, or too much for TSan");
    SpillingPlace place;
    shoal::Options options = place.options(shape.limit_mib * kMiB, shape.codec);
    options.spill_thread = shape.thread;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    Model model;
    std::uint64_t random = shape.keys;
    const std::uint64_t total = scaled(shape.total_mib * kMiB, 2 * shape.limit_mib * kMiB);
    for (std::uint64_t bytes = 0, step = 0; bytes < total; ++step) {
        const std::uint64_t word = next_random(random);
        const std::string key = "key " + std::to_string((word >> 8) % shape.keys);
        const std::string record =
            some_record(step % 50 == 0 ? 0 : (word >> 32) % shape.record_bytes, next_random(random));
        REQUIRE_OK(store->append(key, record));
        bytes += record.size() + 8;
        model[key].push_back(record);
    }
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    CHECK(stats->spilled_bytes > 0);
    CHECK(stats->spill_errno == 0);
    CHECK(stats->spill_dir == place.folder());
    const std::size_t stride = model.size() / 50 + 1;
    REQUIRE(compare(*store, model, stride) == "");
    // All that can be: what is left is read from files.
    REQUIRE_OK(store->spill());
    REQUIRE(compare(*store, model, stride) == "");
    CHECK(store->stats()->spilled_bytes == store->stats()->payload_bytes);
}
