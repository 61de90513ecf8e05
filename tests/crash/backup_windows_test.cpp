// Every crash point of a backup and of the restoring of one: a process dies there, and the backup is whole or goes
// on, and the store that was to be restored is there as a whole or not at all; a process is stopped there, and
// others go on.
#include <signal.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "../backup/contents.hpp"
#include "../spill/durable_place.hpp"
#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "arena/crash_point.hpp"
#include "catch.hpp"
#include "scene.hpp"
#include "windows.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::CrashPoint;
using shoal::Store;

namespace {

struct BackupWindow {
    CrashPoint point;
    bool spills;
    std::uint32_t passing = 1;
};

const std::vector<BackupWindow>& backing_up() {
    static const std::vector<BackupWindow> all{
        {CrashPoint::kBackupBegun, false},           {CrashPoint::kBackupValuesCopied, false},
        {CrashPoint::kBackupValuesCopied, true, 2},  {CrashPoint::kGenerationHandedOut, false},
        {CrashPoint::kBackupPartCopied, false},      {CrashPoint::kBackupPartCopied, false, 3},
        {CrashPoint::kBackupPartCopied, true, 2},    {CrashPoint::kBackupLoaded, true},
        {CrashPoint::kBackupDrafted, true},          {CrashPoint::kBackupDrafted, false, 2},
        {CrashPoint::kBackupLoaded, true, 3},        {CrashPoint::kBackupChunkWritten, false},
        {CrashPoint::kBackupChunkWritten, false, 2}, {CrashPoint::kBackupChunkWritten, false, 3},
        {CrashPoint::kBackupChunkWritten, true, 4},  {CrashPoint::kBackupCopied, false},
        {CrashPoint::kBackupCopied, true},           {CrashPoint::kBackupWritten, false},
        {CrashPoint::kBackupDurable, false},         {CrashPoint::kBackupNamed, false},
    };
    return all;
}

enum class Left { kNothing, kStore };  // of a restoring that dies there

struct RestoreWindow {
    CrashPoint point;
    bool spills;
    Left left;
    bool damaged = false;  // the backup
    std::uint32_t passing = 1;
};

const std::vector<RestoreWindow>& restoring_backups() {
    static const std::vector<RestoreWindow> all{
        {CrashPoint::kArenaNamed, true, Left::kNothing},
        {CrashPoint::kChunkRestored, false, Left::kNothing},
        {CrashPoint::kChunkRestored, true, Left::kNothing},
        {CrashPoint::kChunkRestored, true, Left::kNothing, false, 3},
        {CrashPoint::kSpillPublished, true, Left::kNothing},
        {CrashPoint::kBackupRestored, false, Left::kNothing},
        {CrashPoint::kBackupRestored, true, Left::kNothing},
        {CrashPoint::kSyncFilesDurable, true, Left::kNothing},
        {CrashPoint::kCheckpointNamed, true, Left::kNothing},
        {CrashPoint::kRestoredSynced, true, Left::kNothing},
        {CrashPoint::kMetadataWritten, true, Left::kNothing},
        {CrashPoint::kMetadataNamed, false, Left::kStore},
        {CrashPoint::kMetadataNamed, true, Left::kStore},
        {CrashPoint::kCreationFinished, true, Left::kStore},
        {CrashPoint::kUnnamedFilesRemoved, true, Left::kNothing, true},
    };
    return all;
}

// A store with some chunks of data, of which two values are longer than a chunk.
class BackedUpStore {
public:
    explicit BackedUpStore(bool spills) {
        shoal::Options options = place.options(64 * kMiB);
        options.spill_thread = false;  // a child of the test's is to have one thread
        if (!spills) options.spill_dir.clear();
        auto made = Store::open(place.path(), options);
        REQUIRE_OK(made);
        store.emplace(std::move(*made));
        for (std::uint64_t key = 0; key < 30; ++key)
            REQUIRE_OK(store->append("key " + std::to_string(key), pattern(200'000, key)));
        for (std::uint64_t record = 0; record < 100; ++record)
            REQUIRE_OK(store->append("long", pattern(120'000, 1'000 + record)));
        REQUIRE_OK(store->append("large", pattern(9 * kMiB, 1)));
        if (spills) REQUIRE_OK(store->spill(20 * kMiB));
        contents = contents_of(*store);
    }
    Child back_up_in_child(const BackupPlace& backup, const BackupWindow& window, void (*action)()) {
        return Child::start([&]() -> std::string {
            shoal::crash::at(window.point, window.passing, action);
            EXPECT_OK(store->backup(backup.file()));
            return {};
        });
    }

    DurablePlace place;
    std::optional<Store> store;
    Contents contents;
};

shoal::Options options_of(const BackupPlace& backup, bool spills) {
    // With room for the value of 9 MiB side by side, beside what merging keeps in memory.
    shoal::Options options = backup.options(spills ? 20 * kMiB : 64 * kMiB);
    options.spill_thread = false;
    if (spills) options.spill_dir = backup.spills();
    return options;
}

std::string check_restored(const BackupPlace& backup, const Contents& wanted) {
    auto store = Store::attach(backup.restored());
    EXPECT_OK(store);
    return difference(contents_of(*store), wanted);
}

}  // namespace

TEST_CASE("A backup that dies anywhere leaves the store as it was, and is gone on with or begun anew",
          "[process]") {
    for (const BackupWindow& window : backing_up()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.spills ? " spills" : "")) {
            BackedUpStore source(window.spills);
            BackupPlace backup;
            Child child = source.back_up_in_child(backup, window, shoal::crash::kill_here);
            (void)child.wait();
            REQUIRE(child.killed_by() == SIGKILL);
            CHECK(std::filesystem::exists(backup.file()) == (window.point == CrashPoint::kBackupNamed));
            if (std::filesystem::exists(backup.file()))
                CHECK(backup.restore_and_compare(source.contents, options_of(backup, false)) == "");
            shoal::BackupOptions options;
            options.resume = GENERATE(true, false);
            REQUIRE_OK(source.store->backup(backup.file(), options));
            CHECK_FALSE(std::filesystem::exists(backup.part()));
            CHECK(backup.restore_and_compare(source.contents, options_of(backup, false)) == "");
            CHECK(difference(contents_of(*source.store), source.contents) == "");
            const auto report = Store::verify(source.place.path());
            REQUIRE_OK(report);
            for (const shoal::Damage& damage : report->damage) FAIL_CHECK(damage.what);
            CHECK(report->blocks_leaked == 0);
        }
    }
}

TEST_CASE("While a backup is stopped anywhere others append, erase, spill and back up; it ends well", "[process]") {
    for (const BackupWindow& window : backing_up()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.spills ? " spills" : "")) {
            BackedUpStore source(window.spills);
            BackupPlace backup;
            Child child = source.back_up_in_child(backup, window, shoal::crash::stop_here);
            REQUIRE(has_stopped(child));
            Store& store = *source.store;
            if (window.point != CrashPoint::kBackupNamed) REQUIRE_CODE(store.backup(backup.file()), Code::kInUse);
            REQUIRE_OK(store.append("long", "more"));
            REQUIRE_OK(store.append("key 1", "more"));
            REQUIRE_OK(store.append("new", "value"));
            REQUIRE_OK(store.erase("large"));
            REQUIRE_OK(store.erase("key 2"));
            if (window.spills) REQUIRE_OK(store.spill(4 * kMiB));
            const Contents now = contents_of(store);
            BackupPlace second;
            REQUIRE_OK(store.backup(second.file()));
            CHECK(second.restore_and_compare(now, options_of(second, false)) == "");
            child.kill(SIGCONT);
            REQUIRE(child.wait() == "");
            REQUIRE_OK(Store::restore(backup.file(), backup.restored(), options_of(backup, false)));
            auto restored = Store::attach(backup.restored());
            REQUIRE_OK(restored);
            for (const auto& [key, records] : contents_of(*restored)) {
                INFO(key);
                const auto before = source.contents.find(key);
                const auto since = now.find(key);
                const bool is_one = (before != source.contents.end() && before->second == records) ||
                                    (since != now.end() && since->second == records);
                CHECK(is_one);
            }
            for (const auto& [key, records] : source.contents)
                if (now.count(key) != 0) CHECK(*restored->contains(key));
        }
    }
}

