// Steps of a protocol that a process took before it died: the others go on from there.
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "segment/unblock.hpp"
#include "store/hash.hpp"
#include "store/impl.hpp"

using namespace shoal;

namespace {

Atomic<std::uint64_t>& retired_link(const Mapping& mapping, RetiredKind, ArenaOffset object) {
    return mapping.at<Leaf>(object)->next_retired;
}

// A second look at a store's arena, with the rooms below Store in hand.
struct Inside {
    explicit Inside(const std::string& path)
        : opened(*attach_existing(path)),
          blocks(opened.mapping),
          slots(opened.mapping, blocks),
          epochs(opened.mapping, slots, retired_link, {}, {}),
          index(opened.mapping, blocks, epochs),
          slot(*slots.current(nullptr)) {}

    OpenedArena opened;
    Blocks blocks;
    Slots slots;
    Epochs epochs;
    Index index;
    Slot& slot;
};

class NewStore {
public:
    NewStore() {
        char name[] = "/tmp/shoal-test-XXXXXX";
        directory_ = ::mkdtemp(name);
        Options options;
        options.memory_limit_bytes = 64U << 20;
        store_.emplace(*Store::open(path(), options));
    }
    ~NewStore() {
        store_.reset();
        (void)Store::destroy(path());
        ::rmdir(directory_.c_str());
    }
    NewStore(const NewStore&) = delete;
    NewStore& operator=(const NewStore&) = delete;
    [[nodiscard]] std::string path() const { return directory_ + "/store"; }
    [[nodiscard]] Store& operator*() { return *store_; }

private:
    std::string directory_;
    std::optional<Store> store_;
};

std::uint64_t offset_of(const Inside& inside, const void* address) {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(address) -
                                      inside.opened.mapping.at<std::byte>(0UL));
}

// The first split of a tree, up to its first entry: frozen, copied, successor set, one entry of 4096 moved.
Leaf* split_and_die_after_one_entry(Inside& inside) {
    const Mapping& mapping = inside.opened.mapping;
    const ArenaOffset tree = inside.index.tree();
    auto& old = const_cast<Leaf&>(inside.index.leaf_for(tree, 0));
    for (auto& word : old.slots) word.fetch_or(kFrozen);
    std::array<Leaf*, 2> halves{};
    for (Leaf*& half : halves) {
        half = mapping.at<Leaf>(inside.blocks.allocate(inside.slot, sizeof(Leaf)).offset);
        half->depth = 1;
        half->parent.store(offset_of(inside, &old));
    }
    halves[0]->sibling = offset_of(inside, halves[1]);
    for (auto& frozen : old.slots) {
        const std::uint64_t word = frozen.load() & ~kFrozen;
        if (!is_chain(word)) continue;
        const std::uint64_t hash = mapping.at<Chain>(slot_chain(word))->hash;
        std::uint32_t at = home_slot(hash);
        while (halves[hash >> 63]->slots[at].load() != 0) at = next_slot(at);
        halves[hash >> 63]->slots[at].store(word);
    }
    old.successor.store(offset_of(inside, halves[0]) | static_cast<std::uint64_t>(SuccessorKind::kSplit));
    mapping.at<Entry>(mapping.at<Tree>(tree)->root)[0].store(offset_of(inside, halves[0]));
    return halves[0];
}

// Runs `work` in a process of its own, which then dies without a word.
template <class Work>
void die_after(const std::string& path, Work&& work) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto* inside = new Inside(path);
        work(*inside);
        ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);
}

ArenaOffset tail_of(const Inside& inside, std::string_view key) {
    const std::uint64_t hash = hash_key(key, inside.opened.mapping.header().hash_seed);
    const ArenaOffset chain = inside.index.find(inside.index.tree(), key, hash, Index::Which::kLive);
    return static_cast<ArenaOffset>(inside.opened.mapping.at<Chain>(chain)->tail.load());
}

enum class Stop { kHole, kClaimed, kCrossing };

// A claim of one record of 20 bytes, given up where `stop` says.
void claim_and_stop(Inside& inside, std::string_view key, Stop stop) {
    static_cast<void>(inside.epochs.enter(inside.slot));
    const ArenaOffset tail = tail_of(inside, key);
    Segment& segment = *inside.opened.mapping.at<Segment>(tail);
    inside.slot.segment.store(raw(tail));
    const std::uint64_t units = stop == Stop::kCrossing ? segment.claimable_units + 1 : frame_units(20);
    const std::uint64_t before = segment.reserve.fetch_add(pack({units, 1, pad_bytes(20)}));
    if (stop != Stop::kClaimed) return;
    frame_at(inside.opened.mapping, segment.block.load(), reserved_units(before))
        ->store(claimed_header(units, inside.slots.number(inside.slot), inside.slot.generation.load()));
}

