// A store's directory is moved, renamed or mounted elsewhere: all that is in it is found there.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include "../mount_namespace.hpp"
#include "../store/child.hpp"
#include "catch.hpp"
#include "movable_folders.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;
namespace fs = std::filesystem;

TEST_CASE(
    "A store whose directory was renamed has all its values, with the arena and without, and destroy leaves no "
    "file") {
    const bool has_arena = GENERATE(true, false);
    const bool is_below = GENERATE(false, true);  // the spill folder
    const MovableFolders folders;
    {
        shoal::Options options = folders.durable_options();
        if (is_below) {
            fs::create_directories(folders.path() + "/spill");
            REQUIRE(::chmod(folders.path().c_str(), 0700) == 0);
            options.spill_dir = folders.path() + "/spill";
        }
        const Store store = MovableFolders::filled(Store::open(folders.path(), options));
    }
    for (const auto& [from, to] : {std::pair("store", "renamed"), std::pair("renamed", "again")}) {
        folders.move(from, to);
        if (!has_arena) folders.lose_memory();
        auto store = Store::attach(folders.path(to));
        REQUIRE_OK(store);
        CHECK(MovableFolders::has_all(*store));
        CHECK(store->stats()->spill_dir == folders.path(to) + (is_below ? "/spill" : ""));
        REQUIRE_OK(store->append("other", pattern(kMiB, 77)));
        REQUIRE_OK(store->spill());
        CHECK((store->get("other")->text() == pattern(kMiB, 77)));
        REQUIRE_OK(store->erase("other"));
        REQUIRE_OK(store->sync());
        REQUIRE_CODE(Store::attach(folders.path(from)), Code::kNotFound);
    }
    CHECK(is_sound(folders.path("again")));
    REQUIRE_OK(Store::destroy(folders.path("again")));
    if (is_below) CHECK(fs::is_empty(folders.path("again") + "/spill"));  // the caller's to remove
    if (!is_below) CHECK(folders.are_empty());
}

TEST_CASE("A store goes on while its directory is moved under the process, and the old path is free") {
    const MovableFolders folders;
    auto store = std::optional(folders.make());
    fs::create_directory(folders.path("elsewhere"));
    folders.move("store", "elsewhere/moved");
    CHECK(MovableFolders::has_all(*store));
    REQUIRE_OK(store->append("other", pattern(kMiB, 77)));
    REQUIRE_OK(store->spill());
    REQUIRE_OK(store->sync());
    auto second = Store::open(folders.path(), folders.durable_options());
    REQUIRE_OK(second);
    CHECK(second->keys()->empty());
    REQUIRE_OK(second->append("small", "of the second"));
    REQUIRE_OK(second->sync());
    {
        auto there = Store::attach(folders.path("elsewhere/moved"));
        REQUIRE_OK(there);
        CHECK((there->get("other")->text() == pattern(kMiB, 77)));
        REQUIRE_OK(there->append("small", "green,"));
    }
    CHECK(store->get("small")->text() == "red,green,");
    CHECK(store->stats()->path == folders.path("elsewhere/moved"));
    store.reset();  // durable: it syncs
    second = tl::unexpected(shoal::Error{});
    folders.lose_memory();
    const auto restored = Store::attach(folders.path("elsewhere/moved"));
    REQUIRE_OK(restored);
    CHECK(restored->get("small")->text() == "red,green,");
    CHECK((restored->get("other")->text() == pattern(kMiB, 77)));
    CHECK(Store::attach(folders.path())->get("small")->text() == "of the second");
    REQUIRE_OK(Store::destroy(folders.path("elsewhere/moved"), by_force()));
    CHECK(fs::is_empty(folders.path("elsewhere")));
}

TEST_CASE("A temporary store that was moved under its last owner goes with it, from its new place") {
    const MovableFolders folders;
    shoal::Options options = folders.durable_options();
    options.durable = false;
    options.temporary = true;
    auto store = std::optional(std::move(*Store::open(folders.path(), options)));
    REQUIRE_OK(store->append("key", "value"));
    folders.move("store", "moved");
    store.reset();
    CHECK(folders.are_empty());
}

