// What a process has left half-done that was killed at a crash point, seen from the inside: who goes on, and how.
#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "scene.hpp"
#include "segment/unblock.hpp"
#include "store/hash.hpp"
#include "store/impl.hpp"

using namespace shoal;
using namespace shoal_test;

namespace {

class NewStore {
public:
    NewStore() : store_(*Store::open(place_.path(), with_limit(64 * kMiB))) {}
    [[nodiscard]] std::string path() const { return place_.path(); }
    [[nodiscard]] Store* operator->() { return &store_; }

private:
    TemporaryStore place_;
    Store store_;
};

// A child whose `work` comes to the crash point, where it stops or dies.
template <class Work>
Child start_at(const std::string& path, CrashPoint point, void (*action)(), Work&& work) {
    return Child::start([&]() -> std::string {
        crash::at(point, 1, action);
        auto own = Store::attach(path);
        EXPECT_OK(own);
        work(*own);
        return "never came to the crash point";
    });
}
template <class Work>
void die_at(const std::string& path, CrashPoint point, Work&& work) {
    Child child = start_at(path, point, crash::kill_here, work);
    const std::string ended = child.wait();
    INFO(ended);
    REQUIRE(child.killed_by() == SIGKILL);
}

void append_one(Store& own) { (void)own.append("key", "never acknowledged"); }

// The segment that takes the key's next claim, and what stands in it.
std::vector<FrameState> states_of(const std::string& path, std::string_view key) {
    OpenedArena opened = *attach_existing(path);
    const Mapping& mapping = opened.mapping;
    Blocks blocks(mapping);
    Slots slots(opened.mapping, blocks);
    Epochs epochs(mapping, slots, {}, {}, {});
    const Index index(mapping, blocks, epochs);
    const ArenaOffset chain =
        index.find(index.tree(), key, hash_key(key, mapping.header().hash_seed), Index::Which::kLive);
    const auto tail = static_cast<ArenaOffset>(mapping.at<Chain>(chain)->tail.load());
    Segment& segment = *mapping.at<Segment>(tail);
    std::vector<FrameState> states;
    REQUIRE(walk_headers(
        frame_at(mapping, segment.block.load(), 0), extent_of(segment).units,
        [&](AtomicWord&, std::uint64_t header, std::uint64_t) { states.push_back(frame_state(header)); }));
    return states;
}

std::size_t count_of(const std::vector<FrameState>& states, FrameState wanted) {
    return static_cast<std::size_t>(std::count(states.begin(), states.end(), wanted));
}

}  // namespace

TEST_CASE("What a dead writer claimed is padding, and is not counted, for whoever attaches next", "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kClaimAdded, CrashPoint::kClaimSaid, CrashPoint::kSealBegun);
    NewStore store;
    for (int round = 0; round < 3; ++round) {
        REQUIRE_OK(store->append("key", "twelve bytes"));
        die_at(store.path(), point, [](Store& own) {
            for (;;) append_one(own);
        });
    }
    const auto next = Store::attach(store.path());
    REQUIRE_OK(next);
    const auto records = next->records("key");
    REQUIRE_OK(records);
    CHECK(next->size("key")->records == records->size());
    CHECK(next->size("key")->bytes == next->get("key")->size());
    const auto states = states_of(store.path(), "key");
    CHECK(count_of(states, FrameState::kHole) == 0);
    CHECK(count_of(states, FrameState::kClaimed) == 0);
    CHECK(next->stats()->slots_in_use == 3);  // of the two stores, and of the views: the dead have none
}

TEST_CASE("size() and stats() count what get() gives, while a writer is stopped in an append and once it is dead",
          "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kClaimNamed, CrashPoint::kClaimAdded, CrashPoint::kClaimSaid,
                                      CrashPoint::kClaimCopied, CrashPoint::kClaimCommitted);
    const bool group = GENERATE(false, true);
    CAPTURE(crash::name(point), group);
    NewStore store;
    REQUIRE_OK(store->append("other", "one"));
    REQUIRE_OK(store->append("key", std::string(500, 'x')));  // fills a segment, and the next is larger
    REQUIRE_OK(store->append("key", "twelve bytes"));
    const auto agree = [&] {
        const auto size = store->size("key");
        REQUIRE_OK(size);
        CHECK(size->records == store->records("key")->size());
        CHECK(size->bytes == store->get("key")->size());
        const auto stats = store->stats();
        REQUIRE_OK(stats);
        CHECK(stats->records == size->records + 1);
        CHECK(stats->payload_bytes == size->bytes + 3);
    };
    Child child = start_at(store.path(), point, crash::stop_here, [&](Store& own) {
        if (group) {
            const std::vector<Pair> pairs{{"key", "a"}, {"key", "bc"}, {"key", "def"}};
            (void)own.append(pairs);
        } else {
            append_one(own);
        }
    });
    REQUIRE(has_stopped(child));
    agree();
    REQUIRE_OK(store->append("key", "behind"));
    agree();
    child.kill();
    (void)child.wait();
    agree();
    REQUIRE_OK(Store::attach(store.path()));  // recovers it
    agree();
}

TEST_CASE("A hole stays one while somebody alive may be about to fill it", "[process]") {
    NewStore store;
    REQUIRE_OK(store->append("key", std::string(500, 'x')));  // fills a segment, and the next is larger
    REQUIRE_OK(store->append("key", "first"));
    Child alive = start_at(store.path(), CrashPoint::kClaimNamed, crash::stop_here, append_one);
    REQUIRE(has_stopped(alive));
    die_at(store.path(), CrashPoint::kClaimAdded, append_one);
    auto next = Store::attach(store.path());
    REQUIRE_OK(next);
    REQUIRE_OK(next->append("key", "behind"));
    using enum FrameState;
    CHECK(states_of(store.path(), "key") == std::vector{kCommitted, kHole, kCommitted});
    CHECK(next->size("key")->records == 3);
    CHECK(next->records("key")->size() == 3);

    alive.kill();
    (void)alive.wait();
    REQUIRE_OK(Store::attach(store.path()));
    CHECK(states_of(store.path(), "key") == std::vector{kCommitted, kPadding, kCommitted});
}

