// Steps of a protocol that a process took before it died: the others go on from there.
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
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

}  // namespace

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
        const Allocation fresh = inside.index.make_tree(inside.slot);
        REQUIRE(inside.index.replace_tree(old, fresh.offset, inside.slots.number(inside.slot)));
    }
    REQUIRE((*store).append(*handle, "after").has_value());
    CHECK((*store).get("k")->text() == "after");
    CHECK((*store).get(*handle)->text() == "after");
}