TEST_CASE("A store is one store by whatever path its directory is mounted", "[process]") {
    const MovableFolders folders;
    const TemporaryDirectory mounted;
    auto own = std::optional(folders.make());
    const std::string failed = Child::run([&]() -> std::string {
        own.reset();
        std::string cannot = enter_mount_namespace();
        if (cannot.empty()) cannot = bind_mount(folders.path(), mounted.path());
        if (!cannot.empty()) return kCannot + cannot;
        auto store = Store::attach(mounted.path());
        EXPECT_OK(store);
        EXPECT(MovableFolders::has_all(*store));
        EXPECT(store->stats()->spill_dir == mounted.path());
        EXPECT_OK(store->append("other", pattern(kMiB, 77)));
        EXPECT_OK(store->spill());
        EXPECT_OK(store->sync());
        return {};
    });
    REQUIRE_IN_NAMESPACE(failed);
    CHECK((own->get("other")->text() == pattern(kMiB, 77)));
    own.reset();
    REQUIRE_OK(Store::attach(folders.path()));
    REQUIRE_OK(Store::destroy(folders.path()));
    CHECK(folders.are_empty());
}

TEST_CASE("A store whose directory was moved to another file system is the same store, with what was not synced") {
    const bool is_destroyed_first = GENERATE(false, true);
    const MovableFolders folders;
    const TemporaryDirectory elsewhere("/dev/shm");
    std::string id;
    {
        Store store = folders.make();
        id = store.stats()->store_id;
        shoal::Options options = folders.durable_options();
        REQUIRE_OK(store.append("small", "green,"));
    }
    const std::string moved = elsewhere / "moved";
    folders.copy_to("store", moved);
    fs::remove_all(folders.path());
    if (is_destroyed_first) {
        REQUIRE_OK(Store::destroy(moved));
    } else {
        auto store = Store::attach(moved);
        REQUIRE_OK(store);
        CHECK(store->stats()->store_id == id);
        CHECK(store->get("small")->text() == "red,green,");
        CHECK((Store::attach(moved)->get("7")->text() == pattern(kMiB, 7)));
        store = tl::unexpected(shoal::Error{});
        CHECK(is_sound(moved));
        folders.lose_memory();
        CHECK(Store::attach(moved)->get("small")->text() == "red,green,");
        REQUIRE_OK(Store::destroy(moved));
    }
    CHECK(folders.are_empty());
    CHECK(elsewhere.entries().empty());
}

// The place of a value in a bundle tells of 4 KiB, and the last bundle of a file may be shorter.
TEST_CASE("A restored store is moved to another file system whatever lies at the end of its files") {
    const MovableFolders folders;
    const TemporaryDirectory elsewhere("/dev/shm");
    for (int number = 0; number < 16; ++number) {  // for either order of the two keys
        const std::string small = "small " + std::to_string(number);
        const std::string name = "store " + std::to_string(number);
        {
            auto store = Store::open(folders.path(name), folders.durable_options());
            REQUIRE_OK(store);
            REQUIRE_OK(store->append("large", pattern(5000, 1)));
            REQUIRE_OK(store->append(small, "red,"));
            REQUIRE_OK(store->spill());
            REQUIRE_OK(store->sync());
        }
        folders.lose_memory();
        REQUIRE_OK(Store::attach(folders.path(name)));
        const std::string moved = elsewhere / name;
        folders.copy_to(name, moved);
        fs::remove_all(folders.path(name));
        {
            const auto store = Store::attach(moved);
            REQUIRE_OK(store);
            CHECK(store->get(small)->text() == "red,");
            CHECK(store->get("large")->text() == pattern(5000, 1));
        }
        CHECK(is_sound(moved));
        REQUIRE_OK(Store::destroy(moved));
    }
}

