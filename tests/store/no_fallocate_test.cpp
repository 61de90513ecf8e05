// File systems that cannot allocate ahead of use (no fallocate): an arena and spill files there work, and a full
// one gives an error and no SIGBUS.
#include <filesystem>
#include <string>

#include <shoal/store.hpp>

#include "../mount_namespace.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

// A folder with such a file system, in the namespace of a child.
struct Place {
    TemporaryDirectory images;
    TemporaryDirectory folder;
    std::string type;

    [[nodiscard]] std::string mount(const std::string& size) const {
        const std::string cannot =
            type == "ramfs" ? hide_by("ramfs", folder.path()) : hide_by_ext2(images / "image", size, folder.path());
        return cannot.empty() ? "" : kCannot + cannot;
    }
    [[nodiscard]] shoal::Options options(std::uint64_t limit) const {
        shoal::Options options = with_limit(limit);
        options.arena_dir = folder.path();
        options.spill_dir = folder.path();
        return options;
    }
};

std::string record(std::uint64_t number) { return pattern(kMiB, number); }

}  // namespace

TEST_CASE("A store whose arena and spill files lie where there is no fallocate holds and restores its data",
          "[process]") {
    Place place;
    place.type = GENERATE("ramfs", "ext2");
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        if (std::string cannot = place.mount("96M"); !cannot.empty()) return cannot;
        const std::string path = place.folder / "store";
        std::string arena;
        {
            auto store = Store::open(path, place.options(8 * kMiB));
            EXPECT_OK(store);
            for (std::uint64_t each = 0; each < 24; ++each) {
                EXPECT_OK(store->append(std::to_string(each), record(each)));
            }
            EXPECT(store->stats()->spilled_bytes > 0);
            EXPECT_OK(store->sync());
            arena = store->stats()->arena_path;
            EXPECT(arena.starts_with(place.folder.path()));
        }
        for (const bool restored : {false, true}) {
            if (restored) EXPECT(std::filesystem::remove(arena));
            auto store = Store::attach(path);
            EXPECT_OK(store);
            for (std::uint64_t each = 0; each < 24; ++each) {
                EXPECT(store->get(std::to_string(each))->text() == record(each));
            }
        }
        const auto report = Store::verify(path, {});
        EXPECT(report && report->damage.empty());
        EXPECT_OK(Store::destroy(path));
        return {};
    }));
}

TEST_CASE("A full file system without fallocate gives a typed error, and the store goes on when there is room",
          "[process]") {
    Place place;
    place.type = "ext2";
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        if (std::string cannot = place.mount("24M"); !cannot.empty()) return cannot;
        shoal::Options options = with_limit(64 * kMiB);
        options.arena_dir = place.folder.path();
        options.reserve_bytes = 64 * kMiB;
        const auto refused = Store::open(place.folder / "store", options);
        EXPECT_CODE(refused, Code::kNoSpace);
        options.reserve_bytes = 0;
        auto store = Store::open(place.folder / "store", options);
        EXPECT_OK(store);
        std::uint64_t count = 0;
        shoal::Result<void> appended{};
        while (count < 64 && (appended = store->append(std::to_string(count), record(count)))) ++count;
        EXPECT_CODE(appended, Code::kNoSpace);
        EXPECT(count > 4);
        for (std::uint64_t each = 0; each < count; ++each) {
            EXPECT(store->get(std::to_string(each))->text() == record(each));
        }
        EXPECT_OK(store->drop());
        EXPECT_OK(store->append("again", record(7)));
        return {};
    }));
}
