// Whose files a store takes: what the operating system refuses, and what shoal does. Runs as root, which drops to
// another user in children; so the tests need root to set the scene.
#include <grp.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

constexpr uid_t kNobody = 65534;
constexpr uid_t kAnother = 65532;
constexpr gid_t kGroup = 65531;  // both are in it where a test says so

bool is_root() { return ::geteuid() == 0; }

// Runs the body in a child that is that user, in those groups beside its own.
std::string as_user(uid_t user, const std::vector<gid_t>& groups, const Child::Body& body) {
    return Child::run([&]() -> std::string {
        if (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0)
            return "cannot become another user";
        return body();
    });
}
std::string as_nobody(const Child::Body& body) { return as_user(kNobody, {}, body); }

Options of_group(gid_t group) {
    Options options = with_limit(8 * kMiB);
    options.group = std::to_string(group);
    return options;
}

bool says(const shoal::Error& error, const std::string& words) {
    return error.message.find(words) != std::string::npos;
}

std::string make_store(const std::string& path) {
    auto store = Store::open(path, with_limit(8 * kMiB));
    EXPECT_OK(store);
    EXPECT_OK(store->append("k", "kept"));
    return {};
}

// A name beside the file's, of this process alone.
std::string aside_of(const std::string& file) { return file + ".aside-" + std::to_string(::getpid()); }

std::string arena_of(const std::string& path) {
    Options options;
    options.any_owner = true;
    return Store::attach(path, options)->stats()->arena_path;
}

// Puts what `make` makes at the place of each file of a store in turn: each call is refused, and none waits.
void refuses_in_place_of_files(const std::function<bool(const std::string&)>& make) {
    const TemporaryStore place;
    REQUIRE(make_store(place.path()) == "");
    for (const std::string& file : {place.path() + "/store.meta", arena_of(place.path())}) {
        const std::string kept = aside_of(file);
        fs::rename(file, kept);
        REQUIRE(make(file));
        const auto refused = Store::attach(place.path());
        REQUIRE_FALSE(refused.has_value());
        CHECK(says(refused.error(), file));
        REQUIRE_FALSE(Store::open(place.path()).has_value());
        fs::remove(file);
        fs::rename(kept, file);
        REQUIRE_OK(Store::attach(place.path()));
    }
}

// The places of one test: a folder that nobody may enter and write, and stores below it.
struct PlacesOpenToAll {
    TemporaryStore store;
    PlacesOpenToAll() { REQUIRE(::chmod(store.directory().path().c_str(), 0777) == 0); }
};

}  // namespace

#define NEEDS_ROOT \
    if (!is_root()) SHOAL_SKIP("needs root, to make files that another user owns")

TEST_CASE("A directory without permission gives a typed error that names it", "[process]") {
    NEEDS_ROOT;
    const PlacesOpenToAll places;
    const std::string closed = places.store.directory() / "closed";
    fs::create_directory(closed);
    REQUIRE(::chmod(closed.c_str(), 0700) == 0);
    CHECK(as_nobody([&]() -> std::string {
              const auto opened = Store::open(closed + "/store", with_limit(8 * kMiB));
              EXPECT_CODE(opened, Code::kPermission);
              EXPECT(opened.error().message.find(closed) != std::string::npos);
              EXPECT(opened.error().system_errno == EACCES);
              EXPECT_CODE(Store::attach(closed + "/store"), Code::kPermission);
              EXPECT_CODE(Store::destroy(closed + "/store"), Code::kPermission);
              return {};
          }) == "");
    CHECK(fs::is_empty(closed));
    REQUIRE(::chmod(closed.c_str(), 0755) == 0);  // may be entered, not written
    CHECK(as_nobody([&]() -> std::string {
              EXPECT_CODE(Store::open(closed + "/store", with_limit(8 * kMiB)), Code::kPermission);
              EXPECT_CODE(Store::attach(closed + "/store"), Code::kNotFound);
              return {};
          }) == "");
    CHECK(fs::is_empty(closed));
}

