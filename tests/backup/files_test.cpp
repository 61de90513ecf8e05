// Backups as files: interrupted and resumed, cut off, damaged, of other versions, and where they cannot be written.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "../mount_namespace.hpp"
#include "../spill/small_file_system.hpp"
#include "../spill/spilling_store.hpp"
#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "catch.hpp"
#include "contents.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;

namespace {

// Four chunks and more, of which some are within one value.
void fill_chunks(Store& store) {
    for (std::uint64_t key = 0; key < 60; ++key)
        REQUIRE_OK(store.append("key " + std::to_string(key), pattern(300'000, key)));
    for (std::uint64_t record = 0; record < 200; ++record)
        REQUIRE_OK(store.append("long", pattern(100'000, 1'000 + record)));
}

// Some more, each of which a backup can be gone on with behind.
void fill_short_values(Store& store) {
    for (std::uint64_t key = 0; key < 130; ++key)
        REQUIRE_OK(store.append("key " + std::to_string(key), pattern(300'000, key)));
}

// A backup that ends behind so many chunks.
shoal::Result<shoal::BackedUp> interrupt(const Store& store, const BackupPlace& backup, std::size_t chunks,
                                         bool resume = false) {
    shoal::BackupOptions options;
    options.resume = resume;
    options.progress = [&, seen = std::size_t{0}](const shoal::BackupProgress& progress) mutable {
        return progress.fraction >= 0 && ++seen <= chunks;
    };
    return store.backup(backup.file(), options);
}

shoal::BackupOptions resuming() {
    shoal::BackupOptions options;
    options.resume = true;
    return options;
}

// "" or what is wrong: such a file gives that error, and there is no trace of a store.
std::string restore_fails(const BackupPlace& backup, Code code, const std::string& says) {
    const auto restored = Store::restore(backup.file(), backup.restored(), backup.options(64 * kMiB));
    EXPECT_CODE(restored, code);
    if (restored.error().message.find(says) == std::string::npos) return restored.error().message;
    EXPECT(restored.error().message.find('\n') == std::string::npos);
    EXPECT(backup.traces() == 0);
    return {};
}

}  // namespace

TEST_CASE("An interrupted backup leaves no file of its name, and one that resumes it ends as if it had not been") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    const Contents wanted = contents_of(*store);
    BackupPlace backup;
    std::size_t behind = 0;
    for (;; ++behind) {
        const auto interrupted = interrupt(*store, backup, behind);
        if (interrupted) break;
        CHECK(interrupted.error().system_errno == ECANCELED);
        CHECK_FALSE(std::filesystem::exists(backup.file()));
        CHECK(std::filesystem::exists(backup.part()));
        const auto resumed = store->backup(backup.file(), resuming());
        REQUIRE_OK(resumed);
        CHECK(resumed->keys == wanted.size());
        CHECK(resumed->file_bytes == std::filesystem::file_size(backup.file()));
        if (behind > 3) CHECK(resumed->resumed_bytes > 1'000);
        CHECK_FALSE(std::filesystem::exists(backup.part()));
        CHECK(backup.restore_and_compare(wanted, backup.options(96 * kMiB)) == "");
        std::filesystem::remove(backup.file());
    }
    CHECK(behind >= 4);
}

TEST_CASE("A backup that is interrupted again and again gets on each time, and has later changes of later keys") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    Contents before = contents_of(*store);
    BackupPlace backup;
    REQUIRE_FALSE(interrupt(*store, backup, 3).has_value());
    std::uint64_t resumed_bytes = 0;
    for (int turn = 0; turn < 20; ++turn) {
        REQUIRE_OK(store->append("key " + std::to_string(turn), "more"));
        const auto done = interrupt(*store, backup, 3, true);
        if (!done) continue;
        CHECK(done->resumed_bytes > resumed_bytes);
        resumed_bytes = done->resumed_bytes;
        break;
    }
    CHECK(resumed_bytes != 0);
    REQUIRE_OK(Store::restore(backup.file(), backup.restored(), backup.options(96 * kMiB)));
    auto restored = Store::attach(backup.restored());
    REQUIRE_OK(restored);
    const Contents now = contents_of(*store);
    const Contents found = contents_of(*restored);
    CHECK(found.size() == before.size());
    for (const auto& [key, records] : found) {  // what was there before the first call, and perhaps what came later
        CHECK(records.size() >= before[key].size());
        CHECK(records.size() <= now.at(key).size());
        CHECK(std::equal(records.begin(), records.end(), now.at(key).begin()));
    }
}

TEST_CASE("What is damaged or cut off of an interrupted backup is written again") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    const Contents wanted = contents_of(*store);
    BackupPlace backup;
    REQUIRE_FALSE(interrupt(*store, backup, 3).has_value());
    std::string part = bytes_of_file(backup.part());
    SECTION("a byte of it is another") {
        part[part.size() / 2] ^= 1;
        write_file(backup.part(), part);
    }
    SECTION("its end is missing") { write_file(backup.part(), part.substr(0, part.size() - 1'000)); }
    SECTION("its last bytes never came to the disk") {
        part.replace(part.size() - 5'000, 5'000, std::string(5'000, '\0'));
        write_file(backup.part(), part + std::string(100'000, '\0'));
    }
    SECTION("there is a part of its header") { write_file(backup.part(), part.substr(0, 50)); }
    SECTION("it is empty") { write_file(backup.part(), ""); }
    REQUIRE_OK(store->backup(backup.file(), resuming()));
    CHECK(backup.restore_and_compare(wanted, backup.options(96 * kMiB)) == "");
}

TEST_CASE("Only a backup of the same store is resumed, and any is begun anew") {
    TemporaryStore place;
    TemporaryStore other_place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    auto other = Store::open(other_place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(other);
    fill_chunks(*store);
    REQUIRE_OK(other->append("of the other", "value"));
    BackupPlace backup;
    REQUIRE_FALSE(interrupt(*store, backup, 3).has_value());
    const auto refused = other->backup(backup.file(), resuming());
    REQUIRE_CODE(refused, Code::kInvalidArgument);
    CHECK(refused.error().message.find("another store") != std::string::npos);
    write_file(backup.part(), std::string(1'000, 'x'));  // and nothing is taken for a backup that is none
    REQUIRE_CODE(store->backup(backup.file(), resuming()), Code::kDamaged);
    REQUIRE_OK(other->backup(backup.file()));
    CHECK(backup.restore_and_compare(contents_of(*other), backup.options(8 * kMiB)) == "");
    const shoal::BackupSink sink = [](shoal::ByteView) { return shoal::Result<void>{}; };
    REQUIRE_CODE(store->backup(sink, resuming()), Code::kInvalidArgument);
}

TEST_CASE("Two backups do not write one file, and the later of two takes the place of the earlier") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    BackupPlace backup;
    std::string wrong;
    shoal::BackupOptions options;
    options.progress = [&](const shoal::BackupProgress&) {
        const auto second = store->backup(backup.file());
        if (second || second.error().code != Code::kInUse) wrong = describe(second);
        return true;
    };
    REQUIRE_OK(store->backup(backup.file(), options));
    CHECK(wrong == "");
    REQUIRE_OK(store->drop());
    REQUIRE_OK(store->append("later", "value"));
    REQUIRE_OK(store->backup(backup.file()));
    struct stat info {};
    REQUIRE(::stat(backup.file().c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    CHECK(backup.restore_and_compare(contents_of(*store), backup.options(8 * kMiB)) == "");
}

TEST_CASE("No backup that is cut off anywhere, or has another byte anywhere, is restored") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    for (const char* key : {"one", "two", "three"}) REQUIRE_OK(store->append(key, pattern(200, 1)));
    BackupPlace backup;
    shoal::BackupOptions options;
    options.codec = shoal::parse_codec(GENERATE("none", "lz4")).value();
    REQUIRE_OK(store->backup(backup.file(), options));
    const std::string whole = bytes_of_file(backup.file());
    for (std::size_t bytes = 0; bytes < whole.size(); bytes += bytes < 300 ? 1 : 37) {
        INFO("cut off behind " << bytes);
        write_file(backup.file(), whole.substr(0, bytes));
        const std::string says = bytes < 8 ? "no backup" : "cut off";
        REQUIRE(restore_fails(backup, Code::kDamaged, says) == "");
    }
    for (std::size_t at = 0; at < whole.size(); at += at < 300 ? 1 : 37) {
        INFO("another byte at " << at);
        std::string damaged = whole;
        damaged[at] ^= 0x40;
        write_file(backup.file(), damaged);
        const Code code = at == 0 ? Code::kIncompatible : Code::kDamaged;
        REQUIRE(restore_fails(backup, code, backup.file()) == "");
    }
    write_file(backup.file(), whole + "x");
    CHECK(restore_fails(backup, Code::kDamaged, "bytes follow its end") == "");
    write_file(backup.file(), whole);
    CHECK(backup.restore_and_compare(contents_of(*store), backup.options(8 * kMiB)) == "");
}

TEST_CASE("Damage behind many chunks is named by its place, and leaves nothing of what was restored before it") {
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    std::string bytes = bytes_of_file(backup.file());
    bytes[bytes.size() - 1'000'000] ^= 1;
    write_file(backup.file(), bytes);
    shoal::Options options = backup.options(16 * kMiB);
    if (GENERATE(true, false)) options.spill_dir = backup.spills();
    const auto restored = Store::restore(backup.file(), backup.restored(), options);
    REQUIRE_CODE(restored, Code::kDamaged);
    CHECK(restored.error().message.find("at byte ") != std::string::npos);
    CHECK(backup.traces() == 0);
}

TEST_CASE("A backup of a later version is refused by an error that names both versions") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    std::string bytes = bytes_of_file(backup.file());
    CHECK(bytes.substr(0, 8) == "\1SHOALBU");
    bytes[0] = 2;
    write_file(backup.file(), bytes);
    CHECK(restore_fails(backup, Code::kIncompatible, "version 2") == "");
    CHECK(restore_fails(backup, Code::kIncompatible, "version 1") == "");
}

TEST_CASE("A backup is restored to no path where a store is, and an empty folder does") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    REQUIRE_OK(store->append("key", " and more"));
    const auto refused = Store::restore(backup.file(), place.path(), backup.options(8 * kMiB));
    REQUIRE_CODE(refused, Code::kInvalidArgument);
    CHECK(refused.error().system_errno == EEXIST);
    CHECK(store->get("key")->text() == "value and more");
    CHECK(backup.traces() == 0);
    std::filesystem::create_directory(backup.restored());
    REQUIRE_OK(Store::restore(backup.file(), backup.restored(), backup.options(8 * kMiB)));
    CHECK(Store::attach(backup.restored())->get("key")->text() == "value");
    REQUIRE_CODE(Store::restore(backup.file(), backup.restored(), backup.options(8 * kMiB)),
                 Code::kInvalidArgument);
    shoal::Options temporary = backup.options(8 * kMiB);
    temporary.temporary = true;
    REQUIRE_CODE(Store::restore(backup.file(), backup.restored() + " 2", temporary), Code::kInvalidArgument);
}

TEST_CASE("A store that is made at the path while a backup is restored there stays, and the restoring fails") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    std::optional<Store> other;
    shoal::RestoreOptions options;
    options.progress = [&](const shoal::BackupProgress& progress) {
        if (progress.fraction < 0.5 || other) return true;
        if (Store::attach(backup.restored()).has_value()) return false;  // none can be found before all is in it
        auto made = Store::open(backup.restored(), backup.options(8 * kMiB));
        if (!made || !made->append("key", "of the other")) return false;
        other = std::move(*made);
        return true;
    };
    shoal::Options durable = backup.options(96 * kMiB);
    durable.spill_dir = backup.spills();
    const auto restored = Store::restore(backup.file(), backup.restored(), durable, options);
    REQUIRE_CODE(restored, Code::kInvalidArgument);
    REQUIRE(other.has_value());
    CHECK(other->get("key")->text() == "of the other");
    CHECK(backup.arenas() == 1);
    CHECK(TemporaryDirectory::entries_of(backup.spills()).empty());
}

TEST_CASE("A backup whose data do not go into the memory limit says so, and leaves nothing") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    const auto restored = Store::restore(backup.file(), backup.restored(), backup.options(16 * kMiB));
    REQUIRE_CODE(restored, Code::kMemoryLimit);
    CHECK(restored.error().message.find("spill_dir") != std::string::npos);
    CHECK(backup.traces() == 0);
    shoal::RestoreOptions stopped;
    stopped.progress = [](const shoal::BackupProgress& progress) { return progress.fraction < 0.3; };
    const auto ended = Store::restore(backup.file(), backup.restored(), backup.options(96 * kMiB), stopped);
    REQUIRE_CODE(ended, Code::kSystem);
    CHECK(ended.error().system_errno == ECANCELED);
    CHECK(backup.traces() == 0);
}

TEST_CASE("A backup that fills its file system fails with kNoSpace, and goes on when there is room", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_short_values(*store);
    const Contents wanted = contents_of(*store);
    BackupPlace backup;
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        if (const std::string cannot = enter_mount_namespace(); !cannot.empty()) return kCannot + cannot;
        const SmallFileSystem files(SmallFileSystem::Kind::kTmpfs, backup.folder(), 30 * kMiB);
        if (!files.why_not().empty()) return kCannot + files.why_not();
        const auto full = store->backup(backup.file());
        EXPECT_CODE(full, Code::kNoSpace);
        EXPECT(full.error().message.find(backup.part()) != std::string::npos);
        EXPECT(!std::filesystem::exists(backup.file()));
        EXPECT(files.make_room());
        const auto resumed = store->backup(backup.file(), resuming());
        EXPECT_OK(resumed);
        EXPECT(resumed->resumed_bytes > 16 * kMiB);
        return backup.restore_and_compare(wanted, backup.options(96 * kMiB));
    }));
}

TEST_CASE("A restoring that fills the arena's or the spill files' file system leaves nothing", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(96 * kMiB));
    REQUIRE_OK(store);
    fill_chunks(*store);
    BackupPlace backup;
    REQUIRE_OK(store->backup(backup.file()));
    const bool arena = GENERATE(true, false);
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        if (const std::string cannot = enter_mount_namespace(); !cannot.empty()) return kCannot + cannot;
        shoal::Options options = backup.options(arena ? 96 * kMiB : 16 * kMiB);
        const std::string folder = arena ? options.arena_dir : backup.spills();
        const SmallFileSystem files(SmallFileSystem::Kind::kTmpfs, folder, 20 * kMiB);
        if (!files.why_not().empty()) return kCannot + files.why_not();
        if (!arena) options.spill_dir = backup.spills();
        options.room_wait_ms = 1'000;
        const auto restored = Store::restore(backup.file(), backup.restored(), options);
        EXPECT_CODE(restored, Code::kNoSpace);
        EXPECT(backup.traces() == 1);  // what fills it
        return {};
    }));
}

TEST_CASE("What cannot be read or written is named") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE_OK(store);
    BackupPlace backup;
    const auto nowhere = store->backup(backup.folder() + "/none/backup");
    REQUIRE_CODE(nowhere, Code::kSystem);
    CHECK(nowhere.error().system_errno == ENOENT);
    CHECK(nowhere.error().message.find("none/backup.part") != std::string::npos);
    const auto missing = Store::restore(backup.file(), backup.restored(), backup.options(8 * kMiB));
    REQUIRE_CODE(missing, Code::kSystem);
    CHECK(missing.error().system_errno == ENOENT);
    write_file(backup.file(), "no backup, but some text");
    CHECK(restore_fails(backup, Code::kDamaged, "no backup of a store") == "");
    const auto folder = Store::restore(backup.folder(), backup.restored(), backup.options(8 * kMiB));
    REQUIRE_CODE(folder, Code::kSystem);
    CHECK(folder.error().system_errno == EISDIR);
    CHECK(backup.traces() == 0);
    REQUIRE_OK(store->backup("/dev/null"));
    const auto full = store->backup("/dev/full");
    REQUIRE_CODE(full, Code::kNoSpace);
}
