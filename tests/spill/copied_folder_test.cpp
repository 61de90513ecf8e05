// A copy of a store's directory is not the store: neither opened nor destroyed as if it were, and made a store of
// its own from what was synced.
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "../mount_namespace.hpp"
#include "../store/child.hpp"
#include "catch.hpp"
#include "movable_folders.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;
namespace fs = std::filesystem;

namespace {

void is_refused(const std::string& path) {
    const auto opened = Store::open(path);
    REQUIRE_CODE(opened, Code::kCopied);
    CHECK(opened.error().message.find("shoal recover " + path) != std::string::npos);
    REQUIRE_CODE(Store::attach(path), Code::kCopied);
    shoal::Options read_only;
    read_only.read_only = true;
    REQUIRE_CODE(Store::attach(path, read_only), Code::kCopied);
    REQUIRE_CODE(Store::destroy(path), Code::kCopied);
    REQUIRE_CODE(Store::destroy(path, by_force()), Code::kCopied);
}

std::string id_at(const std::string& path) { return Store::attach(path)->stats()->store_id; }

}  // namespace

TEST_CASE("A copy of a store that lives is refused, whether it is open or not, and the store stays what it is") {
    const bool is_open = GENERATE(true, false);
    const bool is_synced = GENERATE(true, false);
    const MovableFolders folders;
    shoal::Options options = folders.durable_options();
    options.durable = is_synced;
    auto store = std::optional(std::move(*Store::open(folders.path(), options)));
    REQUIRE_OK(store->append("key", "value"));
    if (!is_open) store.reset();
    folders.copy("store", "copy");
    is_refused(folders.path("copy"));
    if (is_open) CHECK(store->get("key")->text() == "value");
    store.reset();
    CHECK(Store::attach(folders.path())->get("key")->text() == "value");
    is_refused(folders.path("copy"));
    fs::remove_all(folders.path("copy"));
    REQUIRE_OK(Store::destroy(folders.path()));
    CHECK(folders.are_empty());
}

TEST_CASE("recover makes a copy a store of its own, as it was synced; it stays one, whichever is opened first") {
    const bool original_first = GENERATE(true, false);
    const MovableFolders folders;
    std::string id;
    {
        auto store = folders.make();
        id = store.stats()->store_id;
        folders.copy("store", "copy");
        REQUIRE_OK(store.append("small", "green,"));
        const auto recovered = Store::recover(folders.path("copy"));
        REQUIRE_OK(recovered);
        CHECK(recovered->restored);
        CHECK(recovered->found.damage.empty());
        auto copy = Store::attach(folders.path("copy"), folders.durable_options());
        REQUIRE_OK(copy);
        CHECK(copy->stats()->store_id != id);
        CHECK(MovableFolders::has_all(*copy));
        REQUIRE_OK(copy->append("small", "blue,"));
        REQUIRE_OK(copy->append("other", pattern(kMiB, 5)));
        REQUIRE_OK(copy->spill());
        CHECK(store.get("small")->text() == "red,green,");
        CHECK_FALSE(*store.contains("other"));
    }
    const auto are_both = [&] {
        for (const bool original : {original_first, !original_first}) {
            auto store = Store::attach(folders.path(original ? "store" : "copy"));
            REQUIRE_OK(store);
            CHECK(store->get("small")->text() == (original ? "red,green," : "red,blue,"));
            CHECK((store->stats()->store_id == id) == original);
            CHECK(store->contains("other").value() != original);
        }
    };
    are_both();
    folders.lose_memory();
    are_both();
    CHECK(folders.arenas.entries().size() == 2);
    CHECK(is_sound(folders.path("store")));
    CHECK(is_sound(folders.path("copy")));
    REQUIRE_OK(Store::destroy(folders.path("copy")));
    CHECK(Store::attach(folders.path())->get("small")->text() == "red,green,");
    REQUIRE_OK(Store::destroy(folders.path()));
    CHECK(folders.are_empty());
}

TEST_CASE("A copy without an arena is restored by its open, under an id of its own, and so is a copy of that") {
    const MovableFolders folders;
    std::string id;
    {
        const auto store = folders.make();
        id = store.stats()->store_id;
    }
    folders.lose_memory();
    folders.copy("store", "copy");
    const std::string id_of_copy = id_at(folders.path("copy"));
    CHECK(id_of_copy != id);
    CHECK(id_at(folders.path("copy")) == id_of_copy);
    CHECK(id_at(folders.path()) == id);  // beside the copy, which lives
    folders.copy("copy", "second");
    is_refused(folders.path("second"));
    REQUIRE_OK(Store::recover(folders.path("second")));
    CHECK(id_at(folders.path("second")) != id_of_copy);
    for (const std::string name : {"store", "copy", "second"}) {
        CHECK(MovableFolders::has_all(*Store::attach(folders.path(name))));
        REQUIRE_OK(Store::attach(folders.path(name))->append("small", name));
    }
    // A restored copy that is renamed, or moved to another file system, stays what it is.
    folders.move("copy", "renamed");
    const auto small_at = [](const std::string& path) {
        const auto store = Store::attach(path);
        REQUIRE_OK(store);
        return store->get("small")->str();
    };
    CHECK(small_at(folders.path("renamed")) == "red,copy");
    const TemporaryDirectory elsewhere("/dev/shm");
    folders.copy_to("second", elsewhere / "second");
    fs::remove_all(folders.path("second"));
    CHECK(small_at(elsewhere / "second") == "red,second");
    CHECK(small_at(folders.path()) == "red,store");
    REQUIRE_OK(Store::destroy(elsewhere / "second"));
    REQUIRE_OK(Store::destroy(folders.path("renamed")));
    REQUIRE_OK(Store::destroy(folders.path()));
    CHECK(folders.are_empty());
}