TEST_CASE("An arena folder without permission gives a typed error that names it, and leaves nothing", "[process]") {
    NEEDS_ROOT;
    const PlacesOpenToAll places;
    const TemporaryDirectory arenas("/dev/shm");  // 0700, of root
    CHECK(as_nobody([&]() -> std::string {
              Options options = with_limit(8 * kMiB);
              options.arena_dir = arenas.path();
              const auto opened = Store::open(places.store.path(), options);
              EXPECT_CODE(opened, Code::kPermission);
              EXPECT(opened.error().message.find(arenas.path()) != std::string::npos);
              return {};
          }) == "");
    CHECK_FALSE(fs::exists(places.store.path()));
    CHECK(arenas.entries().empty());
}

TEST_CASE("An arena folder that is missing or a file gives a typed error that names it, and leaves nothing") {
    TemporaryStore place;
    for (const std::string arena_dir : {"/dev/shm/shoal test: no such folder", "/proc/self/status"}) {
        Options options = with_limit(8 * kMiB);
        options.arena_dir = arena_dir;
        const auto opened = Store::open(place.path(), options);
        INFO(describe(opened));
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().message.find(arena_dir) != std::string::npos);
        CHECK(place.directory().entries().empty());
    }
}

TEST_CASE("Another user's store of mode 0600 can be neither opened nor attached to nor destroyed", "[process]") {
    NEEDS_ROOT;
    const PlacesOpenToAll places;
    auto store = Store::open(places.store.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "kept"));
    // Also where the directory itself lets others in.
    for (const mode_t directory_mode : {0700U, 0755U, 0777U}) {
        REQUIRE(::chmod(places.store.path().c_str(), directory_mode) == 0);
        INFO("directory mode " << directory_mode);
        CHECK(as_nobody([&]() -> std::string {
                  EXPECT_CODE(Store::open(places.store.path()), Code::kPermission);
                  EXPECT_CODE(Store::attach(places.store.path()), Code::kPermission);
                  return {};
              }) == "");
    }
    REQUIRE(::chmod(places.store.path().c_str(), 0700) == 0);
    CHECK(as_nobody([&]() -> std::string {
              EXPECT_CODE(Store::destroy(places.store.path()), Code::kPermission);
              return {};
          }) == "");
    CHECK(store->get("k")->text() == "kept");
    REQUIRE_OK(Store::attach(places.store.path()));
}

TEST_CASE("Root takes another user's store only when it is asked to", "[process]") {
    NEEDS_ROOT;
    const PlacesOpenToAll places;
    REQUIRE(as_nobody([&] { return make_store(places.store.path()); }) == "");
    for (const Options& options : {Options{}, of_group(::getegid())}) {
        REQUIRE_CODE(Store::open(places.store.path(), options), Code::kPermission);
        REQUIRE_CODE(Store::attach(places.store.path(), options), Code::kPermission);
        REQUIRE_CODE(Store::destroy(places.store.path(), options), Code::kPermission);
    }
    const auto refused = Store::attach(places.store.path());
    CHECK(says(refused.error(), "user 65534"));
    CHECK(says(refused.error(), places.store.path()));
    CHECK(says(refused.error(), "--any-owner"));
    Options asked;
    asked.any_owner = true;
    REQUIRE_OK(Store::open(places.store.path(), asked));
    CHECK(Store::attach(places.store.path(), asked)->get("k")->text() == "kept");
    REQUIRE_OK(Store::destroy(places.store.path(), asked));
    CHECK(places.store.directory().entries().empty());
}

TEST_CASE("A file of another user in one's own store is refused, each by its name", "[process]") {
    NEEDS_ROOT;
    const PlacesOpenToAll places;
    REQUIRE(make_store(places.store.path()) == "");
    const std::string arena = arena_of(places.store.path());
    for (const std::string& file : {arena, places.store.path() + "/store.meta", places.store.path()}) {
        REQUIRE(::chown(file.c_str(), kNobody, static_cast<gid_t>(-1)) == 0);
        const auto refused = Store::attach(places.store.path());
        REQUIRE_CODE(refused, Code::kPermission);
        CHECK(says(refused.error(), file));
        REQUIRE_CODE(Store::open(places.store.path()), Code::kPermission);
        REQUIRE_CODE(Store::destroy(places.store.path()), Code::kPermission);
        REQUIRE(::chown(file.c_str(), 0, static_cast<gid_t>(-1)) == 0);
        REQUIRE(Store::attach(places.store.path())->get("k")->text() == "kept");
    }
}

