// Every crash point of a store's creation, attach, destruction and removal: a process stops there, and others have
// the store or make their own; it dies there, and nothing is left that the next does not take away.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena/descriptor.hpp"
#include "catch.hpp"
#include "lives.hpp"
#include "scene.hpp"
#include "store/leftovers.hpp"
#include "windows.hpp"

using namespace shoal_test;
using namespace shoal_test::lives;

namespace {

struct LifeWindow {
    CrashPoint point;
    const Life& life;
    std::uint32_t passing = 1;  // of the point, at which the child stops or dies
};

const std::vector<LifeWindow>& life_windows() {
    static const std::vector<LifeWindow> all{
        {CrashPoint::kDirectoryMade, kCreate},
        {CrashPoint::kArenaSized, kCreate},
        {CrashPoint::kHeaderWritten, kCreate},
        {CrashPoint::kArenaFilled, kCreate},
        {CrashPoint::kMagicStored, kCreate},
        {CrashPoint::kCreationBegun, kCreate},
        {CrashPoint::kCreatorPresent, kCreate},
        {CrashPoint::kArenaNamed, kCreate},
        {CrashPoint::kMetadataWritten, kCreate},
        {CrashPoint::kMetadataNamed, kCreate},
        {CrashPoint::kHomeWritten, kCreate},
        {CrashPoint::kCreationFinished, kCreate},
        {CrashPoint::kHiddenNamed, kCreateHidden},
        {CrashPoint::kArenaSized, kCreateHidden},
        {CrashPoint::kHiddenLinked, kCreateHidden},
        {CrashPoint::kHiddenNamed, kCreateHidden, 2},
        {CrashPoint::kMetadataWritten, kCreateHidden},
        {CrashPoint::kHiddenLinked, kCreateHidden, 2},
        {CrashPoint::kArenaNamed, kClose},
        {CrashPoint::kMetadataNamed, kClose},
        {CrashPoint::kArenaOpened, kAttach},
        {CrashPoint::kPresenceAnnounced, kAttach},
        {CrashPoint::kArenaJoined, kAttach},
        {CrashPoint::kArenaAtHome, kAttach},
        {CrashPoint::kArenaMapped, kAttach},
        {CrashPoint::kArenaJoined, kTakeOver},
        {CrashPoint::kHomeTaken, kTakeOver},
        {CrashPoint::kArenaAtHome, kTakeOver},
        {CrashPoint::kMetadataAside, kDestroyMoved},
        {CrashPoint::kArenaOpened, kAttachEnded},
        {CrashPoint::kMetadataAside, kDestroy},
        {CrashPoint::kDestructionAnnounced, kDestroy},
        {CrashPoint::kArenaUnlinked, kDestroy},
        {CrashPoint::kSpillFilesRemoved, kDestroy},
        {CrashPoint::kAsideRemoved, kDestroy},
        {CrashPoint::kDirectoryRemoved, kDestroy},
        {CrashPoint::kAsideAnnounced, kFinishByOpen},
        {CrashPoint::kAsideUnlinked, kFinishByOpen},
        {CrashPoint::kAsideSpillRemoved, kFinishByOpen},
        {CrashPoint::kAsideFinished, kFinishByOpen},
        {CrashPoint::kAsideAnnounced, kFinishByDestroy},
        {CrashPoint::kAsideUnlinked, kFinishByDestroy},
        {CrashPoint::kAsideSpillRemoved, kFinishByDestroy},
        {CrashPoint::kAsideFinished, kFinishByDestroy},
        {CrashPoint::kPresenceWithdrawn, kClose},
        {CrashPoint::kRemovalClaimed, kClose},
        {CrashPoint::kEndedMetadataSeen, kClose},
        {CrashPoint::kEndedMetadataAside, kClose},
        {CrashPoint::kEndedSpillRemoved, kClose},
        {CrashPoint::kEndedArenaUnlinked, kClose},
        {CrashPoint::kEndedAsideRemoved, kClose},
        {CrashPoint::kEndedDirectoryRemoved, kClose},
        {CrashPoint::kRemovalClaimed, kAttachEnded},
        {CrashPoint::kEndedMetadataSeen, kAttachEnded},
        {CrashPoint::kEndedMetadataAside, kAttachEnded},
        {CrashPoint::kEndedSpillRemoved, kAttachEnded},
        {CrashPoint::kEndedArenaUnlinked, kAttachEnded},
        {CrashPoint::kEndedAsideRemoved, kAttachEnded},
        {CrashPoint::kEndedMetadataAside, kRemoveReplaced},
        {CrashPoint::kEndedMetadataBack, kRemoveReplaced},
        {CrashPoint::kEndedSpillRemoved, kRemoveReplaced},
        {CrashPoint::kEndedArenaUnlinked, kRemoveReplaced},
        {CrashPoint::kGarbageSeen, kCollectEnded},
        {CrashPoint::kCollectionBegun, kCollectEnded},
        {CrashPoint::kRemovalClaimed, kCollectEnded},
        {CrashPoint::kEndedMetadataSeen, kCollectEnded},
        {CrashPoint::kEndedMetadataAside, kCollectEnded},
        {CrashPoint::kEndedSpillRemoved, kCollectEnded},
        {CrashPoint::kEndedArenaUnlinked, kCollectEnded},
        {CrashPoint::kEndedAsideRemoved, kCollectEnded},
        {CrashPoint::kCollectionBegun, kCollectUnnamed},
        {CrashPoint::kRemovalClaimed, kCollectUnnamed},
        {CrashPoint::kEndedSpillRemoved, kCollectUnnamed},
        {CrashPoint::kEndedArenaUnlinked, kCollectUnnamed},
        {CrashPoint::kEndedAsideRemoved, kCollectUnnamed},
        {CrashPoint::kCollectionBegun, kDryRun},
        {CrashPoint::kRemovalClaimed, kDryRun},
        {CrashPoint::kCollectionBegun, kCreateAfterCreator},
        {CrashPoint::kRemovalClaimed, kCreateAfterCreator},
        {CrashPoint::kEndedArenaUnlinked, kCreateAfterCreator},
        {CrashPoint::kEndedSpillRemoved, kFinishByCollect},
        {CrashPoint::kEndedArenaUnlinked, kFinishByCollect},
        {CrashPoint::kEndedAsideRemoved, kFinishByCollect},
        {CrashPoint::kEndedDirectoryRemoved, kFinishByCollect},
    };
    return all;
}

Child start_life(Ground& ground, const LifeWindow& window, void (*action)()) {
    window.life.prepare(ground);
    return Child::start([&]() -> std::string {
        shoal::crash::at(window.point, window.passing, action);
        return window.life.act(ground);
    });
}

// What others do with the path, and that it works: each call, and on the same store.
std::string others_go_on(Ground& ground, bool keeps) {
    return Child::run([&]() -> std::string {
        auto store = Store::open(ground.path(), ground.options());
        EXPECT_OK(store);
        const std::string wrong = append_to(*store, "others");
        if (!wrong.empty()) return wrong;
        EXPECT(ground.collect() == "");
        auto again = Store::attach(ground.path());
        EXPECT_OK(again);
        EXPECT(*again->contains("others"));
        EXPECT(*again->contains("before") == keeps);
        return append_to(*again, "again");
    });
}

// The store lives, and has what was acknowledged in it; then it is destroyed, and nothing is left.
std::string all_is_there_and_goes(Ground& ground, const std::vector<std::string>& keys) {
    {
        auto store = Store::attach(ground.path());
        EXPECT_OK(store);
        for (const std::string& key : keys) EXPECT(*store->contains(key));
    }
    EXPECT(ground.arenas() == 1);
    EXPECT_OK(Store::destroy(ground.path()));
    EXPECT_CODE(Store::attach(ground.path()), Code::kNotFound);
    EXPECT(ground.arenas() + ground.spills() == 0);
    EXPECT(ground.files() == ground.foreign);
    return {};
}

// What the test has open itself was destroyed under it; each call on it says so.
std::string is_told(Ground& ground) {
    if (ground.held) EXPECT_CODE(ground.held->append("held", "x"), Code::kDestroyed);
    return {};
}

}  // namespace

