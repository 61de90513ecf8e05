// The index without memory: there are blocks for the first few allocations, and for no other. What takes a key out
// needs none, whatever those who insert have begun; and nothing is lost (index/growth.cpp).
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

using Outcome = Index::InsertOutcome;

// One inserts and may be killed, one erases, one recovers and inserts, in a leaf that an insert must replace.
class LimitModel : public Model {
public:
    LimitModel() : LimitModel(any_scene(), random(9), random(17)) {}
    ~LimitModel() override {
        if (died_) static_cast<void>(processes_[0].release());  // one that was killed ends nothing
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        switch (number) {
            case 0:
                insert_and_die(1 + random(500));
                break;
            case 1:
                for (const std::uint64_t key : scene_.erased) {
                    idle(250);
                    process.enter();
                    process.erase(key);
                    expect(is_null(process.find(key)), "what was erased is not there");
                    process.leave();
                }
                break;
            default:
                idle(250);
                process.slots.recover_if_dead(0);
                insert(process, 1);
        }
    }

    void after() override {
        as_process(3, [this] {
            Process& last = *processes_[3];
            last.slots.recover_all_dead();
            last.enter();
            std::vector<std::uint64_t> there;
            last.index.for_each(last.index.tree(),
                                [&](ArenaOffset chain) { there.push_back(arena_.at<Chain>(chain)->hash & 0xff); });
            for (const std::size_t inserter : {0U, 1U}) {
                const bool found = std::count(there.begin(), there.end(), scene_.inserted[inserter]) == 1;
                const bool may_be_either = inserter == 0 && died_;
                expect(may_be_either || found == inserted_[inserter], "a key is there once, if it was inserted");
            }
            for (const std::uint64_t key : scene_.first) {
                const auto in = [&](const std::vector<std::uint64_t>& keys) {
                    return std::count(keys.begin(), keys.end(), key) != 0;
                };
                expect(in(there) != (in(scene_.gone) || in(scene_.erased)),
                       "what was erased is gone, and no other");
            }
            for (const std::uint64_t key : there) last.erase(key);
            last.leave();
            for (const auto& process : processes_) {
                if (process != processes_[0] || !died_) process->blocks.give_back_sources(process->slot);
            }
            last.reclaim(6, true);
            expect(!last.epochs.has_retired(), "everything retired is freed in the end");
            const std::uint64_t bytes = bytes_beside_index(last);
            expect(bytes >= bytes_beside_, "nothing is free that is used");
            expect(bytes <= bytes_beside_ + (died_ ? kPageBytes : 0), "an erase of all keys gives all back");
        });
    }

protected:
    static constexpr std::uint64_t kChainBlocks = 3;  // a chain, its segment and that one's block

    struct Scene {
        std::vector<std::uint64_t> first;   // inserted at the beginning
        std::vector<std::uint64_t> gone;    // and erased again
        std::vector<std::uint64_t> erased;  // erased meanwhile
        std::array<std::uint64_t, 2> inserted;
    };
    // The leaf is split; is copied into one, since it has tombstones; is split below a new node.
    static const Scene& any_scene() {
        static const std::array<Scene, 3> scenes{
            Scene{{1, 5, 2}, {}, {1, 5}, {3, 7}},
            Scene{{1, 5, 2}, {1, 5}, {2}, {3, 7}},
            Scene{{1, 5, 3}, {}, {1, 3}, {9, 11}},
        };
        return scenes[random(scenes.size())];
    }