TEST_CASE("A store shared within a group is its members' and nobody else's", "[process]") {
    NEEDS_ROOT;
    const PlacesOpenToAll places;
    const std::string path = places.store.path();
    CHECK(as_user(kNobody, {kGroup}, [&]() -> std::string {
              auto store = Store::open(path, of_group(kGroup));
              EXPECT_OK(store);
              EXPECT_OK(store->append("k", "nobody,"));
              struct stat info {};
              EXPECT(::stat(path.c_str(), &info) == 0 && info.st_gid == kGroup);
              EXPECT((info.st_mode & 07777U) == 02770);
              for (const std::string& file : {path + "/store.meta", store->stats()->arena_path}) {
                  EXPECT(::stat(file.c_str(), &info) == 0 && info.st_gid == kGroup);
                  EXPECT((info.st_mode & 07777U) == 0660);
              }
              return {};
          }) == "");
    CHECK(as_user(kAnother, {kGroup}, [&]() -> std::string {
              auto store = Store::attach(path, of_group(kGroup));
              EXPECT_OK(store);
              EXPECT_OK(store->append("k", "another,"));
              EXPECT(store->get("k")->text() == "nobody,another,");
              EXPECT_CODE(Store::attach(path), Code::kPermission);  // it did not ask
              EXPECT_CODE(Store::attach(path, of_group(kAnother)), Code::kPermission);
              // /dev/shm lets only its owner remove the arena: then nothing is touched.
              EXPECT_CODE(Store::destroy(path, of_group(kGroup)), Code::kPermission);
              EXPECT(store->get("k")->text() == "nobody,another,");
              EXPECT_OK(Store::attach(path, of_group(kGroup)));
              return {};
          }) == "");
    CHECK(as_user(kAnother, {}, [&]() -> std::string {
              EXPECT_CODE(Store::attach(path), Code::kPermission);
              EXPECT_CODE(Store::attach(path, of_group(kGroup)), Code::kPermission);
              return {};
          }) == "");
    // One that lets in others than the group is not taken, whoever did that.
    const std::string arena = arena_of(path);
    for (const auto& [file, mode, before] : {std::tuple(path, 02777U, 02770U), std::tuple(arena, 0664U, 0660U),
                                             std::tuple(path + "/store.meta", 0664U, 0660U)}) {
        REQUIRE(::chmod(file.c_str(), mode) == 0);
        CHECK(as_user(kAnother, {kGroup}, [&, &name = file]() -> std::string {
                  const auto refused = Store::attach(path, of_group(kGroup));
                  EXPECT_CODE(refused, Code::kPermission);
                  EXPECT(says(refused.error(), name));
                  return {};
              }) == "");
        REQUIRE(::chmod(file.c_str(), before) == 0);
    }
    CHECK(as_user(kNobody, {kGroup}, [&]() -> std::string {
              EXPECT_OK(Store::destroy(path, of_group(kGroup)));
              return {};
          }) == "");
    CHECK(places.store.directory().entries().empty());
    CHECK_FALSE(fs::exists(arena));
}

