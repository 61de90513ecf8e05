// A store has one arena: processes that cannot reach the arena of others, which lost its name or lies in another
// container's /dev/shm, do not make a second one, and do not destroy the first.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../mount_namespace.hpp"
#include "../spill/durable_place.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

Store synced_store(const DurablePlace& place) {
    shoal::Options options = place.options(16 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("synced", "red,"));
    REQUIRE_OK(store->sync());
    return std::move(*store);
}

bool names_process(const shoal::Error& error, pid_t process) {
    return error.message.find("process " + std::to_string(process) + " ") != std::string::npos;
}

}  // namespace

TEST_CASE("A store is not restored while a process has it open whose arena has lost its name", "[process]") {
    DurablePlace place;
    auto own = std::optional(synced_store(place));
    const pid_t owner = ::getpid();
    place.lose_memory();
    CHECK(Child::run([&]() -> std::string {
              own.reset();  // the child's copy; the parent still has it
              const auto opened = Store::open(place.path(), place.options(16 * kMiB));
              EXPECT_CODE(opened, Code::kInUse);
              EXPECT(names_process(opened.error(), owner));
              EXPECT_CODE(Store::attach(place.path()), Code::kInUse);
              EXPECT_CODE(Store::recover(place.path()), Code::kInUse);
              return {};
          }) == "");
    CHECK_FALSE(place.has_arena());
    CHECK(own->get("synced")->text() == "red,");
    own.reset();
    const auto restored = Store::attach(place.path());
    REQUIRE_OK(restored);
    CHECK(restored->get("synced")->text() == "red,");
}

TEST_CASE("A child of fork keeps a store from being restored when its parent has closed it", "[process]") {
    DurablePlace place;
    auto own = std::optional(synced_store(place));
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    Child child = Child::start([&]() -> std::string {
        ::close(ends[1]);
        char byte = 0;
        EXPECT(::read(ends[0], &byte, 1) == 0);  // until the parent closes its end
        EXPECT(own->get("synced")->text() == "red,");
        return {};
    });
    ::close(ends[0]);
    own.reset();
    place.lose_memory();
    const auto refused = Store::attach(place.path());
    REQUIRE_CODE(refused, Code::kInUse);
    CHECK(names_process(refused.error(), child.pid()));
    ::close(ends[1]);
    REQUIRE(child.wait() == "");
    REQUIRE_OK(Store::attach(place.path()));
}

TEST_CASE("A process that is killed keeps nobody from restoring the store", "[process]") {
    DurablePlace place;
    Child child = Child::start([&]() -> std::string {
        auto store = Store::open(place.path(), place.options(16 * kMiB));
        EXPECT_OK(store);
        EXPECT_OK(store->append("synced", "red,"));
        EXPECT_OK(store->sync());
        ::raise(SIGKILL);
        return {};
    });
    (void)child.wait();
    REQUIRE(child.killed_by() == SIGKILL);
    place.lose_memory();
    const auto restored = Store::attach(place.path());
    REQUIRE_OK(restored);
    CHECK(restored->get("synced")->text() == "red,");
}

TEST_CASE("Two containers with one volume and a /dev/shm each do not both have the store open", "[process]") {
    DurablePlace place;
    auto own = std::optional(synced_store(place));
    const pid_t owner = ::getpid();
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        own.reset();
        if (const std::string cannot = hide_by_tmpfs(place.arenas()); !cannot.empty()) return kCannot + cannot;
        const auto opened = Store::open(place.path(), place.options(16 * kMiB));
        EXPECT_CODE(opened, Code::kInUse);
        EXPECT(names_process(opened.error(), owner));
        EXPECT_CODE(Store::destroy(place.path()), Code::kInUse);
        EXPECT_CODE(Store::destroy(place.path(), by_force()), Code::kInUse);  // it could not be told
        return {};
    }));
    CHECK(own->get("synced")->text() == "red,");
    REQUIRE_OK(own->append("synced", "green,"));
    REQUIRE_OK(own->sync());
    CHECK(own->get("synced")->text() == "red,green,");
}

