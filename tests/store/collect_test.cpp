// Leftovers of the killed, and temporary stores: what Store::collect takes away, and what it leaves.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"
#include "threads.hpp"

using shoal::Code;
using shoal::Leftover;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

// A folder for the arenas of one test, so that no other store is looked at, and one for the stores.
class PlacesToCollect {
public:
    Options options(bool temporary = false) const {
        Options options = with_limit(8 * kMiB);
        options.arena_dir = arenas_.path();
        options.temporary = temporary;
        return options;
    }
    std::string path() const { return stores_ / "store"; }
    const TemporaryDirectory& stores() const { return stores_; }
    std::vector<std::string> arenas() const {
        std::vector<std::string> paths;
        for (const std::string& name : arenas_.entries()) paths.push_back(arenas_ / name);
        return paths;
    }

    // What was found in the arenas' folder.
    std::vector<Leftover> collect(bool dry_run = false) const {
        shoal::CollectOptions collecting;
        collecting.dry_run = dry_run;
        collecting.min_age_s = 0;
        return collect_by(collecting);
    }
    std::vector<Leftover> collect_by(shoal::CollectOptions collecting) const {
        collecting.dirs = {arenas_.path()};
        collecting.only_dirs = true;
        auto all = Store::collect(collecting);
        REQUIRE_OK(all);
        return *all;
    }

private:
    TemporaryDirectory arenas_{"/dev/shm"};
    TemporaryDirectory stores_;
};

// A child that opens a store, says so, and stays until it is killed.
class Owner {
public:
    Owner(const std::string& path, const Options& options, bool append = true)
        : child_(Child::start([&, path, options, append]() -> std::string {
              auto store = Store::open(path, options);
              EXPECT_OK(store);
              if (append) EXPECT_OK(store->append("k", "x"));
              stage_[0].store(1);
              while (true) ::pause();
          })) {
        while (stage_[0].load() == 0) std::this_thread::yield();
    }
    void kill() {
        child_.kill();
        (void)child_.wait();
    }

private:
    SharedCounters stage_{1};
    Child child_;
};

}  // namespace

TEST_CASE("Those who have a store open learn that it is destroyed though its destroyer was killed half-way") {
    const bool opened_anew = GENERATE(true, false);
    PlacesToCollect places;
    auto store = Store::open(places.path(), places.options());
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    // All that a destroyer does before it could be killed.
    fs::rename(places.path() + "/store.meta", places.path() + "/.destroyed-00000000000000000000000000000000");
    if (opened_anew) {
        auto next = Store::open(places.path(), places.options());
        REQUIRE_OK(next);
        CHECK(!next->contains("key").value());
        CHECK(places.arenas().size() == 1);
    } else {
        REQUIRE_CODE(Store::destroy(places.path()), Code::kNotFound);
        CHECK(!fs::exists(places.path()));
        CHECK(places.arenas().empty());
    }
    REQUIRE_CODE(store->append("key", "value"), Code::kDestroyed);
}

TEST_CASE("A store at rest is data: nothing is collected, and nothing found") {
    const PlacesToCollect places;
    REQUIRE_OK(Store::open(places.path(), places.options())->append("k", "x"));
    CHECK(places.collect().empty());
    CHECK(Store::attach(places.path())->get("k")->text() == "x");
    REQUIRE_OK(Store::destroy(places.path(), by_force()));
}

TEST_CASE("An arena whose directory is gone is removed, with its bytes, and a dry run only says so") {
    const PlacesToCollect places;
    REQUIRE_OK(Store::open(places.path(), places.options())->append("k", "x"));
    fs::remove_all(places.path());
    for (const bool dry_run : {true, true, false}) {
        REQUIRE(places.arenas().size() == 1);
        const std::string arena = places.arenas()[0];
        struct stat info {};
        REQUIRE(::stat(arena.c_str(), &info) == 0);
        const auto found = places.collect(dry_run);
        REQUIRE(found.size() == 1);
        CHECK(found[0].removed);
        CHECK(found[0].arena_path == arena);
        CHECK(found[0].store_path == places.path());
        CHECK(found[0].bytes == static_cast<std::uint64_t>(info.st_blocks) * 512);
        CHECK(found[0].why.find(places.path()) != std::string::npos);
    }
    CHECK(places.arenas().empty());
    CHECK(places.collect().empty());
}