std::set<CrashPoint> shoal_test::points_in_lives() {
    std::set<CrashPoint> points;
    for (const LifeWindow& window : life_windows()) points.insert(window.point);
    return points;
}

TEST_CASE("Where a process stops on its way to a store or from it, others have the store or make their own",
          "[process]") {
    for (const LifeWindow& window : life_windows()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing << ", " << window.life.name) {
            Ground ground;
            Child child = start_life(ground, window, shoal::crash::stop_here);
            REQUIRE(has_stopped(child));
            SECTION("and then goes on in that") {
                const bool owns = &window.life == &kClose && window.point == CrashPoint::kMetadataNamed;
                CHECK(others_go_on(ground, window.life.keeps) == "");
                CHECK(is_told(ground) == "");
                child.kill(SIGCONT);
                CHECK(child.wait() == "");
                std::vector<std::string> keys{"others", "again"};
                if (window.life.keeps) keys.emplace_back("before");
                if (window.life.comes_in) keys.emplace_back("late");
                if (owns) {  // temporary, and the child was its last owner
                    CHECK(ground.arenas() + ground.spills() == 0);
                } else {
                    CHECK(all_is_there_and_goes(ground, keys) == "");
                }
            }
            SECTION("and another after that one is destroyed") {
                CHECK(Child::run([&] { return destroy_if_any(ground); }) == "");
                CHECK(others_go_on(ground, false) == "");
                CHECK(is_told(ground) == "");
                child.kill(SIGCONT);
                (void)child.wait();  // what it had open may have been destroyed under it
                CHECK(all_is_there_and_goes(ground, {"others", "again"}) == "");
            }
        }
    }
}