TEST_CASE("Of containers that restore one store at once one has it, and the others are told", "[process]") {
    DurablePlace place;
    { auto own = synced_store(place); }
    place.lose_memory();
    constexpr std::size_t kContainers = 4;
    int answers[2];
    int all_asked[2];
    REQUIRE((::pipe(answers) == 0 && ::pipe(all_asked) == 0));
    std::vector<Child> children;
    for (std::size_t each = 0; each < kContainers; ++each) {
        children.push_back(Child::start([&]() -> std::string {
            ::close(all_asked[1]);
            const auto answer = [&](char byte) { return ::write(answers[1], &byte, 1) == 1; };
            if (const std::string cannot = hide_by_tmpfs(place.arenas()); !cannot.empty()) {
                EXPECT(answer('-'));
                return kCannot + cannot;
            }
            const auto store = Store::attach(place.path());
            EXPECT(answer(store ? 'y' : 'n'));
            if (!store) EXPECT_CODE(store, Code::kInUse);
            if (store) EXPECT(store->get("synced")->text() == "red,");
            char byte = 0;
            EXPECT(::read(all_asked[0], &byte, 1) == 0);
            return {};
        }));
    }
    ::close(all_asked[0]);
    std::string answered(kContainers, ' ');
    for (char& byte : answered) REQUIRE(::read(answers[0], &byte, 1) == 1);
    ::close(all_asked[1]);
    const std::string failed = wait_for(children);
    ::close(answers[0]);
    ::close(answers[1]);
    REQUIRE_IN_NAMESPACE(failed);
    CHECK(std::count(answered.begin(), answered.end(), 'y') == 1);
}

TEST_CASE("A store that others have open is not destroyed, unless by force, and the error names them",
          "[process]") {
    TemporaryStore place;
    auto own = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(own);
    REQUIRE_OK(own->append("key", "value"));
    const pid_t owner = ::getpid();
    CHECK(Child::run([&]() -> std::string {
              own = tl::unexpected(shoal::Error{});
              const auto destroyed = Store::destroy(place.path());
              EXPECT_CODE(destroyed, Code::kInUse);
              EXPECT(names_process(destroyed.error(), owner));
              EXPECT(destroyed.error().message.find("--force") != std::string::npos);
              return {};
          }) == "");
    const auto itself = Store::destroy(place.path());
    REQUIRE_CODE(itself, Code::kInUse);
    CHECK(itself.error().message.find("this process") != std::string::npos);
    CHECK(own->get("key")->text() == "value");
    REQUIRE_OK(Store::attach(place.path()));
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    REQUIRE_CODE(own->get("key"), Code::kDestroyed);
}

TEST_CASE("A process whose arena has lost its name is told by its next sync, spill and slow append") {
    DurablePlace place;
    auto own = std::optional(synced_store(place));
    place.lose_memory();
    const auto says_what_to_do = [](const shoal::Error& error) {
        return error.message.find("lost its name") != std::string::npos &&
               error.message.find("open it again") != std::string::npos;
    };
    SECTION("an append that needs new memory") {
        auto appended = own->append("large", pattern(3 * kMiB, 1));
        REQUIRE_CODE(appended, Code::kArenaGone);
        CHECK(says_what_to_do(appended.error()));
        std::vector<std::string> records(100, std::string(60'000, 'x'));
        std::vector<shoal::Pair> batch;
        for (const std::string& record : records) batch.emplace_back(shoal::ByteView("batch"), record);
        appended = own->append(batch);
        REQUIRE_CODE(appended, Code::kArenaGone);
        const auto kept = own->size("batch");  // those before the error are there
        CHECK((kept ? kept->records : 0) == appended.error().count);
    }
    SECTION("a spill") {
        const auto spilled = own->spill();
        REQUIRE_CODE(spilled, Code::kArenaGone);
        CHECK(says_what_to_do(spilled.error()));
    }
    SECTION("a sync, which saves what there is") {
        REQUIRE_OK(own->append("synced", "green,"));  // into memory that there was
        const auto synced = own->sync();
        REQUIRE_CODE(synced, Code::kArenaGone);
        CHECK(says_what_to_do(synced.error()));
        CHECK(own->get("synced")->text() == "red,green,");
        own.reset();
        const auto again = Store::attach(place.path());
        REQUIRE_OK(again);
        CHECK(again->get("synced")->text() == "red,green,");
    }
    if (own) CHECK(own->get("synced")->text().starts_with("red,"));
}

TEST_CASE("The close of a durable store whose arena has lost its name saves what it held") {
    DurablePlace place;
    {
        shoal::Options options = place.options(16 * kMiB);
        options.durable = true;
        auto own = Store::open(place.path(), options);
        REQUIRE_OK(own);
        REQUIRE_OK(own->append("key", "value"));
        place.lose_memory();
    }
    const auto again = Store::attach(place.path());
    REQUIRE_OK(again);
    CHECK(again->get("key")->text() == "value");
}

TEST_CASE("A process of a store without files is told too when the arena has lost its name") {
    TemporaryStore place;
    const TemporaryDirectory arenas("/dev/shm");
    shoal::Options options = with_limit(16 * kMiB);
    options.arena_dir = arenas.path();
    auto own = Store::open(place.path(), options);
    REQUIRE_OK(own);
    REQUIRE_OK(own->append("key", "value"));
    for (const std::string& name : arenas.entries()) std::filesystem::remove(arenas / name);
    REQUIRE_CODE(own->append("large", pattern(3 * kMiB, 1)), Code::kArenaGone);
    CHECK(own->get("key")->text() == "value");
    REQUIRE_CODE(Store::attach(place.path()), Code::kInUse);
}

TEST_CASE("An arena is not the store's any more when another container has restored the store", "[process]") {
    DurablePlace place;
    std::string arena;
    {
        auto own = synced_store(place);
        REQUIRE_OK(own.append("synced", "lost,"));
        arena = own.stats()->arena_path;
    }
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        if (const std::string cannot = hide_by_tmpfs(place.arenas()); !cannot.empty()) return kCannot + cannot;
        auto restored = Store::attach(place.path());
        EXPECT_OK(restored);
        EXPECT_OK(restored->append("synced", "green,"));
        EXPECT_OK(restored->sync());
        return {};
    }));
    const auto outdated = Store::attach(place.path());
    REQUIRE_CODE(outdated, Code::kArenaGone);
    CHECK(outdated.error().message.find("rm " + arena) != std::string::npos);
    REQUIRE(std::filesystem::remove(arena));
    const auto again = Store::attach(place.path());
    REQUIRE_OK(again);
    CHECK(again->get("synced")->text() == "red,green,");
}

