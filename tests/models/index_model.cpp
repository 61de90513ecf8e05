// The index: threads that insert one key meet, and a key stays to be found while its leaf is replaced
// (index/index.cpp). Leaves have two buckets of two slots, nodes one bit.
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr unsigned kReader = 2;

class IndexModel : public Model {
protected:
    IndexModel() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number].emplace(arena_); });
        }
        Process& first = *processes_[0];
        first.index.publish_first_tree(first.index.make_tree(ArenaOffset::kNull, first.slot).offset);
    }

    bool insert(unsigned number, std::uint64_t key) {
        Process& process = *processes_[number];
        process.enter();
        const bool ours = process.insert(key);
        idle(60);  // inside: entering is fenced, and would let others see what was done before
        process.leave();
        return ours;
    }

    // Whether the key is there; if so, with its record.
    bool find(unsigned number, std::uint64_t key) {
        Process& process = *processes_[number];
        process.enter();
        if (number == kReader) idle(120);  // as in insert
        const ArenaOffset chain = process.find(key);
        expect(is_null(chain) || process.records_of(chain, key) == 1, "a key that is there has its record");
        process.leave();
        return !is_null(chain);
    }

    void expect_keys(std::uint64_t wanted) {
        std::uint64_t keys = 0;
        Process& process = *processes_[2];
        process.index.for_each(process.index.tree(), [&](ArenaOffset offset) {
            const std::uint64_t key = arena_.at<Chain>(offset)->hash & 0xff;
            expect((keys & 1ULL << key) == 0, "a key is there once");
            keys |= 1ULL << key;
        });
        expect(keys == wanted, "every key is there");
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::optional<Process>, 3> processes_;
};

class InsertModel : public IndexModel {
public:
    void thread(unsigned number) override {
        if (number == kReader) {
            const bool was_there = inserted_.load(std::memory_order_acquire) != 0;
            expect(find(number, 1) || !was_there, "an inserted key is found");
            return;
        }
        if (insert(number, 1)) inserted_.fetch_add(1, std::memory_order_acq_rel);
        expect(find(number, 1), "an inserted key is found");
        insert(number, 2 + number);
    }
    void after() override {
        expect(inserted_.load(std::memory_order_relaxed) == 1, "one of those who insert a key is told so");
        expect_keys(0b1110);
    }

private:
    Atomic<std::uint64_t> inserted_;
};

class GrowthModel : public IndexModel {
public:
    GrowthModel() { expect(insert(0, 1) && insert(1, 5), "they are new"); }
    void thread(unsigned number) override {
        if (number == kReader) {
            for (int turn = 0; turn < 3; ++turn) {
                const std::uint64_t key = std::array{1U, 5U, 2U, 3U, 6U, 7U}[random(6)];
                expect(find(number, key) || (key != 1 && key != 5), "a key stays while its leaf is replaced");
            }
            return;
        }
        for (const std::uint64_t key : {2U, 3U}) {
            const std::uint64_t mine = key + number * 4;
            expect(insert(number, mine), "it is new");
            expect(find(number, mine), "an inserted key is found");
        }
    }
    void after() override {
        expect_keys(0b1110'1110);
        processes_[0]->reclaim(4, false);
        expect(!processes_[0]->epochs.has_retired(), "leaves that were replaced are freed in the end");
        expect_keys(0b1110'1110);
    }
};

// One splits a leaf, another inserts into it meanwhile, a third looks for what that one inserted.
class FreezeModel : public IndexModel {
public:
    FreezeModel() {
        for (const std::uint64_t key : {1U, 5U, 2U}) expect(insert(0, key), "it is new");  // the odd bucket is full
    }
    void thread(unsigned number) override {
        if (number == kReader) {
            static_cast<void>(find(number, 6));
        } else {
            expect(insert(number, number == 0 ? 3 : 6), "it is new");
        }
    }
    void after() override { expect_keys(0b0110'1110); }
};

// One splits a leaf below a new node, another looks for what is there, at any moment.
class NodeModel : public IndexModel {
public:
    NodeModel() {
        for (const std::uint64_t key : {1U, 5U, 3U}) expect(insert(0, key), "it is new");  // of two leaves
    }
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        process.enter();
        if (number == 0) {
            expect(process.insert(9), "it is new");
        } else {
            idle(100);
            expect(!is_null(process.find(number == 1 ? 1 : 3)), "a key stays while its leaf is replaced by a node");
        }
        process.leave();
    }
    void after() override { expect_keys(0b10'0010'1010); }
};

}  // namespace

TEST_CASE("Who insert one key meet, and who finds it finds its record") {
    check_holds(3, make<InsertModel>(), 60'000);
}

TEST_CASE("They would not find it, if an insert did not release") {
    const Mutant mutant{"Index::insert", Kind::kExchangeIf, std::memory_order_acq_rel};
    check_breaks(3, make<InsertModel>(), 50'000, mutant);
}

TEST_CASE("Keys stay while two threads split their leaves") { check_holds(3, make<GrowthModel>(), 40'000); }

TEST_CASE("Keys stay while a node takes the place of their leaf") { check_holds(3, make<NodeModel>(), 40'000); }

TEST_CASE("They would not, if installing new leaves did not release") {
    const Mutant mutant{"Index::install", Kind::kExchangeIf, std::memory_order_acq_rel};
    check_breaks(3, make<GrowthModel>(), 50'000, mutant);
}

TEST_CASE("What is inserted while its leaf is frozen is whole in the new one") {
    check_holds(3, make<FreezeModel>(), 40'000);
}

TEST_CASE("It would not be, if freezing a slot did not acquire what was inserted there") {
    const Mutant mutant{"Index::copy_leaf", Kind::kChange, std::memory_order_acq_rel, std::memory_order_release};
    check_breaks(3, make<FreezeModel>(), 50'000, mutant);
}

TEST_CASE("Keys would be missing in a new leaf, if completing the replacement did not release") {
    const Mutant mutant{"Index::carry_through", Kind::kChange, std::memory_order_acq_rel};
    check_breaks(3, make<GrowthModel>(), 50'000, mutant);
}