TEST_CASE("An arena that store.meta does not name, or another store's does, is removed") {
    const bool another = GENERATE(false, true);
    const PlacesToCollect places;
    REQUIRE_OK(Store::open(places.path(), places.options())->append("k", "x"));
    fs::remove(places.path() + "/store.meta");
    const TemporaryDirectory elsewhere("/dev/shm");  // so that the creator's own sweep does not see it
    if (another) {
        Options options = places.options();
        options.arena_dir = elsewhere.path();
        REQUIRE_OK(Store::open(places.path(), options));
    }
    const auto found = places.collect();
    REQUIRE(found.size() == 1);
    CHECK(found[0].removed);
    CHECK(places.arenas().empty());
    CHECK(Store::attach(places.path()).has_value() == another);
}

TEST_CASE("A store that somebody has open is left, even when its directory is renamed or removed", "[process]") {
    const bool in_slot = GENERATE(false, true);  // attached only, or with a slot of the process table
    for (const bool remove : {false, true}) {
        const PlacesToCollect places;
        Owner owner(places.path(), places.options(), in_slot);
        if (remove) {
            fs::remove_all(places.path());
        } else {
            fs::create_directory(places.stores() / "elsewhere");
            fs::rename(places.path(), places.stores() / "elsewhere/store");
        }
        const auto found = places.collect();
        REQUIRE(found.size() == 1);
        CHECK_FALSE(found[0].removed);
        CHECK(found[0].why.find("open") != std::string::npos);
        CHECK(places.arenas().size() == 1);
        owner.kill();
        REQUIRE(places.collect().size() == 1);
        CHECK(places.arenas().empty());
    }
}

TEST_CASE("A store whose directory was renamed is found at its new name, and left") {
    const PlacesToCollect places;
    REQUIRE_OK(Store::open(places.path(), places.options())->append("k", "x"));
    const std::string renamed = places.stores() / "renamed";
    fs::rename(places.path(), renamed);
    const auto found = places.collect();
    REQUIRE(found.size() == 1);
    CHECK_FALSE(found[0].removed);
    CHECK(found[0].why.find(renamed) != std::string::npos);
    CHECK(Store::attach(renamed)->get("k")->text() == "x");
    REQUIRE_OK(Store::destroy(renamed, by_force()));
}

