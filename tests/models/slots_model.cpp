// The process table grows: it is full when two threads attach at once, of which one may be killed in that; a third
// moves the epoch on meanwhile, and so looks at every slot (arena/slots.cpp).
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kAlive = 0x40;  // in a chain's hash: zero once it is freed
constexpr unsigned kMover = 2;
constexpr unsigned kFiller = 3;  // has the other slot that there is memory for

class SlotsModel : public Model {
public:
    SlotsModel() {
        watch_holes(arena_.at<Slot>(kSlotsAt), kSlots / kSlotsAChunk, kSlotsAChunk * sizeof(Slot),
                    "a slot is looked at where it has memory");
        for (const unsigned number : {kMover, kFiller}) {
            as_process(number, [&] { attach(number); });
        }
        name(&arena_.header().slots_real, "slots_real");
        name(&arena_.header().slots_high_water, "slots_high_water");
        name(&published_, "published");
        as_process(kMover, [this] { published_.store(raw(make_object()), std::memory_order_relaxed); });
    }
    ~SlotsModel() override {
        if (died_) static_cast<void>(processes_[0].release());  // one that was killed ends nothing
    }

    void thread(unsigned number) override {
        if (number == 0) {
            died_ = !run_mortal(120, [this] {
                idle(60);
                attach_and_read(0);
            });
        } else if (number == 1) {
            idle(60);
            attach_and_read(1);
        } else {
            Process& mover = *processes_[kMover];
            idle(40);
            mover.enter();
            const auto old = static_cast<ArenaOffset>(published_.exchange(0, std::memory_order_acq_rel));
            mover.epochs.retire(RetiredKind::kChain, old);
            mover.leave();
            mover.reclaim(4, true);
        }
    }

    void after() override {
        as_process(kFiller, [this] {
            const ArenaHeader& header = arena_.header();
            expect(header.slots_real.load(std::memory_order_relaxed) <= 2 * kSlotsAChunk,
                   "two that grow the table at once grow it by one chunk");
            Process& last = *processes_[kFiller];
            last.slots.recover_all_dead();
            last.reclaim(4, true);
            expect(!last.epochs.has_retired(), "everything retired is freed in the end");
        });
        as_process(4, [this] {
            Process next(arena_);
            expect(next.number() == (died_ ? 3 : 4) || (died_ && next.number() == 2), "no slot is lost");
        });
    }

private:
    void attach(unsigned number) {
        processes_[number] = std::make_unique<Process>(arena_);
        const std::uint32_t before =
            owners_[processes_[number]->number()].exchange(number + 1, std::memory_order_relaxed);
        expect(before == 0 || is_dead(before - 1), "a slot has one owner");
    }

    void attach_and_read(unsigned number) {
        attach(number);
        Process& process = *processes_[number];
        process.enter();
        const auto object = static_cast<ArenaOffset>(published_.load(std::memory_order_acquire));
        for (int turn = 0; turn < 2 && !is_null(object); ++turn) {
            idle(30);
            expect(arena_.at<Chain>(object)->hash == kAlive,
                   "an object stays while a new slot's thread can see it");
        }
        process.leave();
    }

    ArenaOffset make_object() {
        Process& mover = *processes_[kMover];
        const ArenaOffset object = mover.blocks.allocate(mover.slot, sizeof(Chain)).offset;
        expect(!is_null(object), "there is room");
        arena_.at<Chain>(object)->hash = kAlive;
        return object;
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 4> processes_;
    std::array<Atomic<std::uint32_t>, kSlots> owners_;  // by slot: whose it is + 1
    Atomic<std::uint64_t> published_;
    bool died_ = false;
};

}  // namespace

TEST_CASE(
    "Two threads that grow the table of slots at once each get a slot, and every look at a slot finds memory") {
    check_holds(3, make<SlotsModel>(), 30'000);
}

TEST_CASE("A slot could be looked for where there is no memory yet, if growing did not release") {
    check_breaks(3, make<SlotsModel>(), 30'000, {"Slots::grow", Kind::kExchangeIf, std::memory_order_release});
}

TEST_CASE("A slot could be looked for where there is no memory yet, if its taker did not acquire the growth") {
    check_breaks(3, make<SlotsModel>(), 30'000, {"Slots::real_slots", Kind::kLoad, std::memory_order_acquire});
}

TEST_CASE("A thread that looks at all slots could find no memory, if the high-water mark did not release") {
    check_breaks(3, make<SlotsModel>(), 30'000, {"Slots::take_over", Kind::kExchangeIf, std::memory_order_seq_cst});
}

TEST_CASE("A thread that looks at all slots could find no memory, if it did not acquire the high-water mark") {
    check_breaks(3, make<SlotsModel>(), 30'000, {"Slots::high_water", Kind::kLoad, std::memory_order_seq_cst});
}

TEST_CASE("A slot whose thread dies could be lost, if the high-water mark did not count it") {
    check_breaks(3, make<SlotsModel>(), 30'000,
                 left_out("Slots::take_over", Kind::kExchangeIf, std::memory_order_seq_cst));
}
