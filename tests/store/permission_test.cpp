// What the operating system refuses: folders and files of others. Runs as root, which drops to nobody in children;
// another user sees what it may not write anyway, so the tests need root to set the scene.
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

constexpr uid_t kNobody = 65534;

bool is_root() { return ::geteuid() == 0; }

// Runs the body in a child that is nobody.
std::string as_nobody(const Child::Body& body) {
    return Child::run([&]() -> std::string {
        if (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)
            return "cannot become nobody";
        return body();
    });
}

// The places of one test: a folder that nobody may enter and write, and stores below it.
struct Places {
    TemporaryStore store;
    Places() { REQUIRE(::chmod(store.directory().path().c_str(), 0777) == 0); }
};

}  // namespace

#define NEEDS_ROOT \
    if (!is_root()) SHOAL_SKIP("needs root, to make files that another user owns")

TEST_CASE("A directory without permission gives a typed error that names it", "[process]") {
    NEEDS_ROOT;
    const Places places;
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
    const Places places;
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
    const Places places;
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

TEST_CASE("A store of mode 0666 is open to all", "[process]") {
    NEEDS_ROOT;
    const Places places;
    Options options = with_limit(8 * kMiB);
    options.mode = 0666;
    auto store = Store::open(places.store.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "root,"));
    CHECK(as_nobody([&]() -> std::string {
              auto mine = Store::attach(places.store.path());
              EXPECT_OK(mine);
              EXPECT_OK(mine->append("k", "nobody,"));
              EXPECT(mine->get("k")->text() == "root,nobody,");
              return {};
          }) == "");
    CHECK(store->get("k")->text() == "root,nobody,");
}
