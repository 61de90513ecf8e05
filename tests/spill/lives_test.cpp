// Where a store's spill files lie, and that they are there for as long as it is and no longer.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"
#include "../verify/arena_editor.hpp"
#include "catch.hpp"
#include "folders.hpp"
#include "store/metadata.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;

namespace {

constexpr char kId[] = "5b0c2a86f2a14f0d9a1e0c4d7be35f11";

shoal::StoreId id_of_text() {
    shoal::StoreId id{};
    for (std::size_t index = 0; index < id.size(); ++index) {
        id[index] = static_cast<std::uint8_t>(std::stoul(std::string(kId).substr(2 * index, 2), nullptr, 16));
    }
    return id;
}

// A store with a key that lies in a file.
Store spilled(const Folders& folders, const shoal::Options& options) {
    auto store = Store::open(folders.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", std::string(256 * 1024, 'x')));
    REQUIRE_OK(store->spill());
    REQUIRE(folders.spills.entries().size() == 1);
    return std::move(*store);
}

}  // namespace

TEST_CASE("store.meta names the spill folder in a line of its own, and only where there is one") {
    const std::string head = std::string("shoal store 2\nid ") + kId + "\narena /dev/shm/shoal-" + kId + "\n";
    const std::string path = "/var/store";
    const shoal::Metadata plain{
        id_of_text(), std::string("/dev/shm/shoal-") + kId, "", {12, 1'700'000'000'000'000'000}};
    const std::string file = "file 12 1700000000000000000\n";
    CHECK(shoal::print_metadata(plain, path).starts_with(head + file + "xxh3 "));
    shoal::Metadata spills = plain;
    spills.spill_folder = "/var/spill of a store";
    const std::string text = shoal::print_metadata(spills, path);
    CHECK(text.starts_with(head + "spill /var/spill of a store\n" + file + "xxh3 "));
    const auto read = shoal::parse_metadata(text, path);
    REQUIRE_OK(read);
    CHECK(read->spill_folder == spills.spill_folder);
    CHECK(read->arena_path == spills.arena_path);
    CHECK(read->file == plain.file);
    spills.spill_folder = "elsewhere";
    const auto elsewhere = shoal::parse_metadata(shoal::print_metadata(spills, path), path);
    REQUIRE_CODE(elsewhere, Code::kDamaged);
    CHECK(elsewhere.error().message == "its spill folder's path cannot be");
}

TEST_CASE("store.meta names what lies in the store's directory from there, wherever that is") {
    for (const std::string below : {"", "/spill", "/a/b"}) {
        const shoal::Metadata made{
            id_of_text(), std::string("/var/store/shoal-") + kId, "/var/store" + below, {12, 0}};
        const std::string text = shoal::print_metadata(made, "/var/store");
        CHECK(text.find("\nspill ." + below + "\n") != std::string::npos);
        CHECK(text.find(std::string("\narena ./shoal-") + kId) != std::string::npos);
        const auto moved = shoal::parse_metadata(text, "/mnt/elsewhere");
        REQUIRE_OK(moved);
        CHECK(moved->spill_folder == "/mnt/elsewhere" + below);
        CHECK(moved->arena_path == std::string("/mnt/elsewhere/shoal-") + kId);
    }
}

TEST_CASE("A store.meta of version 1 is read: it does not say which file it is") {
    const std::string text = std::string("shoal store 1\nid ") + kId + "\narena /dev/shm/shoal-" + kId +
                             "\nspill /var/spill of a store\nxxh3 be121319ba55cb90\n";
    const auto read = shoal::parse_metadata(text, "/var/store");
    REQUIRE_OK(read);
    CHECK(read->spill_folder == "/var/spill of a store");
    CHECK_FALSE(read->file.is_known());
}

TEST_CASE(
    "A spill folder is found whatever way it was named, and is told and written down as the kernel finds it") {
    Folders folders;
    const std::string link = folders.stores / "link";
    std::filesystem::create_directory_symlink(folders.spills.path(), link);
    shoal::Options options = folders.options();
    options.spill_dir = std::filesystem::relative(link).string() + "/.";
    const Store store = spilled(folders, options);
    CHECK(store.stats()->spill_dir == std::filesystem::canonical(folders.spills.path()).string());
    std::ifstream file(folders.path() + "/store.meta");
    std::string text;
    std::getline(file, text, '\0');
    const auto metadata = shoal::parse_metadata(text, folders.path());
    REQUIRE_OK(metadata);
    CHECK(metadata->spill_folder == store.stats()->spill_dir);
    REQUIRE_OK(Store::destroy(folders.path(), by_force()));
}

TEST_CASE("A spill folder that does not do is refused before anything is made, and the message says what to do") {
    Folders folders;
    shoal::Options options = folders.options();
    const auto refused = [&](const std::string& folder, Code code, const std::string& advice) {
        options.spill_dir = folder;
        const auto opened = Store::open(folders.path(), options);
        REQUIRE_CODE(opened, code);
        CHECK_THAT(opened.error().message, Catch::Contains(folder) && Catch::Contains(advice));
        CHECK(folders.stores.entries().count("store") == 0);
        CHECK(folders.arenas.entries().empty());
    };
    SECTION("it is not there") { refused(folders.stores / "nowhere", Code::kInvalidArgument, "make that folder"); }
    SECTION("it is a file") {
        std::ofstream(folders.stores / "file") << "text";
        refused(folders.stores / "file", Code::kInvalidArgument, "is no folder");
    }
    SECTION("its name is longer than a header holds") {
        std::string folder = folders.spills.path();
        for (int step = 0; step < 5; ++step) {
            folder += "/" + std::string(240, 'f');
            std::filesystem::create_directory(folder);
        }
        refused(folder, Code::kInvalidArgument, "1023 bytes");
    }
    SECTION("its name has a newline") {
        std::filesystem::create_directory(folders.stores / "two\nlines");
        refused(folders.stores / "two\nlines", Code::kInvalidArgument, "newline");
    }
    SECTION("nothing can be made in it") { refused("/proc/self", Code::kPermission, "cannot be written to"); }
}

TEST_CASE("A store in memory does not spill, and says what to use instead") {
    Folders folders;
    const auto store = Store::in_memory(folders.options());
    REQUIRE_CODE(store, Code::kInvalidArgument);
    CHECK_THAT(store.error().message, Catch::Contains("temporary"));
}

TEST_CASE("Destroying a store takes its spill files away, and no others") {
    Folders folders;
    std::ofstream(folders.spills / "shoal-notes.spill") << "somebody's";
    std::ofstream(folders.spills / (std::string("shoal-") + kId + "-0000.spill")) << "another store's";
    auto store = Store::open(folders.path(), folders.options());
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", std::string(256 * 1024, 'x')));
    REQUIRE_OK(store->spill());
    const std::string arena = store->stats()->arena_path;
    REQUIRE(folders.spills.entries().size() == 3);
    SECTION("while it is open") {
        REQUIRE_OK(Store::destroy(folders.path(), by_force()));
        REQUIRE_CODE(store->get("key"), Code::kDestroyed);
    }
    SECTION("when its arena is gone") {
        store = tl::unexpected(shoal::Error{});
        REQUIRE(std::filesystem::remove(arena));
        REQUIRE_OK(Store::destroy(folders.path(), by_force()));
    }
    SECTION("when its spill folder is gone too") {
        std::filesystem::remove_all(folders.spills.path());
        REQUIRE_OK(Store::destroy(folders.path(), by_force()));
        std::filesystem::create_directory(folders.spills.path());
        CHECK_FALSE(std::filesystem::exists(folders.path()));
        return;
    }
    CHECK(folders.spills.entries().size() == 2);
    CHECK_FALSE(std::filesystem::exists(folders.path()));
}

TEST_CASE("Destroying a store leaves files under its name that are not its owner's") {
    if (::geteuid() != 0) SHOAL_SKIP("only root can make another user's file");
    Folders folders;
    const std::string name = "shoal-" + spilled(folders, folders.options()).stats()->store_id + "-2047.spill";
    std::ofstream(folders.spills / name) << "another user's";
    REQUIRE(::chown((folders.spills / name).c_str(), 12345, 12345) == 0);
    REQUIRE_OK(Store::destroy(folders.path(), by_force()));
    CHECK(folders.spills.entries() == std::set<std::string>{name});
}

TEST_CASE("The last owner of a temporary store takes its spill files away, or who collects after its death",
          "[process]") {
    Folders folders;
    shoal::Options options = folders.options();
    options.temporary = true;
    SECTION("by closing it, with a thread that spills") {
        options.spill_thread = true;
        static_cast<void>(spilled(folders, options));
    }
    SECTION("killed") {
        Child child = Child::start([&]() -> std::string {
            auto store = Store::open(folders.path(), options);
            EXPECT_OK(store);
            EXPECT_OK(store->append("key", std::string(256 * 1024, 'x')));
            EXPECT_OK(store->spill());
            ::kill(::getpid(), SIGKILL);
            return "lives";
        });
        static_cast<void>(child.wait());
        REQUIRE(child.killed_by() == SIGKILL);
        REQUIRE(folders.spills.entries().size() == 1);
        shoal::CollectOptions collect;
        collect.dirs = {folders.arenas.path()};
        collect.only_dirs = true;
        collect.min_age_s = 0;
        REQUIRE_OK(Store::collect(collect));
    }
    CHECK(folders.spills.entries().empty());
    CHECK(folders.arenas.entries().empty());
    CHECK_FALSE(std::filesystem::exists(folders.path()));
}

TEST_CASE("Collecting finds the spill files of a store whose directory is gone by its arena") {
    Folders folders;
    static_cast<void>(spilled(folders, folders.options()));
    std::filesystem::remove_all(folders.path());
    shoal::CollectOptions collect;
    collect.dirs = {folders.arenas.path()};
    collect.only_dirs = true;
    collect.min_age_s = 0;
    REQUIRE_OK(Store::collect(collect));
    CHECK(folders.spills.entries().empty());
    CHECK(folders.arenas.entries().empty());
}

TEST_CASE("What would begin behind the 4 GiB that an extent's place can say goes into the next file") {
    // Of what one write takes to the file: many extents, or the parts of one that goes on behind, and others.
    const std::size_t large_bytes = GENERATE(std::size_t{0}, std::size_t{5'000'000});
    const std::uint64_t left = GENERATE(std::uint64_t{4'096}, std::uint64_t{50'000}, std::uint64_t{700'000});
    const bool by_sync = GENERATE(false, true);
    CAPTURE(large_bytes, left, by_sync);
    Folders folders;
    shoal::Options options = folders.options();
    options.memory_limit_bytes = 64 * kMiB;
    (void)spilled(folders, options);
    {
        ArenaEditor arena(folders.path());
        arena.set(arena.spill_file(0).end, shoal::kSpillFileBytes - left);
        arena.keep();
    }
    auto store = Store::attach(folders.path());
    REQUIRE_OK(store);
    std::map<std::string, std::string> values;
    for (std::uint64_t number = 0; number < 300; ++number) values[std::to_string(number)] = pattern(9'000, number);
    if (large_bytes != 0) {
        for (std::uint64_t number = 0; number < 4; ++number)
            values["large " + std::to_string(number)] = pattern(large_bytes, number);
    }
    for (const auto& [key, value] : values) REQUIRE_OK(store->append(key, value));
    if (by_sync) {
        REQUIRE_OK(store->sync());
        { const Store gone = std::move(*store); }
        for (const std::string& name : folders.arenas.entries()) std::filesystem::remove(folders.arenas / name);
        store = Store::attach(folders.path());
        REQUIRE_OK(store);
    } else {
        REQUIRE_OK(store->spill());
    }
    REQUIRE(store->stats()->spilled_bytes == store->stats()->payload_bytes);
    for (const auto& [key, value] : values) {
        const auto got = store->get(key);
        REQUIRE_OK(got);
        REQUIRE((got->text() == value));
    }
    CHECK(folders.spills.entries().size() == (by_sync ? 4 : 2));  // the checkpoint, and the restore's number
    const auto report = Store::verify(folders.path());
    REQUIRE_OK(report);
    CHECK(report->damage.empty());
}

TEST_CASE("Whoever attaches says whether a thread of its own spills") {
    const auto threads = [] {  // but for those of the kernel's (iou-wrk-…), which come and go
        int count = 0;
        for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
            std::string name;
            std::getline(std::ifstream(task.path() / "comm"), name);
            count += name.starts_with("iou-") ? 0 : 1;
        }
        return count;
    };
    Folders folders;
    const Store store = spilled(folders, folders.options());
    const auto before = threads();
    shoal::Options options;
    options.spill_thread = false;
    const auto without = Store::attach(folders.path(), options);
    REQUIRE_OK(without);
    CHECK(threads() == before);
    const auto with = Store::attach(folders.path());
    REQUIRE_OK(with);
    CHECK(threads() > before);
    REQUIRE_OK(Store::destroy(folders.path(), by_force()));
}