TEST_CASE("A value that is erased, or made anew, before its files are read is in a backup as it is then, or not") {
    BackedUpStore source(true);
    Store& store = *source.store;
    REQUIRE_OK(store.drop());
    // In files alone: of a chunk with others, of several chunks, and of one record that is longer than a chunk.
    const std::vector<std::string> keys{"key 1", "key 2", "key 3", "long", "large"};
    for (const std::string& key : keys) {
        for (int record = 0; record < (key == "long" ? 60 : 1); ++record)
            REQUIRE_OK(store.append(key, pattern(key == "large" ? 10 * kMiB : 200'000, 1)));
    }
    REQUIRE_OK(store.spill());
    const bool anew = GENERATE(true, false);
    const std::uint32_t passing = GENERATE(1U, 2U, 3U);
    shoal::crash::at(CrashPoint::kBackupDrafted, passing, [&] {
        for (const std::string& key : keys) {
            REQUIRE_OK(store.erase(key));
            if (anew) REQUIRE_OK(store.append(key, pattern(key == "key 1" ? 9 * kMiB : 1'000, 2)));
        }
        for (int look = 0; look < 4; ++look) (void)store.stats();  // gives their room in files back
    });
    BackupPlace backup;
    REQUIRE_OK(store.backup(backup.file()));
    REQUIRE_OK(Store::restore(backup.file(), backup.restored(), options_of(backup, false)));
    auto restored = Store::attach(backup.restored());
    REQUIRE_OK(restored);
    const Contents now = contents_of(store);
    const Contents found = contents_of(*restored);
    if (anew) CHECK(found.size() == keys.size());  // each was written before, or is read again
    for (const auto& [key, records] : found) {
        INFO(key);
        if (records.front().size() != 1'000 && !(key == "key 1" && records.front().size() == 9 * kMiB)) {
            CHECK(records.size() == (key == "long" ? 60U : 1U));
            for (const std::string& record : records)
                CHECK(record == pattern(key == "large" ? 10 * kMiB : 200'000, 1));
        } else {
            CHECK(anew);
            CHECK(records == now.at(key));
        }
    }
}

TEST_CASE("A restoring that dies anywhere leaves the whole store or none, and the next one takes away what is left",
          "[process]") {
    for (const RestoreWindow& window : restoring_backups()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.spills ? " spills" : "")) {
            BackedUpStore source(window.spills);
            BackupPlace backup;
            REQUIRE_OK(source.store->backup(backup.file()));
            const std::string bytes = bytes_of_file(backup.file());
            if (window.damaged) write_file(backup.file(), bytes.substr(0, bytes.size() - 1));
            const shoal::Options options = options_of(backup, window.spills);
            Child child = Child::start([&]() -> std::string {
                shoal::crash::at(window.point, window.passing, shoal::crash::kill_here);
                const auto restored = Store::restore(backup.file(), backup.restored(), options);
                return "never came to the crash point: " + describe(restored);
            });
            const std::string ended = child.wait();
            INFO(ended);
            REQUIRE(child.killed_by() == SIGKILL);
            write_file(backup.file(), bytes);
            if (window.left == Left::kNothing) {
                REQUIRE_CODE(Store::attach(backup.restored()), Code::kNotFound);
                if (GENERATE(true, false)) {
                    REQUIRE_OK(Store::restore(backup.file(), backup.restored(), options));
                } else {  // another kind of store takes the place
                    auto other = Store::open(backup.restored(), options_of(backup, false));
                    REQUIRE_OK(other);
                    for (const auto& [key, records] : source.contents)
                        for (const std::string& record : records) REQUIRE_OK(other->append(key, record));
                    CHECK(TemporaryDirectory::entries_of(backup.spills()).empty());
                }
            } else if (window.spills) {  // it is durable as soon as it can be found
                backup.lose_memory();
            }
            CHECK(check_restored(backup, source.contents) == "");
            CHECK(backup.arenas() == 1);
            REQUIRE_OK(Store::destroy(backup.restored()));
            CHECK(backup.traces() == 0);
        }
    }
}

TEST_CASE("While a restoring is stopped anywhere no process finds its store, and collect leaves it alone",
          "[process]") {
    for (const RestoreWindow& window : restoring_backups()) {
        if (window.left == Left::kStore || window.damaged) continue;
        DYNAMIC_SECTION(shoal::crash::name(window.point)
                        << " " << window.passing << (window.spills ? " spills" : "")) {
            BackedUpStore source(window.spills);
            BackupPlace backup;
            REQUIRE_OK(source.store->backup(backup.file()));
            const shoal::Options options = options_of(backup, window.spills);
            const bool is_overtaken = GENERATE(true, false);
            Child child = Child::start([&]() -> std::string {
                shoal::crash::at(window.point, window.passing, shoal::crash::stop_here);
                const auto restored = Store::restore(backup.file(), backup.restored(), options);
                if (is_overtaken) EXPECT_CODE(restored, Code::kInvalidArgument);
                if (!is_overtaken) EXPECT_OK(restored);
                return {};
            });
            REQUIRE(has_stopped(child));
            REQUIRE_CODE(Store::attach(backup.restored()), Code::kNotFound);
            shoal::CollectOptions collect;
            collect.dirs = {options.arena_dir};
            REQUIRE_OK(Store::collect(collect));
            if (is_overtaken) {
                auto other = Store::open(backup.restored(), backup.options(8 * kMiB));
                REQUIRE_OK(other);
                REQUIRE_OK(other->append("key", "of the other"));
            }
            child.kill(SIGCONT);
            REQUIRE(child.wait() == "");
            const Contents of_other{{"key", {"of the other"}}};
            CHECK(check_restored(backup, is_overtaken ? of_other : source.contents) == "");
            CHECK(backup.arenas() == 1);
            REQUIRE_OK(Store::destroy(backup.restored()));
            CHECK(backup.traces() == 0);
        }
    }
}

std::set<CrashPoint> shoal_test::points_in_backups() {
    std::set<CrashPoint> points;
    for (const BackupWindow& window : backing_up()) points.insert(window.point);
    for (const RestoreWindow& window : restoring_backups()) points.insert(window.point);
    return points;
}