std::vector<FrameState> states_of(const Inside& inside, ArenaOffset offset) {
    Segment& segment = *inside.opened.mapping.at<Segment>(offset);
    std::vector<FrameState> states;
    REQUIRE(walk_headers(
        frame_at(inside.opened.mapping, segment.block.load(), 0), extent_of(segment).units,
        [&](AtomicWord&, std::uint64_t header, std::uint64_t) { states.push_back(frame_state(header)); }));
    return states;
}

}  // namespace

TEST_CASE("What a dead writer claimed is padding, and is not counted, for whoever attaches next") {
    const Stop stop = GENERATE(Stop::kHole, Stop::kClaimed, Stop::kCrossing);
    NewStore store;
    for (int round = 0; round < 3; ++round) {
        REQUIRE((*store).append("key", "twelve bytes").has_value());
        die_after(store.path(), [&](Inside& inside) { claim_and_stop(inside, "key", stop); });
    }
    REQUIRE((*store).append("key", "twelve bytes").has_value());
    auto next = Store::attach(store.path());
    REQUIRE(next.has_value());
    CHECK(next->get("key")->text() == "twelve bytestwelve bytestwelve bytestwelve bytes");
    CHECK(next->size("key")->records == 4);
    CHECK(next->size("key")->bytes == 48);
    Inside inside(store.path());
    const auto states = states_of(inside, tail_of(inside, "key"));
    CHECK(std::none_of(states.begin(), states.end(), [](FrameState state) {
        return state == FrameState::kHole || state == FrameState::kClaimed;
    }));
    CHECK(inside.slots.in_use() == 3);  // of the two stores and ours: the dead have none
}

TEST_CASE("A hole stays one while somebody alive may be about to fill it") {
    NewStore store;
    REQUIRE((*store).append("key", "first").has_value());
    Inside alive(store.path());
    const ArenaOffset tail = tail_of(alive, "key");
    REQUIRE(alive.epochs.enter(alive.slot));
    alive.slot.segment.store(raw(tail));
    die_after(store.path(), [](Inside& inside) { claim_and_stop(inside, "key", Stop::kHole); });
    auto next = Store::attach(store.path());
    REQUIRE(next.has_value());
    CHECK(states_of(alive, tail) == std::vector<FrameState>{FrameState::kCommitted, FrameState::kHole});
    CHECK(next->size("key")->records == 1);
    CHECK(next->get("key")->text() == "first");

    alive.slot.segment.store(0);
    die_after(store.path(), [](Inside& inside) { claim_and_stop(inside, "key", Stop::kHole); });
    REQUIRE(Store::attach(store.path()).has_value());
    CHECK(states_of(alive, tail) == std::vector<FrameState>{FrameState::kCommitted, FrameState::kPadding});
    alive.epochs.leave(alive.slot);
}

