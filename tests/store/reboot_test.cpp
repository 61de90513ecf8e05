// An arena on a disk: after a reboot it counts as gone, since parts of it may never have reached the disk.
#include <sys/statvfs.h>

#include <filesystem>
#include <optional>
#include <string>

#include <shoal/store.hpp>

#include "../other_boot.hpp"
#include "../spill/durable_place.hpp"
#include "catch.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

struct OnDisk {
    DurablePlace place;
    TemporaryDirectory arenas;
    [[nodiscard]] shoal::Options options() const {
        shoal::Options options = place.options(16 * kMiB);
        options.arena_dir = arenas.path();
        return options;
    }
    [[nodiscard]] std::string arena() const { return arenas / *arenas.entries().begin(); }
};

}  // namespace

#define NEEDS_DISK(folder) \
    if (is_on_tmpfs(folder)) SHOAL_SKIP("the folder for temporary files is on a tmpfs, which no reboot leaves")

TEST_CASE("An arena on a disk that another boot has left is not trusted: the store is as it was synced") {
    const OnDisk disk;
    NEEDS_DISK(disk.arenas.path());
    {
        auto store = Store::open(disk.place.path(), disk.options());
        REQUIRE_OK(store);
        CHECK(store->stats()->arena_note.find("disk") != std::string::npos);
        REQUIRE_OK(store->append("key", "synced,"));
        REQUIRE_OK(store->sync());
        REQUIRE_OK(store->append("key", "not synced,"));
    }
    REQUIRE(pretend_reboot(disk.arena()));
    const auto recovered = Store::recover(disk.place.path());
    REQUIRE_OK(recovered);
    CHECK(recovered->restored);
    auto store = Store::attach(disk.place.path());
    REQUIRE_OK(store);
    CHECK(store->get("key")->text() == "synced,");
    REQUIRE_OK(store->append("key", "goes on"));
    CHECK(Store::attach(disk.place.path())->get("key")->text() == "synced,goes on");
    CHECK(disk.arenas.entries().size() == 1);
}

TEST_CASE("A store on a disk that was never synced is said to be lost after a reboot") {
    const OnDisk disk;
    NEEDS_DISK(disk.arenas.path());
    { REQUIRE_OK(Store::open(disk.place.path(), disk.options())); }
    REQUIRE(pretend_reboot(disk.arena()));
    const auto lost = Store::open(disk.place.path(), disk.options());
    REQUIRE_CODE(lost, Code::kArenaGone);
    CHECK(lost.error().message.find("lies on a disk") != std::string::npos);
    REQUIRE_OK(Store::destroy(disk.place.path()));
    CHECK(disk.arenas.entries().empty());
}

TEST_CASE("An arena that a process has open is of this boot, whatever the id says") {
    const OnDisk disk;
    NEEDS_DISK(disk.arenas.path());
    auto store = Store::open(disk.place.path(), disk.options());
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    REQUIRE(pretend_reboot(disk.arena()));  // a container with an id of its own
    const auto again = Store::attach(disk.place.path());
    REQUIRE_OK(again);
    CHECK(again->get("key")->text() == "value");
}

TEST_CASE("An arena goes to a disk only when it is asked to, or with a temporary store") {
    TemporaryStore place;
    NEEDS_DISK(place.directory().path());
    struct statvfs info {};
    if (::statvfs("/dev/shm", &info) != 0) SHOAL_SKIP("there is no /dev/shm");
    shoal::Options options = with_limit(info.f_bavail * info.f_frsize + 1024 * kMiB);
    const auto refused = Store::open(place.path(), options);
    REQUIRE_CODE(refused, Code::kNoSpace);
    CHECK(refused.error().message.find("arena_dir") != std::string::npos);
    CHECK(refused.error().message.find("/dev/shm has") != std::string::npos);
    CHECK(place.directory().entries().empty());
    options.temporary = true;
    const auto temporary = Store::open(place.path(), options);
    REQUIRE_OK(temporary);
    CHECK(temporary->stats()->arena_note.find("on a disk") != std::string::npos);
}