TEST_CASE("A group that is not there, or not the caller's, is refused and leaves nothing") {
    TemporaryStore place;
    Options options = with_limit(8 * kMiB);
    for (const std::string group : {"no such group", "99999999999999999999", "-1"}) {
        options.group = group;
        const auto refused = Store::open(place.path(), options);
        REQUIRE_CODE(refused, Code::kInvalidArgument);
        CHECK(says(refused.error(), group));
    }
    REQUIRE_CODE(Store::open(place.path(), of_group(4'000'000'000U)), Code::kPermission);
    CHECK(place.directory().entries().empty());
}

TEST_CASE("No symbolic link is followed in the last step, and any above it is", "[process]") {
    TemporaryStore place;
    REQUIRE(make_store(place.path()) == "");
    const std::string link = place.directory() / "link";
    fs::create_directory_symlink(place.path(), link);
    for (const std::string& path : {link, link + "/"}) {
        const auto refused = Store::attach(path);
        REQUIRE_CODE(refused, Code::kPermission);
        CHECK(says(refused.error(), link));
        CHECK(says(refused.error(), "symbolic link"));
        REQUIRE_CODE(Store::open(path), Code::kPermission);
        REQUIRE_CODE(Store::destroy(path), Code::kPermission);
    }
    fs::remove(link);
    fs::create_directory_symlink(place.directory().path(), link);
    CHECK(Store::attach(link + "/store")->get("k")->text() == "kept");
    CHECK(Store::attach(link + "/../" + place.directory().path().substr(5) + "/store")->stats()->path ==
          place.path());
    fs::remove(link);

    for (const std::string& file : {place.path() + "/store.meta", arena_of(place.path())}) {
        const std::string aside = aside_of(file);
        fs::rename(file, aside);
        fs::create_symlink(aside, file);
        const auto refused = Store::attach(place.path());
        REQUIRE_CODE(refused, Code::kPermission);
        CHECK(says(refused.error(), file));
        REQUIRE_CODE(Store::open(place.path()), Code::kPermission);
        fs::remove(file);
        fs::rename(aside, file);
        REQUIRE_OK(Store::attach(place.path()));
    }
}

TEST_CASE("What is no regular file in place of a store's files gives an error, and nothing waits for it",
          "[process]") {
    refuses_in_place_of_files([](const std::string& file) { return ::mkfifo(file.c_str(), 0600) == 0; });
    refuses_in_place_of_files([](const std::string& file) { return ::mkdir(file.c_str(), 0700) == 0; });
    refuses_in_place_of_files(
        [](const std::string& file) { return ::mknod(file.c_str(), S_IFSOCK | 0600, 0) == 0; });
    refuses_in_place_of_files([](const std::string& file) { return ::symlink(file.c_str(), file.c_str()) == 0; });
}

TEST_CASE("A terminal's device in place of a store's files gives an error, and nothing waits for it", "[process]") {
    const TemporaryDirectory place;
    const auto make = [](const std::string& file) {
        return ::mknod(file.c_str(), S_IFCHR | 0600, makedev(5, 0)) == 0;
    };
    if (!make(place / "tty")) {
        REQUIRE(errno == EPERM);
        SHOAL_SKIP("this process may not make device files");
    }
    refuses_in_place_of_files(make);
}

TEST_CASE("A store whose metadata is a FIFO or a directory can be destroyed") {
    TemporaryStore place;
    fs::create_directory(place.path());
    REQUIRE(::mkfifo((place.path() + "/store.meta").c_str(), 0600) == 0);
    REQUIRE_OK(Store::destroy(place.path()));
    CHECK(place.directory().entries().empty());
}

TEST_CASE("A directory or arena that is swapped for a link while stores are made leads nowhere else", "[process]") {
    TemporaryDirectory place;
    const std::string path = place / "store", victim = place / "victim", spare = place / "spare";
    fs::create_directory(victim);
    SharedCounters finished(1);
    Child swapper = Child::start([&]() -> std::string {
        while (finished[0].load() == 0) {
            if (::rename(path.c_str(), spare.c_str()) == 0) {
                EXPECT(::symlink(victim.c_str(), path.c_str()) == 0 || errno == EEXIST);
                std::this_thread::yield();
                (void)::unlink(path.c_str());
                std::error_code ignored;  // an opener may still be writing in it
                fs::remove_all(spare, ignored);
            }
        }
        return {};
    });
    for (std::size_t round = 0; round < scaled(500, 50); ++round) {
        (void)Store::open(path, with_limit(8 * kMiB));
        (void)Store::destroy(path);
        if (!fs::is_empty(victim)) break;
    }
    finished[0].store(1);
    CHECK(swapper.wait() == "");
    CHECK(fs::is_empty(victim));
    (void)::unlink(path.c_str());
    (void)Store::destroy(path);
    (void)Store::collect();
}
