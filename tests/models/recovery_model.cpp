// Recovery: a process is killed anywhere in an operation, two others recover its slot at once, and the first of
// them may be killed in that too (arena/slots.cpp, recovery/finish.cpp).
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kOldKey = 1;
constexpr std::uint64_t kKeyOfTheLiving = 6;
constexpr std::uint64_t kNewKey = 3;

enum class Deed : std::uint8_t { kAppend, kInsert, kErase, kDrop };

class RecoveryBase : public Model {
protected:
    Mapping& arena_ = fresh_arena();

    RecoveryBase() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        Process& first = *processes_[0];
        first.enter();
        first.index.publish_first_tree(first.index.make_tree(ArenaOffset::kNull, first.slot).offset);
        forget_made(first.slot, 0);
        for (const std::uint64_t key : {kOldKey, std::uint64_t{5}}) expect(first.insert(key), "it is new");
        first.leave();
        const ArenaHeader& header = arena_.header();
        for (auto& head : arena_.header().retired) name(&head, "head");
        for (unsigned number = 0; number < 3; ++number) name(&processes_[number]->slot.draining, "draining");
        watch_bits(arena_.at<AtomicWord>(header.block_bits_at), header.page_count * sizeof(AtomicWord),
                   "Blocks::release(", "a block is given back once");
    }
    ~RecoveryBase() override {
        for (auto& process : processes_) {  // whoever was killed ends nothing
            if (process != nullptr && died_[process->number()]) static_cast<void>(process.release());
        }
    }

    void after() override {
        as_process(3, [this] { check_and_clear(); });
    }

    void do_deed(Process& process) {
        process.enter();
        switch (deed_) {
            case Deed::kAppend:
                for (int turn = 0; turn < 3; ++turn) process.append(process.find(kOldKey), kOldKey);
                break;
            case Deed::kInsert:
                process.insert(kNewKey);
                break;
            case Deed::kErase:
                process.erase(kOldKey);
                break;
            case Deed::kDrop:
                process.drop();
                break;
        }
        process.leave();
    }

    std::array<std::unique_ptr<Process>, 3> processes_;
    std::array<bool, kSlots> died_{};
    Deed deed_ = Deed::kErase;                        // of process 0
    std::uint64_t most_leaked_ = kLargestBlockBytes;  // by a death
    bool added_ = false;                              // kKeyOfTheLiving

private:
    void check_and_clear() {
        Process last(arena_);
        last.slots.recover_all_dead();
        for (std::uint32_t number = 0; number < last.slots.high_water(); ++number) {
            const Slot& slot = last.slots[number];
            expect(slot.epoch.load(std::memory_order_relaxed) == 0, "a recovered slot is in no epoch");
            expect(slot.erasing_chain.load(std::memory_order_relaxed) == 0 &&
                       slot.dropping_tree.load(std::memory_order_relaxed) == 0 &&
                       slot.replacing_leaf.load(std::memory_order_relaxed) == 0 &&
                       slot.made_chain.load(std::memory_order_relaxed) == 0 &&
                       slot.made[0].load(std::memory_order_relaxed) == 0,
                   "a recovered slot has nothing under way");
        }
        last.enter();
        check_keys(last);
        last.drop();
        last.leave();
        last.reclaim(5, true);
        expect(!last.epochs.has_retired(), "everything retired is freed in the end");
        check_memory(last);
    }

    void check_keys(const Process& last) {
        const ArenaOffset old_key = last.find(kOldKey);
        if (deed_ == Deed::kAppend || deed_ == Deed::kInsert) {
            expect(!is_null(old_key), "a key stays");
            const std::uint64_t records = last.records_of(old_key, kOldKey);
            expect(records >= 1 && (deed_ != Deed::kAppend || died_[0] || records == 4), "no record is lost");
        } else if (!died_[0]) {
            expect(is_null(old_key), "what was erased is not there");
        }
        expect(deed_ != Deed::kInsert || died_[0] || !is_null(last.find(kNewKey)), "an inserted key is there");
        expect(deed_ == Deed::kDrop || !added_ || !is_null(last.find(kKeyOfTheLiving)),
               "a key that was inserted meanwhile is there");
    }

    void check_memory(Process& last) {
        for (const auto& process : processes_) {
            if (!died_[process->number()]) process->blocks.give_back_sources(process->slot);
        }
        last.blocks.give_back_sources(last.slot);
        static_cast<void>(last.blocks.release_empty_pages(last.slot));
        const std::uint64_t slots = arena_.header().slots_real.load(std::memory_order_relaxed);
        const std::uint64_t tables = arena_.header().block_bits_at - kSlotTableBytes + slots * sizeof(Slot);
        const std::uint64_t used = last.blocks.usage().used_bytes - tables;
        const std::uint64_t needed =
            Blocks::block_bytes(sizeof(Tree)) + Blocks::block_bytes(kRootBytes) + sizeof(Leaf);
        const std::uint64_t deaths = (died_[0] ? 1 : 0) + (died_[1] ? 1 : 0);
        expect(used >= needed, "nothing is free that is used");
        expect(used <= needed + deaths * most_leaked_, "a death leaks one block");
    }
};