    // `leaves` and `small`: blocks that are free when the threads begin.
    LimitModel(const Scene& scene, std::size_t leaves, std::size_t small) : scene_(scene) {
        for (unsigned number = 0; number < 4; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        as_process(0, [this] {
            Process& first = *processes_[0];
            first.index.publish_first_tree(first.index.make_tree(ArenaOffset::kNull, first.slot).offset);
            forget_made(first.slot, 0);
            first.enter();
            for (const std::uint64_t key : scene_.first) expect(first.insert(key), "it is new");
            for (const std::uint64_t key : scene_.gone) first.erase(key);
            first.leave();
            first.reclaim(5, false);
        });
        take_all_blocks();
        as_process(3, [&] {
            Process& last = *processes_[3];
            give_back(last, leaves_, sizeof(Leaf), leaves);
            give_back(last, small_, kSmallestBlockBytes, small);
            bytes_beside_ = bytes_beside_index(last) -
                            (scene_.first.size() - scene_.gone.size()) * kChainBlocks * kSmallestBlockBytes;
        });
    }

    void insert_and_die(unsigned steps) {
        died_ = !run_mortal(steps, [&] { insert(*processes_[0], 0); });
    }
    void insert(Process& process, std::size_t inserter) {
        process.enter();
        const Outcome outcome = process.try_insert(scene_.inserted[inserter]);
        inserted_[inserter] = outcome == Outcome::kInserted;
        expect(outcome == Outcome::kInserted || outcome == Outcome::kLimit, "it is new, or there is no memory");
        process.leave();
    }

    Mapping& arena_ = fresh_arena();
    const Scene& scene_;
    std::array<std::unique_ptr<Process>, 4> processes_;

private:
    // No page is free, and no block.
    void take_all_blocks() {
        for (const auto& process : processes_) {
            as_process(process->number(), [&] { process->blocks.give_back_sources(process->slot); });
        }
        as_process(3, [this] {
            Process& last = *processes_[3];
            for (int count = 0; count < 8; ++count)
                leaves_.push_back(last.blocks.allocate(last.slot, sizeof(Leaf)).offset);
            for (int count = 0; count < 16; ++count)
                small_.push_back(last.blocks.allocate(last.slot, kSmallestBlockBytes).offset);
            for (std::uint64_t pages = 64; pages != 0; pages /= 2) {  // all in runs
                while (!is_null(last.blocks.allocate(last.slot, pages * kPageBytes).offset)) continue;
            }
            take(last, leaves_, sizeof(Leaf));
            take(last, small_, kSmallestBlockBytes);
        });
    }
    static void take(Process& process, std::vector<ArenaOffset>& blocks, std::uint64_t bytes) {
        for (;;) {
            const Allocation block = process.blocks.allocate(process.slot, bytes);
            if (is_null(block.offset)) return;
            blocks.push_back(block.offset);
        }
    }
    static void give_back(Process& process, std::vector<ArenaOffset>& blocks, std::uint64_t bytes,
                          std::size_t count) {
        for (; count != 0 && !blocks.empty(); --count, blocks.pop_back())
            process.blocks.release(process.slot, blocks.back(), bytes, 0);
    }
    static std::uint64_t bytes_beside_index(Process& process) {
        return process.blocks.usage().used_bytes - process.index.bytes(process.index.tree());
    }

    std::vector<ArenaOffset> leaves_;
    std::vector<ArenaOffset> small_;
    std::array<bool, 2> inserted_{};
    bool died_ = false;
    std::uint64_t bytes_beside_ = 0;  // used where no key is
};

// A process is killed when it has published a replacement, perhaps, and another carries that through.
class DeadPublisherModel : public LimitModel {
public:
    DeadPublisherModel() : LimitModel(kScene, 8, 16) {}
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 0) {
            insert_and_die(60 + random(80));
        } else if (number == 1) {
            idle(200);
            insert(process, 1);
        } else {
            idle(300);
            process.enter();
            expect(!is_null(process.find(kScene.first[random(3)])), "a key stays while its leaf is replaced");
            process.leave();
        }
    }

private:
    static inline const Scene kScene{{1, 5, 3}, {}, {}, {9, 11}};
};

}  // namespace

TEST_CASE("Without memory at each allocation in turn, every key can be erased, and all that it took comes back") {
    check_holds(3, make<LimitModel>(), 40'000);
}

TEST_CASE("An erase would find no replacement for its leaf, if freezing a slot did not release") {
    const Mutant mutant{"Index::copy_leaf", Kind::kChange, std::memory_order_acq_rel, std::memory_order_acquire};
    check_breaks(3, make<LimitModel>(), 50'000, mutant);
}

TEST_CASE("What a dead process has published is carried through by others as it meant it") {
    check_holds(3, make<DeadPublisherModel>(), 40'000);
}

TEST_CASE("Keys would be lost below a new node, if publishing a replacement did not release") {
    const Mutant mutant{"Index::publish_replacement", Kind::kExchangeIf, std::memory_order_acq_rel};
    check_breaks(3, make<DeadPublisherModel>(), 50'000, mutant);
}
