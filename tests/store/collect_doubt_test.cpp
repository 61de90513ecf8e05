// What Store::collect leaves, since it may be a store's that lives where the collector cannot see it; and takes by
// force.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../mount_namespace.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Leftover;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

constexpr std::time_t kDay = 24 * 60 * 60;

// A folder for the arenas of one test, and one for the stores.
class Places {
public:
    [[nodiscard]] Options options() const {
        Options options = with_limit(8 * kMiB);
        options.arena_dir = arenas_.path();
        return options;
    }
    [[nodiscard]] std::string path(const std::string& name = "store") const { return stores_ / name; }
    [[nodiscard]] std::string stores() const { return stores_.path(); }
    [[nodiscard]] std::size_t arenas() const { return arenas_.entries().size(); }
    // As if nothing had touched them since then.
    void age(std::time_t seconds) const {
        const timespec then{::time(nullptr) - seconds, 0};
        const timespec both[2] = {then, then};
        for (const std::string& name : arenas_.entries()) {
            REQUIRE(::utimensat(AT_FDCWD, (arenas_ / name).c_str(), both, 0) == 0);
        }
    }
    [[nodiscard]] std::vector<Leftover> collect(bool force = false, bool any_age = true) const {
        shoal::CollectOptions collecting;
        collecting.dirs = {arenas_.path()};
        collecting.only_dirs = true;
        collecting.force = force;
        if (any_age) collecting.min_age_s = 0;
        auto all = Store::collect(collecting);
        if (!all) return {};
        std::erase_if(*all, [&](const Leftover& each) { return !each.arena_path.starts_with(arenas_.path()); });
        return *all;
    }
    // By default it is left, and said why; by force it is taken, and said what that is.
    [[nodiscard]] std::string is_taken_by_force_alone(const std::string& why) const {
        for (const bool force : {false, true}) {
            EXPECT(arenas() == 1);
            const auto found = collect(force);
            EXPECT(found.size() == 1);
            EXPECT(found[0].removed == force);
            EXPECT(found[0].needs_force);
            EXPECT(found[0].why.find(why) != std::string::npos);
        }
        EXPECT(arenas() == 0);
        return {};
    }

private:
    TemporaryDirectory arenas_{"/dev/shm"};
    TemporaryDirectory stores_;
};

std::string make(const std::string& path, const Options& options, const std::string& value = "x") {
    auto store = Store::open(path, options);
    EXPECT_OK(store);
    EXPECT_OK(store->append("key", value));
    return {};
}

}  // namespace

TEST_CASE("What was opened, closed or has grown within a day is not collected, unless by force") {
    const Places places;
    const bool is_force = GENERATE(false, true);
    REQUIRE(make(places.path(), places.options()) == "");
    places.age(2 * kDay);
    REQUIRE_OK(Store::attach(places.path()));
    fs::remove_all(places.path());
    for (const std::time_t age : {std::time_t{0}, kDay / 2}) {
        places.age(age);
        const auto found = places.collect(false, false);
        REQUIRE(found.size() == 1);
        CHECK_FALSE(found[0].removed);
        CHECK(found[0].needs_force);
        CHECK(places.arenas() == 1);
    }
    if (!is_force) places.age(2 * kDay);
    const auto found = places.collect(is_force, false);
    REQUIRE(found.size() == 1);
    CHECK(found[0].removed);
    CHECK(found[0].needs_force == is_force);
    CHECK(places.arenas() == 0);
}

TEST_CASE("An attach and a close make an arena young again") {
    const Places places;
    REQUIRE(make(places.path(), places.options()) == "");
    const bool at_close = GENERATE(false, true);
    Child child = Child::start([&]() -> std::string {
        places.age(2 * kDay);
        auto store = Store::attach(places.path());
        EXPECT_OK(store);
        if (at_close) places.age(2 * kDay);
        if (!at_close) ::_exit(0);
        return {};
    });
    CHECK(child.wait() == "");
    fs::remove_all(places.path());
    CHECK_FALSE(places.collect(false, false).at(0).removed);
}

TEST_CASE("What was synced is not collected, unless by force") {
    const Places places;
    const bool is_restored = GENERATE(false, true);
    Options options = places.options();
    options.durable = true;
    REQUIRE(make(places.path(), options) == "");
    if (is_restored) {
        for (const auto& entry : fs::directory_iterator(places.options().arena_dir)) fs::remove(entry);
        REQUIRE_OK(Store::attach(places.path()));
    }
    fs::remove_all(places.path());
    CHECK(places.is_taken_by_force_alone("synced") == "");
}

TEST_CASE("A container's idle store is not collected from outside, unless by force", "[process]") {
    const Places places;
    const TemporaryDirectory inside;
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        if (const std::string cannot = hide_by_tmpfs(inside.path()); !cannot.empty()) return kCannot + cannot;
        return make(inside / "store", places.options());
    }));
    CHECK(places.is_taken_by_force_alone("mount namespace") == "");
}