TEST_CASE("Where the original was renamed and the copy has its old path, the original is the store") {
    const MovableFolders folders;
    { const auto store = folders.make(); }
    folders.move("store", "renamed");
    fs::copy(folders.path("renamed"), folders.path(), fs::copy_options::recursive);
    is_refused(folders.path());
    CHECK(MovableFolders::has_all(*Store::attach(folders.path("renamed"))));
    is_refused(folders.path());
}

TEST_CASE("A copy that lacks what the store has spilled since is not taken for the store when that is gone") {
    const MovableFolders folders;
    {
        auto store = folders.make();
        folders.copy("store", "stale");
        REQUIRE_OK(store.append("later", pattern(kMiB, 3)));
        REQUIRE_OK(store.spill());
    }
    fs::remove_all(folders.path());
    is_refused(folders.path("stale"));
    folders.lose_memory();
    CHECK(MovableFolders::has_all(*Store::attach(folders.path("stale"))));
}

TEST_CASE("A store whose directory another container made is not taken over by a copy", "[process]") {
    const bool is_bound = GENERATE(false, true);  // from another folder of the same file system
    const MovableFolders folders;
    const TemporaryDirectory elsewhere;
    const TemporaryDirectory bound;
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        std::string cannot = is_bound ? enter_mount_namespace() : hide_by_tmpfs(elsewhere.path());
        if (cannot.empty() && is_bound) cannot = bind_mount(bound.path(), elsewhere.path());
        if (!cannot.empty()) return kCannot + cannot;
        {
            auto store = Store::open(elsewhere / "store", folders.durable_options());
            EXPECT_OK(store);
            EXPECT_OK(store->append("key", "value"));
        }
        EXPECT(std::system(("cp -a '" + elsewhere / "store' '" + folders.path("copy") + "'").c_str()) == 0);
        return {};
    }));
    is_refused(folders.path("copy"));
    CHECK(folders.arenas.entries().size() == 1);
}

TEST_CASE("A copy whose spill folder is outside of it takes that over only when it is told to") {
    const MovableFolders folders;
    shoal::Options options = folders.durable_options();
    options.spill_dir = folders.spills.path();
    { const Store store = MovableFolders::filled(Store::open(folders.path(), options)); }
    const auto files = folders.spills.entries();
    folders.copy("store", "copy");
    REQUIRE_CODE(Store::attach(folders.path("copy")), Code::kCopied);
    REQUIRE_CODE(Store::recover(folders.path("copy")), Code::kCopied);  // the original lives
    folders.lose_memory();
    REQUIRE_CODE(Store::attach(folders.path("copy")), Code::kCopied);
    REQUIRE_CODE(Store::destroy(folders.path("copy")), Code::kCopied);
    CHECK(folders.spills.entries() == files);
    SECTION("the original is there") {
        CHECK(MovableFolders::has_all(*Store::attach(folders.path())));
        REQUIRE_CODE(Store::recover(folders.path("copy")), Code::kCopied);
        REQUIRE_OK(Store::destroy(folders.path()));
    }
    SECTION("the original is gone") {
        REQUIRE_OK(Store::recover(folders.path("copy")));
        CHECK(MovableFolders::has_all(*Store::attach(folders.path("copy"))));
        REQUIRE_CODE(Store::attach(folders.path()), Code::kCopied);
        folders.lose_memory();
        CHECK(MovableFolders::has_all(*Store::attach(folders.path("copy"))));
        REQUIRE_OK(Store::destroy(folders.path("copy")));
    }
    CHECK(folders.spills.entries().empty());
}

TEST_CASE(
    "Of copies that are opened at once when the original is gone one is the store, and the others are refused",
    "[process]") {
    constexpr std::size_t kCopies = 4;
    for (int round = 0; round < 5; ++round) {
        const MovableFolders folders;
        { const auto store = folders.make(); }
        for (std::size_t copy = 0; copy < kCopies; ++copy) folders.copy("store", std::to_string(copy));
        fs::remove_all(folders.path());
        int begun[2];
        int answers[2];
        int ended[2];
        REQUIRE((::pipe(begun) == 0 && ::pipe(answers) == 0 && ::pipe(ended) == 0));
        std::vector<Child> children;
        for (std::size_t copy = 0; copy < kCopies; ++copy) {
            children.push_back(Child::start([&, copy]() -> std::string {
                ::close(begun[1]);
                ::close(ended[1]);
                char byte = 0;
                EXPECT(::read(begun[0], &byte, 1) == 0);
                auto store = Store::attach(folders.path(std::to_string(copy)));
                byte = store ? 'y' : 'n';
                EXPECT(::write(answers[1], &byte, 1) == 1);
                if (!store) EXPECT(store.error().code == Code::kCopied || store.error().code == Code::kInUse);
                if (store) EXPECT(MovableFolders::has_all(*store));
                EXPECT(::read(ended[0], &byte, 1) == 0);
                return {};
            }));
        }
        ::close(begun[0]);
        ::close(begun[1]);
        ::close(ended[0]);
        std::string answered(kCopies, ' ');
        for (char& byte : answered) REQUIRE(::read(answers[0], &byte, 1) == 1);
        ::close(ended[1]);
        CHECK(wait_for(children) == "");
        CHECK(std::count(answered.begin(), answered.end(), 'y') <= 1);
        ::close(answers[0]);
        ::close(answers[1]);
        std::size_t stores = 0;
        for (std::size_t copy = 0; copy < kCopies; ++copy) {
            stores += Store::attach(folders.path(std::to_string(copy))) ? 1 : 0;
        }
        CHECK(stores == 1);
    }
}
