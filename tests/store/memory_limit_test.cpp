// The memory limit: a typed error, nothing acknowledged is lost, and what is freed can be used again.
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "numbered_workload.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

using Model = std::map<std::string, std::string>;

const std::uint64_t kLimit = 16 * kMiB;

struct Filling {
    std::size_t record_bytes;
    std::size_t keys;
};

// Appends until the limit and says what was acknowledged.
Model fill_up(Store& store, Filling filling, shoal::Error& error) {
    Model model;
    for (std::size_t i = 0;; ++i) {
        const std::string key = "key " + std::to_string(i % filling.keys);
        const std::string record = pattern(filling.record_bytes, i);
        const auto appended = store.append(key, record);
        if (!appended) {
            error = appended.error();
            return model;
        }
        model[key] += record;
    }
}

void require_exactly(const Store& store, const Model& model) {
    for (const auto& [key, expected_value] : model) {
        const auto value = store.get(key);
        REQUIRE_OK(value);
        REQUIRE((value->text() == expected_value));
    }
    const auto keys = store.keys();
    REQUIRE_OK(keys);
    for (const shoal::Bytes& key : *keys) {
        INFO(key.text());
        REQUIRE(model.count(key.str()) == 1);
    }
}

std::uint64_t bytes_in(const Model& model) {
    std::uint64_t sum = 0;
    for (const auto& [key, value] : model) sum += value.size();
    return sum;
}

// Run at each wait of an append in this process.
std::function<void(int wait)> at_wait;
int waits = 0;

// A full store: many small keys, "large", and no room for another record as long as that.
constexpr std::size_t kLargeBytes = 1'000'000;

Store fill_around_a_large_value(const std::string& path) {
    shoal::Options options = with_limit(kLimit);
    options.wait_hooks = {[] {
                              if (at_wait) at_wait(++waits);
                          },
                          [] {}};
    auto store = Store::open(path, options);
    REQUIRE_OK(store);
    for (int number = 0; number < 1'000; ++number) {
        REQUIRE_OK(store->append("small " + std::to_string(number), "value"));
    }
    REQUIRE_OK(store->append("large", std::string(kLargeBytes, 'l')));
    for (int number = 0; store->append("filling " + std::to_string(number), std::string(60'000, 'f')); ++number) {
    }
    return std::move(*store);
}

// This process runs on that processor alone, and only when no other wants it.
bool runs_last_on(int processor) {
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(processor, &only);
    const sched_param none{};
    return ::sched_setaffinity(0, sizeof only, &only) == 0 && ::sched_setscheduler(0, SCHED_IDLE, &none) == 0;
}

}  // namespace

TEST_CASE("At the limit append says so, names the limit, and everything acknowledged is there exactly") {
    const Filling filling =
        GENERATE(Filling{100, 50}, Filling{1000, 1}, Filling{16, 1'000'000}, Filling{700'000, 3}, Filling{0, 2});
    if (filling.record_bytes == 0 && kThreadSanitizer) SHOAL_SKIP("empty records to the limit: slow under TSan");
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(kLimit));
    REQUIRE_OK(store);
    shoal::Error error;
    const Model model = fill_up(*store, filling, error);
    INFO(filling.record_bytes << " bytes a record: " << error.message);
    REQUIRE(error.code == Code::kMemoryLimit);
    CHECK(error.message.find("limit") != std::string::npos);
    CHECK(error.message.find("16") != std::string::npos);
    if (filling.record_bytes >= 100) CHECK(bytes_in(model) > kLimit / 2);
    require_exactly(*store, model);
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    CHECK(stats->real_bytes <= kLimit);
    CHECK(stats->used_bytes <= kLimit);
    struct stat arena {};
    REQUIRE(::stat(stats->arena_path.c_str(), &arena) == 0);
    CHECK(static_cast<std::uint64_t>(arena.st_blocks) * 512 <= kLimit);

    auto other = Store::attach(place.path());
    REQUIRE_OK(other);
    require_exactly(*other, model);
}

TEST_CASE("A large record for which a key's next segment would be too long gets a shorter one, of whole pages") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(128 * kMiB));
    REQUIRE_OK(store);
    const std::string small = pattern(40'000, 1), large = pattern(100'000, 2);
    // Segments of one page, two and three, full: the next one would be of six.
    for (const std::string& record : {small, large, small, large, small}) REQUIRE_OK(store->append("k", record));
    REQUIRE_OK(store->append("two pages", large));
    while (store->append("the rest", small)) {
    }
    REQUIRE(*store->erase("two pages"));
    REQUIRE_OK(store->append("k", small));
    CHECK((store->get("k")->text() == small + large + small + large + small + small));
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->sound());
}