TEST_CASE("A store whose volume is unmounted is not collected, and is there when that is mounted again",
          "[process]") {
    const Places places;
    const TemporaryDirectory images;
    const std::string image = images / "image";
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        const std::string folder = places.stores();
        if (const std::string cannot = hide_by_ext2(image, "8M", folder); !cannot.empty()) return kCannot + cannot;
        EXPECT(make(places.path(), places.options()) == "");
        EXPECT(::umount(folder.c_str()) == 0);
        const auto found = places.collect();
        EXPECT(found.size() == 1 && !found[0].removed && found[0].needs_force);
        EXPECT(found[0].why.find("not mounted") != std::string::npos);
        EXPECT(std::system(("mount -o loop '" + image + "' '" + folder + "'").c_str()) == 0);
        EXPECT(places.collect().empty());
        EXPECT(Store::attach(places.path())->get("key")->text() == "x");
        // Another volume in its place.
        EXPECT(::umount(folder.c_str()) == 0);
        EXPECT(::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=16m") == 0);
        EXPECT(make(places.path("other"), places.options()) == "");
        EXPECT(places.arenas() == 2);
        const auto beside = places.collect();
        EXPECT(beside.size() == 1 && !beside[0].removed);
        EXPECT(::umount(folder.c_str()) == 0);
        return {};
    }));
}

TEST_CASE("A store that is made where another was before that was moved leaves that one whole", "[process]") {
    const Places places;
    REQUIRE(make(places.path(), places.options(), "moved") == "");
    fs::create_directory(places.path("elsewhere"));
    const std::string moved = places.path("elsewhere/store");
    fs::rename(places.path(), moved);
    REQUIRE(make(places.path(), places.options(), "new") == "");
    CHECK(places.arenas() == 2);
    CHECK(Store::attach(moved)->get("key")->text() == "moved");
    // From then on it is known where that is.
    CHECK(places.collect().empty());
    fs::rename(moved, places.path("elsewhere/renamed"));
    CHECK(places.collect().at(0).why.find("renamed") != std::string::npos);
    CHECK(places.arenas() == 2);
    CHECK(Store::attach(places.path())->get("key")->text() == "new");
}

TEST_CASE("The arena that a store had before a copy of its directory took its place is collected by force") {
    const Places places;
    Options options = places.options();
    options.durable = true;
    REQUIRE(make(places.path(), options, "before") == "");
    fs::copy(places.path(), places.path("copy"), fs::copy_options::recursive);
    fs::remove_all(places.path());
    fs::create_directory(places.path("elsewhere"));
    fs::rename(places.path("copy"), places.path());
    CHECK(places.collect().empty());  // it may be taken over there
    REQUIRE_OK(Store::attach(places.path()));
    CHECK(places.arenas() == 1);
    CHECK(places.collect().empty());
    // Lost, and restored beside it: as where the copy lacked a file of the arena's.
    fs::copy(places.path(), places.path("elsewhere/copy"), fs::copy_options::recursive);
    {
        auto store = Store::attach(places.path());
        REQUIRE_OK(store->append("later", std::string(kMiB, 'x')));
        REQUIRE_OK(store->spill());
    }
    fs::remove_all(places.path());
    fs::rename(places.path("elsewhere/copy"), places.path());
    REQUIRE_OK(Store::recover(places.path()));
    CHECK(places.arenas() == 2);
    const auto left = places.collect();
    REQUIRE(left.size() == 1);
    CHECK_FALSE(left[0].removed);
    CHECK(left[0].why.find("has another arena now, but it was synced") != std::string::npos);
    CHECK(places.collect(true).at(0).removed);
    CHECK(places.arenas() == 1);
    const auto store = Store::attach(places.path());
    REQUIRE_OK(store);
    CHECK(store->get("key")->text() == "before");
}

TEST_CASE("A store that is made at one path in another container leaves the one that is there in this",
          "[process]") {
    const Places places;
    REQUIRE(make(places.path(), places.options(), "outside") == "");
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        if (const std::string cannot = hide_by_tmpfs(places.stores()); !cannot.empty()) return kCannot + cannot;
        EXPECT(make(places.path(), places.options(), "inside") == "");
        EXPECT(places.collect().size() == 1);  // what is outside
        EXPECT(Store::attach(places.path())->get("key")->text() == "inside");
        return {};
    }));
    CHECK(Store::attach(places.path())->get("key")->text() == "outside");
    CHECK(places.arenas() == 2);
}

TEST_CASE("Only temporary stores are collected by a collector that asks for those") {
    const Places places;
    REQUIRE(make(places.path(), places.options()) == "");
    Child owner = Child::start([&]() -> std::string {
        Options options = places.options();
        options.temporary = true;
        auto store = Store::open(places.path("temporary"), options);
        EXPECT_OK(store);
        ::raise(SIGKILL);
        return {};
    });
    (void)owner.wait();
    fs::remove_all(places.path());
    CHECK(places.arenas() == 2);
    shoal::CollectOptions collecting;
    collecting.dirs = {places.options().arena_dir};
    collecting.only_dirs = true;
    collecting.min_age_s = 0;
    collecting.only_temporary = true;
    REQUIRE_OK(Store::collect(collecting));
    CHECK(places.arenas() == 1);
    CHECK(places.collect().size() == 1);
    CHECK(places.arenas() == 0);
}