TEST_CASE("Blocks that a dead process had made and not linked come back") {
    NewStore store;
    REQUIRE((*store).append("key", "value").has_value());
    const auto used = [&] { return (*store).stats()->used_bytes; };
    const auto repeat = [&](const auto& work) {
        die_after(store.path(), work);
        REQUIRE(Store::attach(store.path()).has_value());
        const std::uint64_t before = used();
        for (int round = 0; round < 50; ++round) die_after(store.path(), work);
        REQUIRE(Store::attach(store.path()).has_value());
        CHECK(used() == before);
    };
    const std::string large(300'000, 'x');
    const ByteView value(large);
    const auto context = [](Inside& inside) -> ChainContext {
        return {inside.opened.mapping, inside.blocks, inside.slot, inside.slots.number(inside.slot)};
    };
    SECTION("a chain that is not in the index") {
        repeat([&](Inside& inside) {
            static_cast<void>(inside.epochs.enter(inside.slot));
            const ArenaOffset tree = inside.index.tree();
            REQUIRE(!is_null(make_chain(context(inside), tree, "new", 1, Payload::record({&value, 1})).offset));
        });
    }
    SECTION("the replacement of a leaf") {
        repeat([&](Inside& inside) {
            static_cast<void>(inside.epochs.enter(inside.slot));
            Leaf& leaf = const_cast<Leaf&>(inside.index.leaf_for(inside.index.tree(), 0));
            for (std::size_t part = 0; part < 2; ++part) {
                remember_made(inside.slot, MadeKind::kLeaves, static_cast<ArenaOffset>(offset_of(inside, &leaf)),
                              part, inside.blocks.allocate(inside.slot, sizeof(Leaf)).offset);
            }
        });
    }
    SECTION("a tree") {
        repeat([&](Inside& inside) {
            static_cast<void>(inside.epochs.enter(inside.slot));
            REQUIRE(!is_null(inside.index.make_tree(inside.index.tree(), inside.slot).offset));
        });
    }
}

TEST_CASE("What a dead process had linked stays, though its journal still names it") {
    NewStore store;
    die_after(store.path(), [](Inside& inside) {
        static_cast<void>(inside.epochs.enter(inside.slot));
        const ArenaOffset tree = inside.index.tree();
        const ByteView value("value");
        const ChainContext context{inside.opened.mapping, inside.blocks, inside.slot,
                                   inside.slots.number(inside.slot)};
        const std::uint64_t hash = hash_key("key", inside.opened.mapping.header().hash_seed);
        const NewChain made = make_chain(context, tree, "key", hash, Payload::record({&value, 1}));
        static_cast<void>(inside.index.insert(tree, made.offset, inside.slot));
    });
    SECTION("in the index") {
        REQUIRE(Store::attach(store.path()).has_value());
        CHECK((*store).get("key")->text() == "value");
    }
    SECTION("erased meanwhile by another") {
        REQUIRE((*store).erase("key").value());
        REQUIRE(Store::attach(store.path()).has_value());
        CHECK(!(*store).contains("key").value());
        REQUIRE((*store).append("key", "again").has_value());
        CHECK((*store).get("key")->text() == "again");
    }
}

TEST_CASE("A split whose process died after one entry is carried through before its halves change") {
    NewStore store;
    Inside inside(store.path());
    const std::uint64_t seed = inside.opened.mapping.header().hash_seed;
    std::map<std::string, std::size_t> expected;
    const auto append = [&](const std::string& key) {
        REQUIRE((*store).append(key, "v").has_value());
        expected[key] += 1;
    };
    for (int number = 0; number < 250; ++number) append("key" + std::to_string(number));
    Leaf* lower = split_and_die_after_one_entry(inside);

    CHECK((*store).keys()->size() == expected.size());  // from the old leaf and the new: each key once

    // Keys of entry 0 fill the lower half until it is replaced itself.
    const auto fill = [&](std::uint64_t entry, int wanted) {
        for (int number = 0, made = 0; made < wanted; ++number) {
            const std::string key = "more" + std::to_string(entry) + "-" + std::to_string(number);
            if (hash_key(key, seed) >> 52 != entry) continue;
            append(key);
            ++made;
        }
    };
    fill(0, 400);
    CHECK(lower->parent.load() == 0);
    for (int round = 0; round < 40; ++round) {  // reclaims the replaced leaf, and uses its block again
        REQUIRE((*store).erase("key" + std::to_string(round)).has_value());
        expected.erase("key" + std::to_string(round));
        const std::string key = "big" + std::to_string(round);
        REQUIRE((*store).append(key, std::string(2500, '\xff')).has_value());
        expected[key] = 1;
    }
    fill(1, 50);
    fill(4095, 50);
    for (const auto& [key, records] : expected) {
        INFO(key);
        REQUIRE((*store).size(key)->records == records);
    }
    CHECK((*store).keys()->size() == expected.size());
}

TEST_CASE("A drop whose process died after the swap is a drop for handles too") {
    NewStore store;
    auto handle = (*store).key("k");
    REQUIRE((*store).append(*handle, "before").has_value());
    REQUIRE((*store).append(*handle, "before").has_value());
    {
        Inside inside(store.path());
        const ArenaOffset old = inside.index.tree();
        const Allocation fresh = inside.index.make_tree(old, inside.slot);
        REQUIRE(inside.index.replace_tree(old, fresh.offset, inside.slots.number(inside.slot)));
        forget_made(inside.slot, 0);
    }
    REQUIRE((*store).append(*handle, "after").has_value());
    CHECK((*store).get("k")->text() == "after");
    CHECK((*store).get(*handle)->text() == "after");
}