TEST_CASE("What is no arena, another's, or cannot be judged is left", "[process]") {
    const PlacesToCollect places;
    const std::string folder = places.options().arena_dir;
    const std::string name = "/shoal-" + std::string(32, 'a');
    std::ofstream(folder + name) << std::string(100'000, 'x');
    REQUIRE(::mkfifo((folder + "/shoal-" + std::string(32, 'b')).c_str(), 0600) == 0);
    fs::create_directory(folder + "/shoal-" + std::string(32, 'c'));
    fs::create_symlink(folder + name, folder + "/shoal-" + std::string(32, 'd'));
    REQUIRE_OK(Store::open(places.path(), places.options())->append("k", "x"));
    const std::string meta = places.path() + "/store.meta";
    std::ofstream(meta, std::ios::app) << "damage";
    const std::size_t before = places.arenas().size();
    const auto found = places.collect();
    REQUIRE(found.size() == 1);
    CHECK_FALSE(found[0].removed);
    CHECK(found[0].why.find("damaged") != std::string::npos);
    CHECK(places.arenas().size() == before);
    // A copy of an arena under a name that is not its own.
    const std::vector<std::string> all = places.arenas();
    const std::string arena = *std::find_if(all.begin(), all.end(), [](const std::string& path) {
        return fs::is_regular_file(path) && fs::file_size(path) > 1'000'000;
    });
    fs::copy_file(arena, folder + "/shoal-" + std::string(32, 'e'));
    fs::remove_all(places.path());
    REQUIRE(places.collect().size() == 1);  // the arena itself, whose directory is gone now
    CHECK(places.arenas().size() == before);
}

TEST_CASE("A folder that is not there is an error that names it") {
    shoal::CollectOptions options;
    options.dirs = {"/dev/shm/shoal test: no such folder"};
    const auto collected = Store::collect(options);
    REQUIRE_CODE(collected, Code::kNotFound);
    CHECK(collected.error().message.find(options.dirs[0]) != std::string::npos);
}

TEST_CASE("Creators killed at any moment leave nothing that is not collected, and nobody's store is hurt",
          "[process]") {
    const PlacesToCollect places;
    std::uint64_t random = 11;
    SharedCounters made(1);
    for (std::size_t round = 0; round < scaled(60, 8); ++round) {
        Child creator = Child::start([&]() -> std::string {
            for (std::uint64_t number = 0;; ++number) {
                const std::string path = places.path() + std::to_string(number % 3);
                if (auto store = Store::open(path, places.options(number % 2 == 0))) (void)store->append("k", "x");
                (void)Store::destroy(path, by_force());
                made[0].fetch_add(1);
            }
        });
        random = random * 6364136223846793005U + 1442695040888963407U;
        const std::uint64_t enough = made[0].load() + (random >> 33U) % 20;
        while (made[0].load() < enough) (void)places.collect();
        creator.kill();
        (void)creator.wait();
        // A store that is whole stays; what is not goes.
        (void)places.collect();
        std::size_t whole = 0;
        for (int number = 0; number < 3; ++number) {
            const std::string path = places.path() + std::to_string(number);
            const auto store = Store::attach(path);
            if (!store) REQUIRE(store.error().code == Code::kNotFound);
            if (store) ++whole;
        }
        REQUIRE(places.arenas().size() == whole);
        for (int number = 0; number < 3; ++number)
            (void)Store::destroy(places.path() + std::to_string(number), by_force());
        REQUIRE(places.arenas().empty());
    }
}

TEST_CASE("A temporary store goes with the last who closes it") {
    const PlacesToCollect places;
    std::optional<Store> first = *Store::open(places.path(), places.options(true));
    std::optional<Store> second = *Store::open(places.path());
    std::optional<Store> third = *Store::attach(places.path());
    REQUIRE_OK(first->append("k", "x"));
    first.reset();
    CHECK(places.arenas().size() == 1);
    CHECK(second->get("k")->text() == "x");
    auto view = std::make_unique<shoal::View>(*third->view("k"));
    second.reset();
    third.reset();
    CHECK(view->spans()[0] == shoal::ByteView("x"));  // a view is somebody who has it open
    REQUIRE_OK(Store::attach(places.path()));
    view.reset();
    CHECK(places.arenas().empty());
    CHECK(places.stores().entries().empty());
    REQUIRE_CODE(Store::attach(places.path()), Code::kNotFound);
}

TEST_CASE("Of many who close a temporary store at once the last removes it", "[process]") {
    const PlacesToCollect places;
    for (std::size_t round = 0; round < scaled(50, 10); ++round) {
        std::optional<Store> store = *Store::open(places.path(), places.options(true));
        SharedCounters stage(2);
        std::vector<Child> children;
        for (int child = 0; child < 3; ++child)
            children.push_back(Child::start([&]() -> std::string {
                auto own = Store::attach(places.path());
                EXPECT_OK(own);
                stage[0].fetch_add(1);
                while (stage[1].load() == 0) std::this_thread::yield();
                return {};
            }));
        while (stage[0].load() < 3) std::this_thread::yield();
        stage[1].store(1);
        store.reset();
        // Each child's own is closed where its body ends; the one that it inherited dies with it.
        REQUIRE(wait_for(children) == "");
        (void)places.collect();
        REQUIRE(places.arenas().empty());
        REQUIRE(places.stores().entries().empty());
    }
}

TEST_CASE("A temporary store whose owner was killed is collected, not before", "[process]") {
    const PlacesToCollect places;
    Owner owner(places.path(), places.options(true));
    CHECK(places.collect().empty());  // it is open, and all is well with it
    CHECK(Store::attach(places.path())->get("k")->text() == "x");
    owner.kill();
    const auto found = places.collect();
    REQUIRE(found.size() == 1);
    CHECK(found[0].removed);
    CHECK(found[0].why.find("temporary") != std::string::npos);
    CHECK(places.arenas().empty());
    CHECK(places.stores().entries().empty());
}

TEST_CASE("A temporary store whose owners are gone is gone for attach, and open makes a new one", "[process]") {
    for (const bool open : {false, true}) {
        const PlacesToCollect places;
        Owner owner(places.path(), places.options(true));
        owner.kill();
        if (open) {
            auto store = Store::open(places.path(), places.options());
            REQUIRE_OK(store);
            REQUIRE_CODE(store->get("k"), Code::kNotFound);
            CHECK(places.arenas().size() == 1);
            REQUIRE_OK(Store::destroy(places.path(), by_force()));
        } else {
            REQUIRE_CODE(Store::attach(places.path()), Code::kNotFound);
        }
        CHECK(places.arenas().empty());
        CHECK(places.stores().entries().empty());
    }
}

TEST_CASE("A forked child keeps a temporary store when its parent closes it or dies", "[process]") {
    const bool killed = GENERATE(false, true);
    const PlacesToCollect places;
    SharedCounters stage(2);  // 0: what the child has come to; 1: the parent is gone
    Child parent = Child::start([&]() -> std::string {
        std::optional<Store> store = *Store::open(places.path(), places.options(true));
        EXPECT_OK(store->append("k", "parent,"));
        if (::fork() == 0) {
            ::alarm(kChildWatchdogSeconds);
            stage[0].store(1);
            while (stage[1].load() == 0) std::this_thread::yield();
            const bool good =
                store->append("k", "child,").has_value() && store->get("k")->text() == "parent,child,";
            store.reset();
            stage[0].store(good ? 2 : 3);
            ::_exit(0);
        }
        while (stage[0].load() == 0) std::this_thread::yield();
        if (killed) ::raise(SIGKILL);
        store.reset();
        return {};
    });
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(parent.pid()), &info, WEXITED | WNOWAIT) == 0);
    CHECK(places.collect().empty());
    CHECK(places.arenas().size() == 1);
    stage[1].store(1);
    while (stage[0].load() < 2) std::this_thread::yield();
    CHECK(stage[0].load() == 2);
    (void)parent.wait();
    CHECK(places.arenas().empty());
}

