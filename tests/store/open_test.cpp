// open, attach and destroy, one process: what they find, what they leave, what they say.
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

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

unsigned mode_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777U;
}

// A folder for arenas in /dev/shm, of this test alone, so that what is left there can be counted.
class ArenaFolder {
public:
    ArenaFolder() : directory_("/dev/shm") {}
    const std::string& path() const { return directory_.path(); }
    bool empty() const { return directory_.entries().empty(); }

private:
    TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("open creates, a second open and attach find the same store") {
    TemporaryStore place;
    REQUIRE_CODE(Store::attach(place.path()), Code::kNotFound);
    auto first = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(first);
    REQUIRE_OK(first->append("k", "1"));
    auto second = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(second);
    REQUIRE_OK(second->append("k", "2"));
    auto third = Store::attach(place.path());
    REQUIRE_OK(third);
    REQUIRE_OK(third->append("k", "3"));
    CHECK(first->get("k")->text() == "123");
    CHECK(second->stats()->memory_limit_bytes == 16 * kMiB);
    CHECK(third->stats()->store_id == first->stats()->store_id);
}

TEST_CASE("The data stays when every Store is closed") {
    TemporaryStore place;
    for (int round = 0; round < 20; ++round) {
        auto store =
            round % 2 == 0 ? Store::open(place.path(), with_limit(16 * kMiB)) : Store::attach(place.path());
        REQUIRE_OK(store);
        REQUIRE_OK(store->append("k", "x"));
    }
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    CHECK(store->get("k")->text() == std::string(20, 'x'));
}

TEST_CASE("The path may be relative, and end in a slash") {
    TemporaryStore place;
    CHECK(Child::run([&]() -> std::string {
              EXPECT(::chdir(place.directory().path().c_str()) == 0);
              auto store = Store::open("store/", with_limit(16 * kMiB));
              EXPECT_OK(store);
              EXPECT(::chdir("/") == 0);
              EXPECT_OK(store->append("k", "x"));
              auto same = Store::attach(place.path());
              EXPECT_OK(same);
              EXPECT(same->get("k")->text() == "x");
              return {};
          }) == "");
}

TEST_CASE("By default the arena lies in /dev/shm, and destroy takes it from there") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    const auto stats = store->stats();
    REQUIRE_OK(stats);
    CHECK(stats->arena_path.rfind("/dev/shm/", 0) == 0);
    CHECK(stats->arena_note.empty());
    CHECK(fs::exists(stats->arena_path));
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    CHECK_FALSE(fs::exists(stats->arena_path));
    CHECK_FALSE(fs::exists(place.path()));
    for (const auto& entry : fs::directory_iterator("/dev/shm"))
        CHECK(entry.path().string().find(stats->store_id) == std::string::npos);
}

TEST_CASE("destroy leaves nothing in the arena's folder and nothing of the directory") {
    const ArenaFolder arenas;
    TemporaryStore place;
    Options options = with_limit(16 * kMiB);
    options.arena_dir = arenas.path();
    for (int round = 0; round < 5; ++round) {
        auto store = Store::open(place.path(), options);
        REQUIRE_OK(store);
        CHECK(store->stats()->arena_path.rfind(arenas.path() + "/", 0) == 0);
        CHECK_FALSE(arenas.empty());
        REQUIRE_OK(store->append("k", "x"));
        REQUIRE_OK(Store::destroy(place.path(), by_force()));
        CHECK(arenas.empty());
        CHECK(place.directory().entries().empty());
        REQUIRE_CODE(Store::destroy(place.path()), Code::kNotFound);
        REQUIRE_CODE(Store::attach(place.path()), Code::kNotFound);
    }
}

TEST_CASE("destroy keeps what else is in the directory") {
    TemporaryStore place;
    fs::create_directory(place.path());
    std::ofstream(place.path() + "/mine.txt") << "kept";
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    CHECK(TemporaryDirectory::entries_of(place.path()) == std::set<std::string>{"mine.txt"});
    REQUIRE_CODE(Store::destroy(place.path()), Code::kNotFound);
    CHECK(fs::exists(place.path() + "/mine.txt"));
}