TEST_CASE("What a key takes grows with what it holds: it is never twice as much, from some pages on") {
    const std::size_t record_bytes = GENERATE(std::size_t{1024}, std::size_t{5000});
    CAPTURE(record_bytes);
    auto store = Store::in_memory(with_limit(256 * kMiB));
    REQUIRE_OK(store);
    const std::string record = pattern(record_bytes, 1);
    const std::size_t keys = 16;
    const std::uint64_t before = store->stats()->used_bytes;
    double most = 0;
    for (std::size_t held = record_bytes; held <= 3 * kMiB; held += record_bytes) {
        for (std::size_t key = 0; key < keys; ++key)
            REQUIRE_OK(store->append("key " + std::to_string(key), record));
        if (held < kMiB / 8) continue;
        const auto taken = static_cast<double>(store->stats()->used_bytes - before);
        most = std::max(most, taken / static_cast<double>(keys * held));
    }
    CHECK(most < 2);
    CHECK(most > 1);
}

TEST_CASE("At the limit reading, listing and removing go on") {
    auto store = Store::in_memory(with_limit(kLimit));
    REQUIRE_OK(store);
    shoal::Error error;
    Model model = fill_up(*store, {1000, 20}, error);
    REQUIRE(error.code == Code::kMemoryLimit);
    for (int i = 0; i < 100; ++i) {
        const auto again = store->append("key 0", std::string(5000, 'x'));
        if (again) model["key 0"] += std::string(5000, 'x');
        if (!again) REQUIRE(again.error().code == Code::kMemoryLimit);
    }
    REQUIRE_OK(store->view("key 3"));
    REQUIRE_OK(store->records("key 3"));
    CHECK(store->size("key 3")->bytes == model["key 3"].size());
    CHECK(store->keys()->size() == 20);
    CHECK_FALSE(*store->iset("key 3", "x"));
    CHECK(*store->erase("key 3"));
    model.erase("key 3");
    require_exactly(*store, model);
}

TEST_CASE("A record larger than the limit is refused and the store is as it was") {
    auto store = Store::in_memory(with_limit(kLimit));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "kept"));
    const std::string large(2 * kLimit, 'x');
    REQUIRE_CODE(store->append("k", large), Code::kMemoryLimit);
    REQUIRE_CODE(store->append("new", large), Code::kMemoryLimit);
    REQUIRE_CODE(store->iset("new", large), Code::kMemoryLimit);
    CHECK(store->get("k")->text() == "kept");
    REQUIRE_CODE(store->get("new"), Code::kNotFound);
    CHECK_FALSE(*store->contains("new"));
    CHECK(store->keys()->size() == 1);
    CHECK(*store->iset("new", "small"));
    REQUIRE_OK(store->append("k", "!"));
    CHECK(store->get("k")->text() == "kept!");
}