TEST_CASE("Where locks keep nobody from a second arena, the two write to files of their own") {
    DurablePlace place;
    auto own = synced_store(place);
    Values values;
    for (int key = 0; key < 20; ++key) {
        values[std::to_string(key)] = pattern(100'000, static_cast<std::uint64_t>(key));
        REQUIRE_OK(own.append(std::to_string(key), values[std::to_string(key)]));
    }
    values["synced"] = "red,";
    REQUIRE_OK(own.spill());
    REQUIRE_OK(own.sync());
    const std::vector<std::string> files = place.spill_files();
    std::vector<std::uintmax_t> sizes;
    for (const std::string& file : files) sizes.push_back(std::filesystem::file_size(file));
    // A backup of the metadata is put back: the locks are on the file that was there.
    std::filesystem::copy_file(place.path() + "/store.meta", place.path() + "/copy");
    std::filesystem::rename(place.path() + "/copy", place.path() + "/store.meta");
    place.lose_memory();
    REQUIRE_CODE(Store::attach(place.path()), Code::kCopied);  // it may be that of another store
    REQUIRE_OK(Store::recover(place.path()));
    auto other = Store::attach(place.path());
    REQUIRE_OK(other);
    REQUIRE(values_of(*other) == values);
    Values others = values;
    for (int key = 10; key < 30; ++key) {
        const std::string more = pattern(100'000, 1000 + static_cast<std::uint64_t>(key));
        others[std::to_string(key)] += more;
        REQUIRE_OK(other->append(std::to_string(key), more));
    }
    REQUIRE_OK(other->spill());
    REQUIRE_CODE(own.sync(), Code::kArenaGone);
    REQUIRE_OK(other->sync());
    CHECK(values_of(*other) == others);
    CHECK(values_of(own) == values);
    for (std::size_t at = 0; at < files.size(); ++at) {
        CHECK(std::filesystem::file_size(files[at]) == sizes[at]);
        CHECK(files[at].find("-r1-") == std::string::npos);
    }
    CHECK(place.spill_files().size() > files.size());
}

TEST_CASE("A store that is restored again and again has all that was synced, and its files go when it is empty") {
    DurablePlace place;
    { auto own = synced_store(place); }
    Values values{{"synced", "red,"}};
    for (std::uint64_t turn = 0; turn < 5; ++turn) {
        place.lose_memory();
        auto store = Store::attach(place.path());
        REQUIRE_OK(store);
        REQUIRE(values_of(*store) == values);
        for (const char* key : {"synced", "grows", "other"}) {
            const std::string more = pattern(60'000, turn);
            values[key] += more;
            REQUIRE_OK(store->append(key, more));
            REQUIRE_OK(store->spill());
        }
        if (turn % 2 == 1) {
            REQUIRE_OK(store->erase("other"));
            values.erase("other");
        }
        REQUIRE_OK(store->sync());
        REQUIRE_OK(store->append("synced", "is lost"));
    }
    place.lose_memory();
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    CHECK(values_of(*store) == values);
    shoal::VerifyOptions all;
    all.files = true;
    CHECK(Store::verify(place.path(), all)->damage.empty());
    REQUIRE_OK(store->drop());
    REQUIRE_OK(store->sync());
    CHECK(place.spill_files().empty());
    CHECK(place.checkpoints() == 1);
}
