// A store that is only read: it gives what any reader gets, beside writers that free and use memory anew; it takes
// no slot, writes nothing, and holds nothing back.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../mount_namespace.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"
#include "turnover.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;

namespace {

void close(shoal::Result<Store>& store) { const Store closed = std::move(*store); }

Options read_only() {
    Options options;
    options.read_only = true;
    return options;
}

// A value of one letter, of a length that its number says: a copy in which two values are mixed is neither.
std::string value_of(std::uint64_t number, std::size_t most_bytes) {
    return std::string(1 + number * 7919 % most_bytes, static_cast<char>('a' + number % 26));
}

// "" where the bytes are one such value.
std::string check_value(ByteView value, std::size_t most_bytes) {
    if (value.empty() || value.size() > most_bytes) return "a value of " + std::to_string(value.size()) + " bytes";
    const std::string_view text = value.text();
    if (text.find_first_not_of(text.front()) != std::string_view::npos) return "a value of two";
    return {};
}

// Erases the keys and makes them anew, each with another value, so that memory is used over and over.
std::string turn_over(Store& store, std::size_t keys, std::size_t most_bytes, const std::function<bool()>& goes_on,
                      const std::string& prefix = "key ") {
    for (std::uint64_t number = 0; goes_on(); ++number) {
        const std::string key = prefix + std::to_string(number % keys);
        EXPECT_OK(store.erase(key));
        EXPECT_OK(store.iset(key, value_of(number, most_bytes)));  // one record, whoever else is at the key
    }
    return {};
}

// Reads each key in each way; how many values were there.
std::string read_all(const Store& store, std::size_t keys, std::size_t most_bytes, std::size_t* found) {
    for (std::size_t number = 0; number < keys; ++number) {
        const std::string key = "key " + std::to_string(number);
        const auto value = store.get(key);
        if (!value && value.error().code == Code::kNotFound) continue;
        EXPECT_OK(value);
        std::string failure = check_value(*value, most_bytes);
        if (!failure.empty()) return failure;
        *found += 1;
        const auto view = store.view(key);
        if (!view && view.error().code == Code::kNotFound) continue;
        EXPECT_OK(view);
        std::string joined;
        for (const ByteView span : view->spans()) joined += span.text();
        EXPECT(joined.size() == view->bytes() && view->loaded_bytes() == view->bytes());
        failure = check_value(joined, most_bytes);
        if (!failure.empty()) return failure;
        std::vector<std::byte> buffer(most_bytes);
        const auto into = store.get_into(key, buffer);
        if (!into && into.error().code == Code::kNotFound) continue;
        EXPECT_OK(into);
        failure = check_value({buffer.data(), *into}, most_bytes);
        if (!failure.empty()) return failure;
        const auto size = store.size(key);
        EXPECT(size ? size->records == 1 && size->bytes <= most_bytes : size.error().code == Code::kNotFound);
    }
    return {};
}

std::uint32_t slots_in_use(const Store& store) { return store.stats()->slots_in_use; }

}  // namespace