TEST_CASE("A batch that meets the limit has appended the first Error::count pairs and no other") {
    const auto record_bytes = static_cast<std::size_t>(GENERATE(50, 3000, 200'000));
    auto store = Store::in_memory(with_limit(kLimit));
    REQUIRE_OK(store);
    Model model;
    std::size_t errors = 0;
    for (std::size_t round = 0; errors < 3; ++round) {
        std::vector<std::string> keys, records;
        for (std::size_t i = 0; i < 500; ++i) {
            keys.push_back("key " + std::to_string((i * 7 + round) % 333));
            records.push_back(pattern(record_bytes + i % 9, round * 500 + i));
        }
        std::vector<shoal::Pair> batch;
        for (std::size_t i = 0; i < 500; ++i) batch.emplace_back(ByteView(keys[i]), records[i]);
        const auto appended = store->append(batch);
        if (!appended) REQUIRE(appended.error().code == Code::kMemoryLimit);
        const std::size_t count = appended ? 500 : appended.error().count;
        REQUIRE(count <= 500);
        if (!appended) REQUIRE(count < 500);
        for (std::size_t i = 0; i < count; ++i) model[keys[i]] += records[i];
        if (!appended) {
            ++errors;
            require_exactly(*store, model);
        }
    }
}

TEST_CASE("After erase of some keys at the limit the store takes as much again") {
    auto store = Store::in_memory(with_limit(kLimit));
    REQUIRE_OK(store);
    shoal::Error error;
    Model model = fill_up(*store, {1000, 20}, error);
    for (std::size_t round = 0; round < scaled(40, 5); ++round) {
        std::uint64_t freed = 0;
        for (std::size_t i = 0; i < 5; ++i) {
            const std::string key = "key " + std::to_string((round + i * 4) % 20);
            freed += model[key].size();
            REQUIRE(*store->erase(key));
            model.erase(key);
        }
        std::uint64_t taken = 0;
        for (std::size_t i = 0; i < 1'000'000; ++i) {
            const std::string key = "key " + std::to_string((round + i % 5 * 4) % 20);
            const std::string record = pattern(1000, round * 1'000'000 + i);
            const auto appended = store->append(key, record);
            if (!appended) {
                REQUIRE(appended.error().code == Code::kMemoryLimit);
                break;
            }
            model[key] += record;
            taken += record.size();
        }
        INFO("round " << round << ": " << freed << " bytes erased");
        REQUIRE(taken >= freed * 3 / 4);
    }
    require_exactly(*store, model);
}

TEST_CASE("After drop all memory is usable again, also for records of another shape, for ever") {
    auto store = Store::in_memory(with_limit(kLimit));
    REQUIRE_OK(store);
    const Filling fillings[] = {{1000, 10},  {16, 1'000'000}, {300'000, 2},
                                {100, 3000}, {5'000'000, 1},  {8000, 100}};
    std::map<std::size_t, std::uint64_t> fresh;  // what a new store takes of each shape
    for (const Filling filling : fillings) {
        auto new_store = Store::in_memory(with_limit(kLimit));
        REQUIRE_OK(new_store);
        shoal::Error error;
        fresh[filling.record_bytes] = bytes_in(fill_up(*new_store, filling, error));
    }
    std::uint64_t used_after_first_round = 0;
    for (std::size_t round = 0; round < scaled(6, 2); ++round) {
        for (const Filling filling : fillings) {
            shoal::Error error;
            const std::uint64_t taken = bytes_in(fill_up(*store, filling, error));
            INFO("round " << round << ", records of " << filling.record_bytes << " bytes; a new store takes "
                          << fresh[filling.record_bytes] << " bytes of them; " << error.message);
            REQUIRE(error.code == Code::kMemoryLimit);
            CHECK(taken >= fresh[filling.record_bytes] * 3 / 4);
            REQUIRE_OK(store->drop());
            REQUIRE(store->keys()->empty());
        }
        const std::uint64_t used = store->stats()->used_bytes;
        if (round == 0) used_after_first_round = used;
        CHECK(used <= used_after_first_round + kMiB);
    }
}

TEST_CASE("Threads that meet the limit together lose nothing that was acknowledged", "[threads]") {
    auto store = Store::in_memory(with_limit(kLimit));
    REQUIRE_OK(store);
    constexpr std::size_t kWriters = 4, kKeys = 3;
    Ledger ledger(kWriters, kKeys);
    Threads threads;
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
        threads.start([&, writer]() -> std::string {
            std::uint64_t next[kKeys] = {};
            for (std::uint64_t i = 0;; ++i) {
                const std::size_t key = (i + writer) % kKeys;
                NumberedRecord head{};
                head.writer = static_cast<std::uint32_t>(writer);
                head.number = head.own_acknowledged = next[key];
                ledger.begin(writer, key, next[key] + 1);
                const auto appended = store->append(key_name(key), make_record(head, i % 3000));
                if (!appended) {
                    EXPECT_CODE(appended, Code::kMemoryLimit);
                    ledger.begin(writer, key, next[key]);  // refused: it must not be there
                    return {};
                }
                ledger.acknowledge(writer, key, ++next[key]);
            }
        });
    }
    REQUIRE(threads.join() == "");
    ClosedCutChecker checker(ledger);
    REQUIRE(check_at_rest(*store, ledger, checker) == "");
}

TEST_CASE("Keys of four processes that come and go at the limit are erased, none is left, and no memory is missing",
          "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->drop());
    const auto empty = store->stats();
    REQUIRE_OK(empty);
    for (int part = 0; part < 16; ++part) REQUIRE_OK(store->append("ballast", std::string(kMiB / 4, 'b')));
    SharedCounters refused(1);
    std::vector<Child> children;
    for (int number = 0; number < 4; ++number) {
        children.push_back(Child::start([&, name = "key of " + std::to_string(number) + " "]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            std::deque<std::string> keys;
            for (std::size_t turn = 0; turn < scaled(120'000, 12'000); ++turn) {
                std::string key = name + std::to_string(turn);
                // Every other one takes a block of the size that a leaf of the index has: so there is none for a
                // leaf.
                const auto appended = own->append(key, std::string(turn % 2 == 0 ? 3'500 : 5, 'v'));
                if (appended) {
                    keys.push_back(std::move(key));
                    continue;
                }
                EXPECT_CODE(appended, Code::kMemoryLimit);
                refused[0].fetch_add(1);
                for (int erased = 0; erased < 2 && !keys.empty(); ++erased) {
                    const auto is_erased = own->erase(keys.front());
                    EXPECT_OK(is_erased);
                    EXPECT(*is_erased);
                    keys.pop_front();
                }
            }
            return {};
        }));
    }
    REQUIRE(wait_for(children) == "");
    CHECK(refused[0] >= scaled(10'000, 1'000));
    const auto keys = store->keys();
    REQUIRE_OK(keys);
    for (const shoal::Bytes& key : *keys) REQUIRE(*store->erase(key));
    for (int turn = 0; turn < 4; ++turn) REQUIRE_OK(store->stats());  // each moves the epoch on
    const auto erased = store->stats();
    REQUIRE_OK(erased);
    CHECK(erased->keys == 0);
    CHECK(erased->used_bytes - erased->index_bytes == empty->used_bytes - empty->index_bytes);
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK(report->sound());
    CHECK(report->erased_keys == 0);
    CHECK(report->blocks_leaked == 0);
    REQUIRE_OK(store->drop());
    CHECK(store->stats()->used_bytes == empty->used_bytes);
}

TEST_CASE("No append is refused for what others free and take while it waits for a processor") {
    TemporaryStore place;
    Store store = fill_around_a_large_value(place.path());
    auto other = Store::attach(place.path());
    REQUIRE_OK(other);
    waits = 0;
    SECTION("all that was erased, before it could look") {
        at_wait = [&](int wait) {
            if (wait != 1) return;
            REQUIRE_OK(other->erase("large"));
            while (other->stats()->retired_objects != 0) {  // which frees
            }
        };
    }
    SECTION("many times what is too small") {
        at_wait = [&](int wait) {
            if (wait == 6) REQUIRE_OK(other->erase("large"));
            if (wait >= 6) return;
            const std::uint64_t epoch = other->stats()->epoch;
            for (int number = 0; other->stats()->epoch < epoch + 40; ++number) {
                REQUIRE_OK(other->erase("small " + std::to_string(wait * 100 + number)));
            }
            REQUIRE_OK(other->erase("small " + std::to_string(wait)));
        };
    }
    const auto appended = store.append("another", std::string(kLargeBytes, 'a'));
    at_wait = nullptr;
    CHECK(waits > 0);
    REQUIRE_OK(appended);
    CHECK(store.get("another")->size() == kLargeBytes);
}

TEST_CASE("No append is refused for readers that only lack the processor", "[process]") {
    TemporaryStore place;
    shoal::Options options = with_limit(16 * kMiB);
    options.room_wait_ms = 150'000;  // a watchdog: whatever else this machine does
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("live", std::string(kMiB, 'l')));
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    int processor = 0;
    while (!CPU_ISSET(processor, &allowed)) ++processor;
    SharedCounters reads(1);
    std::vector<Child> others;
    for (int reader = 0; reader < 2; ++reader) {
        others.push_back(Child::start([&]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            EXPECT(runs_last_on(processor));
            for (;;) {
                EXPECT_OK(own->get("live"));
                reads[0].fetch_add(1);
            }
        }));
    }
    while (reads[0].load() < 2) std::this_thread::yield();
    others.push_back(Child::start([&]() -> std::string {  // the one that has it
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(processor, &only);
        EXPECT(::sched_setaffinity(0, sizeof only, &only) == 0);
        for (std::uint64_t turn = 0;; ++turn) __asm__ volatile("" : "+r"(turn));  // not optimised away
    }));
    const std::string record(100'000, 'r');
    for (std::size_t round = 0; round < scaled(240, 180); ++round) {  // more than the memory
        REQUIRE_OK(store->append("turned over", record));
        REQUIRE_OK(store->erase("turned over"));
    }
}