// Anything, anywhere.
class RecoveryModel : public RecoveryBase {
public:
    RecoveryModel() { deed_ = static_cast<Deed>(random(4)); }
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 0) {
            died_[0] = !run_mortal(300, [&] {
                do_deed(process);
                process.reclaim(4, false);
            });
        } else if (number == 1) {
            idle(200);
            died_[1] = !run_mortal(200, [&] { recover(process); });
        } else {
            idle(200);
            recover(process);
            process.enter();
            added_ = process.insert(kKeyOfTheLiving);
            process.leave();
        }
    }

private:
    static void recover(Process& process) {
        process.slots.recover_if_dead(0);
        process.slots.recover_if_dead(1);
        process.reclaim(3, true);
    }
};

// A process is killed while it frees what is retired; one recovers it, another goes on.
class ReclaimerModel : public RecoveryBase {
public:
    ReclaimerModel() {
        most_leaked_ = kSmallestBlockBytes;  // of a chain with a segment and its block
        as_process(0, [this] {
            do_deed(*processes_[0]);
            processes_[0]->reclaim(2, false);  // the next one frees the chain
        });
    }
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 0) {
            died_[0] = !run_mortal(60, [&] { process.reclaim(3, false); });
        } else if (number == 1) {
            for (int turn = 0; turn < 3; ++turn) {
                idle(20);
                process.slots.recover_if_dead(0);
            }
        } else {
            for (int turn = 0; turn < 3; ++turn) {
                idle(30);
                process.reclaim(1, false);
            }
        }
    }
};

}  // namespace

TEST_CASE("Two who recover a dead slot at once finish what it left, though one of them dies too") {
    check_holds(3, make<RecoveryModel>(), 40'000);
}

TEST_CASE("What a dead process was freeing is freed once") { check_holds(3, make<ReclaimerModel>(), 40'000); }

TEST_CASE("It could be lost, if a helper that moves the head on did not release whose the object is") {
    const Mutant mutant{"Epochs::help", Kind::kExchangeIf, std::memory_order_acq_rel, std::memory_order_relaxed,
                        "head"};
    check_breaks(3, make<ReclaimerModel>(), 50'000, mutant);
}

TEST_CASE("It could be lost, if its recoverer did not acquire that with the head") {
    const Mutant mutant{"Epochs::finish_draining", Kind::kLoad, std::memory_order_acquire,
                        std::memory_order_relaxed, "head"};
    check_breaks(3, make<ReclaimerModel>(), 50'000, mutant);
}

TEST_CASE("It could be lost, if a drainer claimed it before its slot names it") {
    check_breaks(3, make<ReclaimerModel>(), 50'000,
                 left_out("Epochs::claim_first", Kind::kStore, std::memory_order_release));
}

TEST_CASE("It could be lost, if the head moved on before a slot owns it") {
    check_breaks(3, make<ReclaimerModel>(), 50'000,
                 left_out("Epochs::help", Kind::kExchangeIf, std::memory_order_acq_rel, "draining"));
}

TEST_CASE("It could be freed twice, if a drainer claimed it whatever stands at the head by then") {
    check_breaks(3, make<ReclaimerModel>(), 50'000, unchecked("Epochs::claim_first", std::memory_order_acq_rel));
}