TEST_CASE("A store that is only read gives all that it has, in every way") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("apple", "red,"));
    REQUIRE_OK(store->append("apple", ""));
    REQUIRE_OK(store->append("apple", "green,"));
    REQUIRE_OK(store->append("", std::string(3'000'000, 'x')));
    for (int number = 0; number < 2'000; ++number) REQUIRE_OK(store->append("many", std::to_string(number)));

    auto own = Store::open(place.path(), read_only());
    REQUIRE_OK(own);
    CHECK(own->get("apple")->text() == "red,green,");
    CHECK(own->get("")->size() == 3'000'000);
    CHECK(own->get("many")->str() == store->get("many")->str());
    REQUIRE_CODE(own->get("pear"), Code::kNotFound);
    auto handle = own->key("apple");
    REQUIRE_OK(handle);
    CHECK(own->get(*handle)->text() == "red,green,");
    const auto values = own->get(std::vector<ByteView>{"apple", "pear", "many"});
    CHECK(values[0]->text() == "red,green,");
    REQUIRE_CODE(values[1], Code::kNotFound);
    CHECK(values[2]->size() == store->size("many")->bytes);
    std::vector<std::byte> buffer(10);
    CHECK(own->get_into("apple", buffer).value() == 10);
    CHECK(ByteView(buffer) == ByteView("red,green,"));
    const auto too_small = own->get_into("many", buffer);
    REQUIRE_CODE(too_small, Code::kBufferTooSmall);
    CHECK(too_small.error().count == store->size("many")->bytes);
    const auto records = own->records("apple");
    REQUIRE_OK(records);
    REQUIRE(records->size() == 3);
    CHECK((*records)[0].text() == "red,");
    CHECK((*records)[1].empty());
    CHECK((*records)[2].text() == "green,");
    std::size_t parts = 0;
    std::size_t of_parts = 0;
    REQUIRE_OK(own->records("many", 1'000, [&](const shoal::Records& part) {
        parts += 1;
        of_parts += part.size();
        return true;
    }));
    CHECK(of_parts == 2'000);
    CHECK(parts > 1);
    CHECK(own->size("apple")->records == 3);
    CHECK(own->size("apple")->bytes == 10);
    CHECK(own->contains("apple").value());
    CHECK_FALSE(own->contains("pear").value());
    CHECK(own->keys()->size() == 3);
    const auto stats = own->stats();
    REQUIRE_OK(stats);
    CHECK(stats->keys == 3);
    CHECK(stats->records == 2'004);
    CHECK(stats->payload_bytes == store->stats()->payload_bytes);
    REQUIRE_CODE(own->get(std::string(shoal::kMaxKeyBytes + 1, 'k')), Code::kInvalidArgument);

    REQUIRE_OK(store->append("apple", "brown,"));  // what others append is seen
    CHECK(own->get("apple")->text() == "red,green,brown,");
    REQUIRE_OK(store->drop());
    CHECK(own->keys()->empty());
    REQUIRE_OK(store->append("pear", "yellow,"));
    CHECK(own->get("pear")->text() == "yellow,");
}

TEST_CASE("What changes a store that is only read fails, and says so") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    auto own = Store::attach(place.path(), read_only());
    REQUIRE_OK(own);
    auto handle = own->key("key");
    REQUIRE_OK(handle);
    const shoal::Pair pair("key", "value");
    REQUIRE_CODE(own->append("key", "value"), Code::kReadOnly);
    REQUIRE_CODE(own->append(*handle, "value"), Code::kReadOnly);
    REQUIRE_CODE(own->append(std::span(&pair, 1)), Code::kReadOnly);
    REQUIRE_CODE(own->iset("other", "value"), Code::kReadOnly);
    REQUIRE_CODE(own->erase("key"), Code::kReadOnly);
    REQUIRE_CODE(own->drop(), Code::kReadOnly);
    REQUIRE_CODE(own->spill(), Code::kReadOnly);
    REQUIRE_CODE(own->sync(), Code::kReadOnly);
    REQUIRE_CODE(own->set_codec("key", shoal::Codec{}), Code::kReadOnly);
    REQUIRE_CODE(own->attached(), Code::kReadOnly);
    CHECK(own->append("key", "value").error().message.find("read_only") != std::string::npos);
    CHECK(store->get("key")->text() == "value");

    REQUIRE_CODE(Store::open(place.path() + "-none", read_only()), Code::kNotFound);
    CHECK_FALSE(std::filesystem::exists(place.path() + "-none"));
}

TEST_CASE("A process that only reads takes no slot, and the store is not destroyed under it", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    const std::uint32_t before = slots_in_use(*store);
    SharedCounters steps(2);
    Child child = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path(), read_only());
        EXPECT_OK(own);
        EXPECT(own->get("key")->text() == "value");
        EXPECT_OK(own->keys());
        EXPECT_OK(own->stats());
        steps[0] = 1;
        while (steps[1] == 0) ::usleep(1'000);
        return {};
    });
    while (steps[0] == 0 && !child.has_ended()) ::usleep(1'000);
    CHECK(slots_in_use(*store) == before);
    close(store);
    const auto refused = Store::destroy(place.path());
    REQUIRE_CODE(refused, Code::kInUse);
    CHECK(refused.error().message.find(std::to_string(child.pid())) != std::string::npos);
    steps[1] = 1;
    CHECK(child.wait() == "");
    REQUIRE_OK(Store::destroy(place.path()));
}

TEST_CASE("A process that is stopped while it only reads holds back no memory", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", std::string(1'000'000, 'v')));
    SharedCounters reads(1);
    Child child = Child::start([&]() -> std::string {
        auto own = Store::attach(place.path(), read_only());
        EXPECT_OK(own);
        for (;;) {
            const auto value = own->get("key");
            EXPECT_OK(value);
            EXPECT(value->size() == 1'000'000);
            reads[0].fetch_add(1);
        }
    });
    for (int round = 0; round < 20; ++round) {
        const std::uint64_t before = reads[0];
        while (reads[0] == before && !child.has_ended()) ::usleep(100);
        child.kill(SIGSTOP);
        CHECK(turn_over_until_full(*store).message == "");
        child.kill(SIGCONT);
    }
    child.kill();
    CHECK(child.wait().starts_with("killed by signal 9"));
}