TEST_CASE("A moved store is only read, from a read-only mount too, and not changed; the next open finds it",
          "[process]") {
    const bool has_arena = GENERATE(true, false);
    const bool is_elsewhere = GENERATE(false, true);  // on another file system
    const MovableFolders folders;
    const TemporaryDirectory elsewhere("/dev/shm");
    std::string arena;
    {
        const Store store = folders.make();
        arena = store.stats()->arena_path;
    }
    const std::string moved = is_elsewhere ? elsewhere / "moved" : folders.path("moved");
    if (is_elsewhere) {
        folders.copy_to("store", moved);
        fs::remove_all(folders.path());
    } else {
        folders.move("store", "moved");
    }
    if (!has_arena) folders.lose_memory();
    const auto last_write = [&] { return has_arena ? fs::last_write_time(arena) : fs::file_time_type(); };
    const auto before = last_write();
    const auto read_it = [&]() -> std::string {
        shoal::Options options;
        options.read_only = true;
        const auto own = Store::attach(moved, options);
        EXPECT_OK(own);
        EXPECT(MovableFolders::has_all(*own));
        return {};
    };
    CHECK(read_it() == "");
    if (!has_arena || !is_elsewhere) {  // else it counts as a copy in another mount namespace
        REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
            const std::string cannot = mount_read_only({fs::path(arena).parent_path(), moved});
            if (!cannot.empty()) return kCannot + cannot;
            if (has_arena) EXPECT_CODE(Store::attach(moved), Code::kPermission);
            return read_it();
        }));
    }
    CHECK(last_write() == before);
    {
        shoal::Options options;
        options.read_only = true;
        const auto reader = Store::attach(moved, options);  // in the way of no other
        REQUIRE_OK(reader);
        const auto store = Store::attach(moved);
        REQUIRE_OK(store);
        CHECK(MovableFolders::has_all(*store));
    }
    REQUIRE_OK(Store::destroy(moved));
    CHECK(folders.are_empty());
}

TEST_CASE("A spill folder outside of the store's directory stays where it is when that is moved") {
    const MovableFolders folders;
    shoal::Options options = folders.durable_options();
    options.spill_dir = folders.spills.path();
    { const Store store = MovableFolders::filled(Store::open(folders.path(), options)); }
    folders.move("store", "moved");
    CHECK(MovableFolders::has_all(*Store::attach(folders.path("moved"))));
    folders.lose_memory();
    CHECK(MovableFolders::has_all(*Store::attach(folders.path("moved"))));
    REQUIRE_OK(Store::destroy(folders.path("moved")));
    CHECK(folders.are_empty());
    CHECK(folders.spills.entries().empty());
}

TEST_CASE(
    "By force the arena of a store is collected that was moved and restored in another container since, and its "
    "files stay",
    "[process]") {
    const MovableFolders folders;
    shoal::Options options = folders.durable_options();
    options.spill_dir = folders.spills.path();
    { const Store store = MovableFolders::filled(Store::open(folders.path(), options)); }
    fs::create_directory(folders.path("elsewhere"));
    const std::string moved = folders.path("elsewhere/store");
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        const std::string cannot = hide_by_tmpfs(folders.arenas.path());
        if (!cannot.empty()) return kCannot + cannot;
        fs::rename(folders.path(), moved);
        auto store = Store::attach(moved);
        EXPECT_OK(store);
        EXPECT_OK(store->append("small", "green,"));
        EXPECT_OK(store->sync());
        return {};
    }));
    shoal::CollectOptions collecting;
    collecting.dirs = {folders.arenas.path()};
    collecting.only_dirs = true;
    collecting.force = true;
    const auto collected = Store::collect(collecting);
    REQUIRE_OK(collected);
    CHECK(folders.arenas.entries().empty());
    const auto store = Store::attach(moved);
    REQUIRE_OK(store);
    CHECK(store->get("small")->text() == "red,green,");
    CHECK((store->get("7")->text() == pattern(kMiB, 7)));
}