TEST_CASE("A process that has a destroyed store open is told so by every call, and a new open starts clean") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "old"));
    auto handle = store->key("k");
    REQUIRE_OK(handle);
    REQUIRE_OK(store->append(*handle, "old"));
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    auto fresh = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(fresh);
    REQUIRE_OK(fresh->append("fresh", "new"));

    const shoal::Pair batch[] = {{"k", "x"}, {*handle, "x"}};
    const shoal::ByteView asked[] = {"k"};
    std::byte buffer[16];
    REQUIRE_CODE(store->append("k", "x"), Code::kDestroyed);
    REQUIRE_CODE(store->append(*handle, "x"), Code::kDestroyed);
    const auto appended = store->append(batch);
    REQUIRE_CODE(appended, Code::kDestroyed);
    CHECK(appended.error().count == 0);
    REQUIRE_CODE(store->iset("k2", "x"), Code::kDestroyed);
    REQUIRE_CODE(store->get("k"), Code::kDestroyed);
    REQUIRE_CODE(store->get(*handle), Code::kDestroyed);
    const auto got = store->get(asked);
    REQUIRE(got.size() == 1);
    REQUIRE_CODE(got[0], Code::kDestroyed);
    REQUIRE_CODE(store->get_into("k", buffer), Code::kDestroyed);
    REQUIRE_CODE(store->view("k"), Code::kDestroyed);
    REQUIRE_CODE(store->records("k"), Code::kDestroyed);
    REQUIRE_CODE(store->size("k"), Code::kDestroyed);
    REQUIRE_CODE(store->contains("k"), Code::kDestroyed);
    REQUIRE_CODE(store->keys(), Code::kDestroyed);
    REQUIRE_CODE(store->erase("k"), Code::kDestroyed);
    REQUIRE_CODE(store->drop(), Code::kDestroyed);

    CHECK(fresh->keys()->size() == 1);
    CHECK(fresh->get("fresh")->text() == "new");
    REQUIRE_CODE(fresh->get("k"), Code::kNotFound);
}

TEST_CASE("A path where no store can be gives a typed error and leaves nothing") {
    TemporaryStore place;
    const std::string& directory = place.directory().path();
    const auto missing = Store::open(directory + "/missing/store", with_limit(16 * kMiB));
    REQUIRE_FALSE(missing.has_value());
    CHECK((missing.error().code == Code::kInvalidArgument || missing.error().code == Code::kSystem));
    CHECK(missing.error().message.find(directory + "/missing") != std::string::npos);

    std::ofstream(place.path()) << "a file";
    for (const bool create : {true, false}) {
        const auto on_file = create ? Store::open(place.path()) : Store::attach(place.path());
        REQUIRE_FALSE(on_file.has_value());
        INFO(describe(on_file));
        CHECK(on_file.error().message.find(place.path()) != std::string::npos);
    }
    CHECK_FALSE(Store::destroy(place.path()).has_value());
    CHECK(fs::is_regular_file(place.path()));
    CHECK_FALSE(Store::open("").has_value());
    CHECK_FALSE(Store::attach("").has_value());
    CHECK_FALSE(Store::destroy("").has_value());
    CHECK(place.directory().entries() == std::set<std::string>{"store"});
    fs::remove(place.path());
}

TEST_CASE("An empty directory is no store to attach to or destroy, and open makes one of it") {
    TemporaryStore place;
    fs::create_directory(place.path());
    REQUIRE_CODE(Store::attach(place.path()), Code::kNotFound);
    REQUIRE_CODE(Store::destroy(place.path()), Code::kNotFound);
    CHECK(fs::is_directory(place.path()));
    REQUIRE_OK(Store::open(place.path(), with_limit(16 * kMiB)));
    REQUIRE_OK(Store::attach(place.path()));
}