TEST_CASE("A hole is padded even when the one who recovers its owner dies over it", "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kClaimsPadded, CrashPoint::kDeadClaimsDone);
    NewStore store;
    REQUIRE_OK(store->append("key", std::string(500, 'x')));  // fills a segment, and the next is larger
    REQUIRE_OK(store->append("key", "first"));
    die_at(store.path(), CrashPoint::kClaimAdded, append_one);
    REQUIRE_OK(store->append("key", "behind"));
    die_at(store.path(), point, [](Store&) {});
    using enum FrameState;
    CHECK(states_of(store.path(), "key") == std::vector{kCommitted, kHole, kCommitted});
    REQUIRE_OK(Store::attach(store.path()));
    CHECK(states_of(store.path(), "key") == std::vector{kCommitted, kPadding, kCommitted});
}

TEST_CASE("What a dead process had linked stays, though its journal still names it", "[process]") {
    NewStore store;
    die_at(store.path(), CrashPoint::kChainInserted, [](Store& own) { (void)own.append("key", "value"); });
    SECTION("in the index") {
        REQUIRE_OK(Store::attach(store.path()));
        CHECK(store->get("key")->text() == "value");
    }
    SECTION("erased meanwhile by another") {
        REQUIRE(store->erase("key").value());
        REQUIRE_OK(Store::attach(store.path()));
        CHECK(!store->contains("key").value());
        REQUIRE_OK(store->append("key", "again"));
        CHECK(store->get("key")->text() == "again");
    }
}

TEST_CASE("A split whose process died after one entry is carried through before its halves change", "[process]") {
    NewStore store;
    const std::uint64_t seed = attach_existing(store.path())->mapping.header().hash_seed;
    std::map<std::string, std::size_t> expected;
    const auto append = [&](const std::string& key) {
        REQUIRE_OK(store->append(key, "v"));
        expected[key] += 1;
    };
    SharedCounters made(1);  // keys of the child; the one in flight is not in the index yet
    die_at(store.path(), CrashPoint::kLeafInstalling, [&](Store& own) {
        while (own.append("key" + std::to_string(made[0].load()), "v")) made[0].fetch_add(1);
    });
    for (std::uint64_t number = 0; number < made[0].load(); ++number) expected["key" + std::to_string(number)] = 1;
    CHECK(store->keys()->size() == expected.size());  // from the old leaf and the new: each key once

    // Keys of entry 0 fill the lower half until it is replaced itself.
    const auto fill = [&](std::uint64_t entry, int wanted) {
        for (int number = 0, count = 0; count < wanted; ++number) {
            const std::string key = "more" + std::to_string(entry) + "-" + std::to_string(number);
            if (hash_key(key, seed) >> 52 != entry) continue;
            append(key);
            ++count;
        }
    };
    fill(0, 400);
    for (int round = 0; round < 40; ++round) {  // reclaims the replaced leaf, and uses its block again
        REQUIRE_OK(store->erase("key" + std::to_string(round)));
        expected.erase("key" + std::to_string(round));
        const std::string key = "big" + std::to_string(round);
        REQUIRE_OK(store->append(key, std::string(2500, '\xff')));
        expected[key] = 1;
    }
    fill(1, 50);
    fill(4095, 50);
    for (const auto& [key, records] : expected) {
        INFO(key);
        REQUIRE(store->size(key)->records == records);
    }
    CHECK(store->keys()->size() == expected.size());
}

TEST_CASE("A spill of everything ends though there is more to spill for each segment that it has gathered") {
    constexpr int kEnough = 100;
    TemporaryStore place;
    Options options = without_spill_thread();
    options.memory_limit_bytes = 64 * kMiB;
    options.spill_dir = place.directory().path();
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    auto other = Store::attach(place.path(), options);
    REQUIRE_OK(other);
    REQUIRE_OK(store->append("key", "there"));
    int gathered = 0;
    std::function<void()> on_gathered;
    const std::function<void()> on_journalled = [&] { crash::at(CrashPoint::kSpillGathered, 1, on_gathered); };
    on_gathered = [&] {
        if (++gathered == kEnough) return;
        (void)other->append("key", "more");
        (void)other->append("new " + std::to_string(gathered), "more");
        crash::at(CrashPoint::kSpillJournalled, 1, on_journalled);
    };
    crash::at(CrashPoint::kSpillJournalled, 1, on_journalled);
    REQUIRE_OK(store->spill());
    CHECK(gathered < kEnough);
    CHECK(store->stats()->spilled_bytes >= 5);
    crash::at(CrashPoint::kSpillJournalled, 0, {});
    crash::at(CrashPoint::kSpillGathered, 0, {});
}

TEST_CASE("A drop whose process died half-way is a drop for handles too", "[process]") {
    const CrashPoint point = GENERATE(CrashPoint::kDropInstalled, CrashPoint::kDropRetired);
    NewStore store;
    auto handle = store->key("k");
    REQUIRE_OK(store->append(*handle, "before"));
    REQUIRE_OK(store->append(*handle, "before"));
    die_at(store.path(), point, [](Store& own) { (void)own.drop(); });
    REQUIRE_OK(store->append(*handle, "after"));
    CHECK(store->get("k")->text() == "after");
    CHECK(store->get(*handle)->text() == "after");
}