TEST_CASE("Values that are read beside threads that erase them and use their memory anew are whole") {
    if (kThreadSanitizer) SHOAL_SKIP(kTwoMappings);
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    auto own = Store::attach(place.path(), read_only());
    REQUIRE_OK(own);
    for (const std::size_t most_bytes : {std::size_t{200}, std::size_t{20'000}, std::size_t{1'500'000}}) {
        const std::size_t keys = most_bytes > 1'000'000 ? 4 : 50;
        std::atomic<bool> done{false};
        Threads threads;
        for (int thread = 0; thread < 2; ++thread) {
            threads.start([&] { return turn_over(*store, keys, most_bytes, [&] { return !done; }); });
        }
        // Small ones beside them, so that the epoch moves several times while a long value is copied.
        threads.start([&] {
            return turn_over(
                *store, 50, 100, [&] { return !done; }, "small ");
        });
        std::size_t found = 0;
        std::string failure;
        while (found < (keys == 4 ? 100 : scaled(20'000, 2'000)) && failure.empty()) {
            failure = read_all(*own, keys, most_bytes, &found);
        }
        done = true;
        CHECK(failure == "");
        CHECK(threads.join() == "");
        REQUIRE_OK(store->drop());
    }
}

TEST_CASE("Values are whole in processes that only read, beside writers that are killed", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    for (std::size_t round = 0; round < scaled(10, 3); ++round) {
        Child writer = Child::start([&]() -> std::string {
            auto its = Store::attach(place.path());
            EXPECT_OK(its);
            return turn_over(*its, 50, 5'000, [] { return true; });
        });
        CHECK(Child::run([&]() -> std::string {
                  auto own = Store::attach(place.path(), read_only());
                  EXPECT_OK(own);
                  std::size_t found = 0;
                  std::string failure;
                  while (found < 2'000 && failure.empty()) {
                      failure = read_all(*own, 50, 5'000, &found);
                      EXPECT_OK(own->stats());
                      EXPECT_OK(own->keys());
                  }
                  return failure;
              }) == "");
        writer.kill();
        CHECK(writer.wait().starts_with("killed by signal 9"));
    }
}

TEST_CASE("A walk of a store that is only read gives each key that stays once, and none twice") {
    if (kThreadSanitizer) SHOAL_SKIP(kTwoMappings);
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(store);
    const std::size_t stays = scaled(10'000, 3'000);
    for (std::size_t number = 0; number < stays; ++number)
        REQUIRE_OK(store->append("stays " + std::to_string(number), "value"));
    auto own = Store::attach(place.path(), read_only());
    REQUIRE_OK(own);
    std::atomic<bool> done{false};
    Threads threads;
    threads.start([&]() -> std::string {
        for (std::uint64_t number = 0; !done; ++number) {
            const std::string key = "comes and goes " + std::to_string(number % 5'000);
            if (number / 5'000 % 2 == 0) {
                EXPECT_OK(store->append(key, "value"));
            } else {
                EXPECT_OK(store->erase(key));
            }
        }
        return {};
    });
    for (std::size_t round = 0; round < scaled(50, 10); ++round) {
        std::set<std::string> keys;
        std::size_t stayed = 0;
        bool twice = false;
        const auto walked = own->for_each_key([&](ByteView key) {
            twice = twice || !keys.emplace(key.text()).second;
            stayed += key.text().starts_with("stays ") ? 1 : 0;
            return true;
        });
        CHECK(walked.has_value());
        CHECK_FALSE(twice);
        CHECK(stayed == stays);
    }
    done = true;
    CHECK(threads.join() == "");
}

TEST_CASE("A child goes on reading where its parent reads only", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    auto own = Store::attach(place.path(), read_only());
    REQUIRE_OK(own);
    CHECK(Child::run([&]() -> std::string {
              EXPECT(own->get("key")->text() == "value");
              EXPECT(own->keys()->size() == 1);
              return {};
          }) == "");
    CHECK(own->get("key")->text() == "value");
}

TEST_CASE("What is read only of a store that was destroyed fails") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    auto own = Store::attach(place.path(), read_only());
    REQUIRE_OK(own);
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    REQUIRE_CODE(own->get("key"), Code::kDestroyed);
    REQUIRE_CODE(own->keys(), Code::kDestroyed);
    REQUIRE_CODE(own->stats(), Code::kDestroyed);
}

TEST_CASE("A temporary store that has ended is not there to be read, and is left to others") {
    TemporaryStore place;
    Options temporary = with_limit(16 * kMiB);
    temporary.temporary = true;
    auto store = Store::open(place.path(), temporary);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    auto own = Store::attach(place.path(), read_only());
    REQUIRE_OK(own);
    close(store);  // it has an owner still
    CHECK(own->get("key")->text() == "value");
    close(own);
    REQUIRE_CODE(Store::attach(place.path(), read_only()), Code::kNotFound);
    REQUIRE_CODE(Store::attach(place.path()), Code::kNotFound);  // which removes it
}

// --- read-only mounts

namespace {

// Every entry below the folders, with size and time of the last change.
std::map<std::string, std::pair<std::uintmax_t, std::int64_t>> listing(const std::vector<std::string>& folders) {
    std::map<std::string, std::pair<std::uintmax_t, std::int64_t>> all;
    for (const std::string& folder : folders) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
            struct stat info {};
            if (::lstat(entry.path().c_str(), &info) != 0) continue;
            all[entry.path()] = {static_cast<std::uintmax_t>(info.st_size),
                                 info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
        }
    }
    return all;
}

// A store with values in memory and in files, and values that are in both.
std::string fill(Store& store) {
    for (int round = 0; round < 3; ++round) {
        for (int key = 0; key < 40; ++key) {
            EXPECT_OK(
                store.append("key " + std::to_string(key), std::string(20'000, static_cast<char>('a' + round))));
            EXPECT_OK(store.append("key " + std::to_string(key), ""));
            // Such small ones share bundles in files.
            EXPECT_OK(store.append("tiny " + std::to_string(key), std::to_string(round)));
        }
        if (round < 2) EXPECT_OK(store.spill());
    }
    EXPECT_OK(store.append("large", std::string(3'000'000, 'l')));
    EXPECT_OK(store.sync());
    return {};
}

std::string check_filled(const Store& own) {
    const std::string whole = std::string(20'000, 'a') + std::string(20'000, 'b') + std::string(20'000, 'c');
    for (int key = 0; key < 40; ++key) {
        const std::string name = "key " + std::to_string(key);
        const auto value = own.get(name);
        EXPECT_OK(value);
        EXPECT(value->text() == whole);
        const auto records = own.records(name);
        EXPECT_OK(records);
        EXPECT(records->size() == 6 && (*records)[1].empty() && (*records)[4].size() == 20'000);
        const auto view = own.view(name);
        EXPECT_OK(view);
        EXPECT(view->bytes() == 60'000);
        std::vector<std::byte> buffer(60'000);
        EXPECT(own.get_into(name, buffer).value() == 60'000);
        EXPECT(ByteView(buffer) == ByteView(whole));
        EXPECT(own.size(name)->records == 6);
        const auto tiny = own.records("tiny " + std::to_string(key));
        EXPECT_OK(tiny);
        EXPECT(tiny->size() == 3 && (*tiny)[1].text() == "1" && own.get("tiny 7")->text() == "012");
    }
    EXPECT(own.get("large")->size() == 3'000'000);
    EXPECT(own.keys()->size() == 81);
    EXPECT(own.stats()->records == 361);
    return {};
}

Options spilling_to(const std::string& folder) {
    Options options = with_limit(64 * kMiB);
    options.spill_dir = folder;
    options.spill_thread = false;
    return options;
}

}  // namespace

TEST_CASE("A store is read where the arena, the store and its files are on read-only mounts", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), spilling_to(place.directory().path()));
    REQUIRE_OK(store);
    REQUIRE(fill(*store) == "");
    const std::string arena = store->stats()->arena_path;
    const std::string folder = arena.substr(0, arena.rfind('/'));
    const std::vector<std::string> folders = {folder, place.directory().path()};
    const auto before = listing({place.directory().path()});
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        const std::string why_not = mount_read_only(folders);
        if (!why_not.empty()) return kCannot + why_not;
        EXPECT_CODE(Store::attach(place.path()), Code::kPermission);
        auto own = Store::attach(place.path(), read_only());
        EXPECT_OK(own);
        EXPECT(::open((place.directory().path() + "/new").c_str(), O_CREAT | O_WRONLY, 0600) < 0);
        return check_filled(*own);
    }));
    CHECK(listing({place.directory().path()}) == before);
    CHECK(check_filled(*store) == "");
}

TEST_CASE("On a read-only mount a reader sees what a writer elsewhere appends and spills", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), spilling_to(place.directory().path()));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("first", "value"));
    const std::string arena = store->stats()->arena_path;
    SharedCounters appended(1);
    Child child = Child::start([&]() -> std::string {
        const std::string why_not = mount_read_only({arena.substr(0, arena.rfind('/')), place.directory().path()});
        if (!why_not.empty()) return kCannot + why_not;
        auto own = Store::attach(place.path(), read_only());
        EXPECT_OK(own);
        std::uint64_t seen = 0;
        while (seen < 200) {
            const std::uint64_t there = appended[0];
            const auto value = own->get("grows");
            if (!value && value.error().code == Code::kNotFound && there == 0) continue;
            EXPECT_OK(value);
            EXPECT(value->size() % 10'000 == 0 && value->size() / 10'000 >= there);
            seen = value->size() / 10'000;
        }
        return {};
    });
    for (int number = 0; number < 200; ++number) {
        REQUIRE_OK(store->append("grows", std::string(10'000, 'g')));
        appended[0] = static_cast<std::uint64_t>(number) + 1;
        if (number % 20 == 10) REQUIRE_OK(store->spill());
        for (int other = 0; other < 20; ++other) {
            REQUIRE_OK(store->append("other", std::string(5'000, 'o')));
            REQUIRE_OK(store->erase("other"));
        }
    }
    REQUIRE_IN_NAMESPACE(child.wait());
}

namespace {

// A store that was filled and synced, and has lost its arena and one record that was not synced; the arena's path.
std::string fill_and_lose_arena(const TemporaryStore& place, std::string* arena) {
    {
        auto store = Store::open(place.path(), spilling_to(place.directory().path()));
        EXPECT_OK(store);
        const std::string failure = fill(*store);
        if (!failure.empty()) return failure;
        *arena = store->stats()->arena_path;
        EXPECT_OK(store->append("key 0", "not synced"));
    }
    std::filesystem::remove(*arena);
    return {};
}

std::string check_synced(const std::string& path) {
    auto own = Store::attach(path, read_only());
    EXPECT_OK(own);
    const std::string failure = check_filled(*own);
    if (!failure.empty()) return failure;
    EXPECT(own->stats()->arena_note.find("checkpoint") != std::string::npos);
    EXPECT_CODE(own->append("key", "value"), Code::kReadOnly);
    EXPECT_CODE(own->sync(), Code::kReadOnly);
    return {};
}

}  // namespace

TEST_CASE("A store whose arena is gone is read as it was synced, and stays as it is", "[process]") {
    TemporaryStore place;
    std::string arena;
    REQUIRE(fill_and_lose_arena(place, &arena) == "");
    const auto before = listing({place.directory().path()});
    CHECK(check_synced(place.path()) == "");
    CHECK(listing({place.directory().path()}) == before);
    CHECK_FALSE(std::filesystem::exists(arena));

    // It is in the way of nobody: while it is read the store is opened, and synced, which takes away what it reads.
    auto own = Store::attach(place.path(), read_only());
    REQUIRE_OK(own);
    auto store = Store::open(place.path(), spilling_to(place.directory().path()));
    REQUIRE_OK(store);
    REQUIRE(check_filled(*store) == "");
    CHECK(check_filled(*own) == "");
    REQUIRE_OK(store->drop());
    REQUIRE_OK(store->append("key 0", "new"));
    REQUIRE_OK(store->sync());
    const auto late = own->get("key 1");
    if (!late) CHECK(late.error().code == Code::kArenaGone);
    CHECK(Store::attach(place.path(), read_only())->get("key 0")->text() == "new");
}

TEST_CASE("A store whose arena is gone is read as it was synced from a read-only mount", "[process]") {
    TemporaryStore place;
    std::string arena;
    REQUIRE(fill_and_lose_arena(place, &arena) == "");
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        const std::string why_not = mount_read_only({place.directory().path()});
        if (!why_not.empty()) return kCannot + why_not;
        return check_synced(place.path());
    }));
}

TEST_CASE("A store that was never synced, and whose arena is gone, cannot be read", "[process]") {
    TemporaryStore place;
    std::string arena;
    {
        auto store = Store::open(place.path(), with_limit(16 * kMiB));
        REQUIRE_OK(store);
        arena = store->stats()->arena_path;
    }
    std::filesystem::remove(arena);
    REQUIRE_CODE(Store::attach(place.path(), read_only()), Code::kArenaGone);
}

TEST_CASE("A store that lives with an arena that cannot be reached is not read from its checkpoint", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), spilling_to(place.directory().path()));
    REQUIRE_OK(store);
    REQUIRE(fill(*store) == "");
    std::filesystem::remove(store->stats()->arena_path);
    REQUIRE_CODE(Store::attach(place.path(), read_only()), Code::kInUse);
}