TEST_CASE("Options that cannot be are refused with the option's name, and leave nothing") {
    TemporaryStore place;
    const auto refused = [&](const Options& options, const std::string& name) {
        const auto store = Store::open(place.path(), options);
        INFO(name);
        REQUIRE_CODE(store, Code::kInvalidArgument);
        CHECK(store.error().message.find(name) != std::string::npos);
        CHECK(place.directory().entries().empty());
        REQUIRE_CODE(Store::in_memory(options), Code::kInvalidArgument);
    };
    for (const std::uint32_t bytes : {0U, 1U, 32U, 63U, 65U, 96U, 2U << 20}) {
        Options options = with_limit(16 * kMiB);
        options.first_segment_bytes = bytes;
        refused(options, "first_segment_bytes");
    }
    for (const std::uint32_t bytes : {0U, 1U, 32U * 1024, 65'537U, 3U << 18, 2U << 20}) {
        Options options = with_limit(16 * kMiB);
        options.max_segment_bytes = bytes;
        refused(options, "max_segment_bytes");
    }
}

TEST_CASE("The smallest limits give a working store or a typed error") {
    for (const std::uint64_t limit : {std::uint64_t{1}, std::uint64_t{4096}, kMiB, 2 * kMiB, 3 * kMiB, 4 * kMiB}) {
        TemporaryStore place;
        auto store = Store::open(place.path(), with_limit(limit));
        INFO("limit " << limit);
        if (!store) {
            CHECK((store.error().code == Code::kMemoryLimit || store.error().code == Code::kInvalidArgument));
            CHECK(place.directory().entries().empty());
            continue;
        }
        REQUIRE_OK(store->append("k", "x"));
        CHECK(store->get("k")->text() == "x");
        CHECK(store->stats()->memory_limit_bytes % (2 * kMiB) == 0);
    }
}

TEST_CASE("reserve_bytes are real when open returns") {
    TemporaryStore place;
    Options options = with_limit(64 * kMiB);
    options.reserve_bytes = 32 * kMiB;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    CHECK(store->stats()->real_bytes >= 32 * kMiB);
    struct stat arena {};
    REQUIRE(::stat(store->stats()->arena_path.c_str(), &arena) == 0);
    CHECK(static_cast<std::uint64_t>(arena.st_blocks) * 512 >= 32 * kMiB);
}

TEST_CASE("A store's files are for their owner alone, or for its group, whatever the umask") {
    for (const bool with_group : {false, true}) {
        for (const mode_t umask : {0022U, 0U, 0277U}) {
            const ArenaFolder arenas;
            TemporaryStore place;
            Options options = with_limit(16 * kMiB);
            options.arena_dir = arenas.path();
            if (with_group) options.group = std::to_string(::getegid());
            const mode_t before = ::umask(umask);
            auto store = Store::open(place.path(), options);
            ::umask(before);
            REQUIRE_OK(store);
            CHECK(mode_of(place.path()) == (with_group ? 02770 : 0700));
            CHECK(mode_of(store->stats()->arena_path) == (with_group ? 0660 : 0600));
            for (const auto& entry : fs::directory_iterator(place.path()))
                CHECK(mode_of(entry.path().string()) == (with_group ? 0660 : 0600));
        }
    }
}

TEST_CASE("The arena may lie in the store's own directory") {
    TemporaryDirectory directory;
    const std::string path = directory / "store";
    fs::create_directory(path);
    Options options = with_limit(16 * kMiB);
    options.arena_dir = path;
    {
        auto store = Store::open(path, options);
        REQUIRE_OK(store);
        REQUIRE_OK(store->append("k", "x"));
        CHECK(store->stats()->arena_path.rfind(path + "/", 0) == 0);
    }
    REQUIRE_OK(Store::attach(path));
    REQUIRE_OK(Store::destroy(path));
    CHECK(directory.entries().empty());
}

TEST_CASE("A Store that was moved from fails every call with a typed error, and can be assigned to") {
    TemporaryStore place;
    auto opened = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(opened);
    Store other = std::move(*opened);
    Store& moved = *opened;  // NOLINT(bugprone-use-after-move): what is tested
    REQUIRE_OK(other.append("key", "value"));
    auto handle = other.key("key");
    REQUIRE_OK(handle);
    std::vector<std::byte> buffer(16);
    const shoal::ByteView key("key");
    const std::array<shoal::Pair, 1> batch{{{"key", "value"}}};
    const auto take = [](const shoal::Records&) { return true; };
    REQUIRE_CODE(moved.append("key", "value"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.append(*handle, "value"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.append("key", std::span<const shoal::ByteView>()), Code::kInvalidArgument);
    REQUIRE_CODE(moved.append(*handle, std::span<const shoal::ByteView>()), Code::kInvalidArgument);
    REQUIRE_CODE(moved.append(batch), Code::kInvalidArgument);
    REQUIRE_CODE(moved.iset("key", "value"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.key("key"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.get("key"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.get(*handle), Code::kInvalidArgument);
    const auto values = moved.get(std::span(&key, 1));
    REQUIRE(values.size() == 1);
    REQUIRE_CODE(values[0], Code::kInvalidArgument);
    REQUIRE_CODE(moved.get_into("key", buffer), Code::kInvalidArgument);
    REQUIRE_CODE(moved.get_into(*handle, buffer), Code::kInvalidArgument);
    REQUIRE_CODE(moved.view("key"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.records("key"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.records("key", 1, take), Code::kInvalidArgument);
    REQUIRE_CODE(moved.size("key"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.contains("key"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.keys(), Code::kInvalidArgument);
    REQUIRE_CODE(moved.erase("key"), Code::kInvalidArgument);
    REQUIRE_CODE(moved.drop(), Code::kInvalidArgument);
    REQUIRE_CODE(moved.stats(), Code::kInvalidArgument);
    REQUIRE_CODE(moved.spill(), Code::kInvalidArgument);
    REQUIRE_CODE(moved.sync(), Code::kInvalidArgument);
    REQUIRE_CODE(moved.set_codec("key", shoal::Codec{}), Code::kInvalidArgument);
    REQUIRE_CODE(moved.attached(), Code::kInvalidArgument);
    moved = std::move(other);
    REQUIRE(moved.get("key")->text() == "value");
}

// A null pointer is no record, and no key: ByteView takes none.
static_assert(!std::is_constructible_v<shoal::ByteView, std::nullptr_t>);
static_assert(!std::is_convertible_v<std::nullptr_t, shoal::ByteView>);

TEST_CASE("To create a store no other store's arena is opened, however many there are") {
    const TemporaryDirectory arenas("/dev/shm");
    const TemporaryDirectory stores;
    Options options = with_limit(8 * kMiB);
    options.arena_dir = arenas.path();
    REQUIRE_OK(Store::open(stores / "other", options));
    const std::set<std::string> others = arenas.entries();
    REQUIRE(others.size() == 1);
    const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    REQUIRE(watch >= 0);
    REQUIRE(::inotify_add_watch(watch, (arenas / *others.begin()).c_str(), IN_OPEN | IN_ACCESS) >= 0);
    REQUIRE_OK(Store::open(stores / "store", options));
    alignas(inotify_event) std::array<char, 4096> events{};
    const ssize_t seen = ::read(watch, events.data(), events.size());
    const int cause = errno;
    ::close(watch);
    CHECK(seen == -1);
    CHECK(cause == EAGAIN);
    REQUIRE_OK(Store::destroy(stores / "other"));
    REQUIRE_OK(Store::destroy(stores / "store"));
}

TEST_CASE("Where there is no /proc a store is created, attached to and destroyed", "[process]") {
    const TemporaryDirectory arenas("/dev/shm");
    const TemporaryDirectory stores;
    Options options = with_limit(8 * kMiB);
    options.arena_dir = arenas.path();
    const std::string failure = Child::run([&]() -> std::string {
        // In a mount namespace of its own, an empty folder over /proc.
        if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("tmpfs", "/proc", "tmpfs", 0, nullptr) != 0) {
            return std::string("skipped: ") + std::strerror(errno);
        }
        EXPECT(::access("/proc/self", F_OK) != 0);
        {
            auto made = Store::open(stores / "store", options);
            EXPECT_OK(made);
            EXPECT_OK(made->append("key", "value"));
            auto again = Store::attach(stores / "store");
            EXPECT_OK(again);
            EXPECT(again->get("key")->text() == "value");
        }
        EXPECT_OK(Store::destroy(stores / "store"));
        return {};
    });
    const std::string skipped = ": skipped: ";
    if (const auto at = failure.find(skipped); at != std::string::npos)
        SHOAL_SKIP("cannot hide /proc: " << failure.substr(at + skipped.size()));
    REQUIRE(failure == "");
    CHECK(arenas.entries().empty());
    CHECK(stores.entries().empty());
}