TEST_CASE("What a process leaves that is killed on its way to a store or from it, the next takes away",
          "[process]") {
    for (const LifeWindow& window : life_windows()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing << ", " << window.life.name) {
            Ground ground;
            Child child = start_life(ground, window, shoal::crash::kill_here);
            const std::string ended = child.wait();
            INFO(ended);
            REQUIRE(child.killed_by() == SIGKILL);
            const std::set<std::string> nothing = ground.foreign;
            const std::set<std::string> empty_directory =
                nothing.empty() ? std::set<std::string>{"store"} : ground.foreign;
            SECTION("who opens") {
                CHECK(others_go_on(ground, window.life.keeps) == "");
                CHECK(is_told(ground) == "");
                CHECK(all_is_there_and_goes(ground, {"others", "again"}) == "");
            }
            SECTION("who destroys, and who collects") {
                CHECK(destroy_if_any(ground) == "");
                CHECK(is_told(ground) == "");
                ground.held.reset();
                REQUIRE(ground.collect() == "");
                CHECK(ground.arenas() + ground.spills() == 0);
                CHECK((ground.files() == nothing || ground.files() == empty_directory));
            }
            SECTION("who collects, and who destroys") {
                ground.held.reset();
                REQUIRE(ground.collect() == "");
                auto store = Store::attach(ground.path());
                if (window.life.keeps) REQUIRE_OK(store);
                if (window.life.keeps) CHECK(*store->contains("before"));
                CHECK(ground.arenas() == (store ? 1 : 0));
                store = tl::unexpected(shoal::Error{});
                CHECK(destroy_if_any(ground) == "");
                CHECK(ground.arenas() + ground.spills() == 0);
                CHECK((ground.files() == nothing || ground.files() == empty_directory));
            }
        }
    }
}

TEST_CASE("A directory that a creator made and could not share any more is shared by the next", "[process]") {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    const struct group* own = ::getgrgid(::getegid());
    if (own == nullptr) SHOAL_SKIP("this process's group has no name");
    Ground ground;
    shoal::Options options = ground.options();
    options.group = own->gr_name;
    ground.die_at(CrashPoint::kDirectoryMade, [&] { (void)Store::open(ground.path(), options); });
    REQUIRE_OK(Store::open(ground.path(), options));
    struct stat info {};
    REQUIRE(::stat(ground.path().c_str(), &info) == 0);
    CHECK((info.st_mode & 07777U) == 02770U);
    REQUIRE_OK(Store::destroy(ground.path()));
}

TEST_CASE("A collector that is slow does not lock what its creator has finished meanwhile", "[process]") {
    Ground ground;
    Child creator = start_life(ground, {CrashPoint::kArenaNamed, kCreate}, shoal::crash::stop_here);
    REQUIRE(has_stopped(creator));
    Child collector = Child::start([&]() -> std::string {
        shoal::crash::at(CrashPoint::kGarbageSeen, 1, shoal::crash::stop_here);
        shoal::crash::at(CrashPoint::kRemovalClaimed, 1, shoal::crash::kill_here);
        return ground.collect();
    });
    REQUIRE(has_stopped(collector));
    creator.kill(SIGCONT);
    REQUIRE(creator.wait() == "");  // finished, and nobody has the store open
    collector.kill(SIGCONT);
    CHECK(collector.wait() == "");
    CHECK(all_is_there_and_goes(ground, {"late"}) == "");
}

TEST_CASE("A store whose metadata was set aside by mistake has it back, unless a third has come to its place",
          "[process]") {
    Ground ground;
    Child child = start_life(ground, {CrashPoint::kEndedMetadataAside, kRemoveReplaced}, shoal::crash::kill_here);
    (void)child.wait();
    REQUIRE(child.killed_by() == SIGKILL);
    const shoal::Descriptor directory(::open(ground.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto access = *shoal::Access::from({});
    SECTION("it has it back") {
        CHECK_FALSE(shoal::finish_destructions(directory.get(), ground.path(), access));
        auto store = Store::attach(ground.path());
        REQUIRE_OK(store);
        CHECK(*store->contains("before"));
    }
    SECTION("it is destroyed, and those who have it open are told") {
        auto another = Store::attach(ground.path());
        REQUIRE_OK(another);
        // A third store, whose creator found none here while that one was set aside.
        const std::string elsewhere = ground.path() + "/elsewhere";
        std::filesystem::rename(ground.path() + "/store.meta", elsewhere);
        auto third = Store::open(ground.path(), ground.options());
        REQUIRE_OK(third);
        const std::string mistaken = "/.ended-" + std::string(32, 'a') + "-" + std::string(32, 'b');
        std::filesystem::rename(elsewhere, ground.path() + mistaken);
        CHECK(shoal::finish_destructions(directory.get(), ground.path(), access));
        CHECK(append_to(*third, "third") == "");
        REQUIRE_CODE(another->append("another", "x"), Code::kDestroyed);
    }
    REQUIRE_OK(Store::destroy(ground.path()));
    CHECK(ground.arenas() + ground.spills() == 0);
    CHECK(ground.files() == ground.foreign);
}
