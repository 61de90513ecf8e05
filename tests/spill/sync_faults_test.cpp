// A sync that cannot write: an error that says where, the checkpoint before it stands, nothing is lost that is in
// memory, and when the disk works again the next sync is whole.
#include <cerrno>
#include <string>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "catch.hpp"
#include "durable_place.hpp"
#include "io/fault.hpp"
#include "small_file_system.hpp"

using shoal::Code;
using shoal::IoFault;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;
namespace io_fault = shoal::io_fault;

namespace {

Options without_thread(const DurablePlace& place) {
    Options options = place.options(64 * kMiB, "lz4");
    options.spill_thread = false;
    return options;
}

// Segments of many kinds, resident and spilled.
void add_to(Store& store, std::uint64_t seed) {
    for (std::uint64_t at = 0; at < 300; ++at) REQUIRE_OK(store.append("many", pattern(1'500, seed + at)));
    REQUIRE_OK(store.append("large", pattern(5'000'000, seed)));
    REQUIRE_OK(store.append("key of " + std::to_string(seed), "x"));
}

// Synced once, and more in memory than that: what the checkpoint has.
Values synced_once(Store& store) {
    add_to(store, 1);
    REQUIRE_OK(store.sync());
    const Values synced = values_of(store);
    add_to(store, 2);
    return synced;
}

Values after_loss(const DurablePlace& place) {
    place.lose_memory();
    const auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    return values_of(*store);
}

}  // namespace

TEST_CASE("A sync of which a write fails, whichever it is, leaves the one before it, and the next is whole") {
    const int cause = GENERATE(EIO, ENOSPC);
    const bool lost_at_once = GENERATE(true, false);
    const Code code = cause == ENOSPC ? Code::kNoSpace : Code::kSystem;
    for (std::uint64_t at = 1;; ++at) {
        INFO("write " << at);
        const DurablePlace place;
        Values all;
        Values synced;
        {
            auto store = Store::open(place.path(), without_thread(place));
            REQUIRE_OK(store);
            synced = synced_once(*store);
            all = values_of(*store);
            io_fault::at(at, IoFault{cause, 0});
            const auto failed = store->sync();
            io_fault::forget();
            if (failed.has_value()) {  // how many writes there are is the order of the keys' hashes
                CHECK(at >= 3);
                return;
            }
            REQUIRE_CODE(failed, code);
            CHECK(failed.error().system_errno == cause);
            CHECK_THAT(failed.error().message, Catch::Contains(place.folder()));
            CHECK((values_of(*store) == all));
            if (!lost_at_once) REQUIRE_OK(store->sync());
        }
        CHECK((after_loss(place) == (lost_at_once ? synced : all)));
        REQUIRE_OK(Store::verify(place.path()));
        CHECK(Store::verify(place.path())->sound());
    }
}

TEST_CASE("A sync to a full file system says so, and with room again it makes all durable") {
    const auto kind = GENERATE(SmallFileSystem::Kind::kTmpfs, SmallFileSystem::Kind::kExt4);
    const DurablePlace place;
    const SmallFileSystem files(kind, place.folder(), 8 * kMiB);
    if (!files.why_not().empty()) SHOAL_SKIP("cannot mount a small file system: " << files.why_not());
    Values all;
    {
        auto store = Store::open(place.path(), without_thread(place));
        REQUIRE_OK(store);
        REQUIRE_OK(store->append("early", pattern(100'000, 1)));
        REQUIRE_OK(store->sync());
        for (std::uint64_t seed = 2; seed < 5; ++seed) REQUIRE_OK(store->append("late", pattern(5'000'000, seed)));
        all = values_of(*store);
        const auto failed = store->sync();
        REQUIRE_CODE(failed, Code::kNoSpace);
        CHECK(failed.error().system_errno == ENOSPC);
        CHECK((values_of(*store) == all));
        REQUIRE(files.make_room());
        REQUIRE_OK(store->sync());
    }
    CHECK((after_loss(place) == all));
}