TEST_CASE("Collectors, openers and destroyers at once harm no store, and leave nothing", "[process]") {
    const PlacesToCollect places;
    SharedCounters finished(1);
    std::vector<Child> children;
    for (int collector = 0; collector < 2; ++collector)
        children.push_back(Child::start([&]() -> std::string {
            shoal::CollectOptions options;
            options.dirs = {places.options().arena_dir};
            options.only_dirs = true;
            while (finished[0].load() < 3) EXPECT_OK(Store::collect(options));
            return {};
        }));
    for (std::size_t opener = 0; opener < 3; ++opener)
        children.push_back(Child::start([&, opener]() -> std::string {
            std::string failure;
            for (std::size_t round = 0; round < scaled(150, 20) && failure.empty(); ++round)
                failure = [&]() -> std::string {
                    const bool temporary = (round + opener) % 2 == 0;
                    auto store = Store::open(places.path() + std::to_string(round % 2), places.options(temporary));
                    EXPECT_OK(store);
                    const std::string key = std::to_string(opener) + "." + std::to_string(round);
                    const auto appended = store->append(key, "x");
                    if (!appended) {  // another destroyed it meanwhile
                        EXPECT_CODE(appended, Code::kDestroyed);
                        return {};
                    }
                    const auto got = store->get(key);
                    if (!got) EXPECT_CODE(got, Code::kDestroyed);
                    if (got) EXPECT(got->text() == "x");
                    if (round % 5 == 0) {
                        const auto destroyed =
                            Store::destroy(places.path() + std::to_string(round % 2), by_force());
                        if (!destroyed) EXPECT_CODE(destroyed, Code::kNotFound);
                    }
                    return {};
                }();
            finished[0].fetch_add(1);
            return failure;
        }));
    CHECK(wait_for(children) == "");
    for (int number = 0; number < 2; ++number)
        (void)Store::destroy(places.path() + std::to_string(number), by_force());
    (void)places.collect();
    CHECK(places.arenas().empty());
    CHECK(places.stores().entries().empty());
}
