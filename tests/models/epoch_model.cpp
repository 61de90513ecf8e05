// Epochs: what a reader inside can see is not freed, though two others retire and reclaim (arena/epoch.cpp).
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kAlive = 0x40;  // in a chain's tail: zero once it is freed

class EpochModel : public Model {
public:
    EpochModel() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number].emplace(arena_); });
        }
        published_.store(raw(make_object(1)), std::memory_order_relaxed);
        second_ = make_object(1);
        name(&published_, "published");
        name(&arena_.header().epoch, "epoch");
    }

    void thread(unsigned number) override {
        if (number == 0) {
            for (int turn = 0; turn < 2; ++turn) {
                idle(10);
                read(0);
            }
        } else if (number == 1) {
            idle(10);
            replace(1, second_);
            reclaim(1, 3);
            replace(1, ArenaOffset::kNull);
            reclaim(1, 3);
        } else {
            idle(20);
            reclaim(2, 3);
            read(2);
            reclaim(2, 2);
        }
    }

    void after() override {
        reclaim(1, 4);
        expect(!processes_[1]->epochs.has_retired(), "everything retired is freed in the end");
    }

private:
    ArenaOffset make_object(unsigned number) {
        Process& process = *processes_[number];
        const ArenaOffset object = process.blocks.allocate(process.slot, sizeof(Chain)).offset;
        expect(!is_null(object), "there is room");
        arena_.at<Chain>(object)->tail.store(kAlive, std::memory_order_relaxed);
        return object;
    }

    void read(unsigned number) {
        Process& process = *processes_[number];
        expect(process.epochs.enter(process.slot), "the store is not destroyed");
        const auto object = static_cast<ArenaOffset>(published_.load(std::memory_order_acquire));
        for (int turn = 0; turn < 2 && !is_null(object); ++turn) {
            idle(20);
            const std::uint64_t word = arena_.at<Chain>(object)->tail.load(std::memory_order_relaxed);
            expect(word == kAlive, "an object stays while somebody inside can see it");
        }
        process.epochs.leave(process.slot);
    }

    void replace(unsigned number, ArenaOffset object) {
        Process& process = *processes_[number];
        expect(process.epochs.enter(process.slot), "the store is not destroyed");
        const auto old = static_cast<ArenaOffset>(published_.exchange(raw(object), std::memory_order_acq_rel));
        process.epochs.retire(RetiredKind::kChain, old);
        process.epochs.leave(process.slot);
    }

    void reclaim(unsigned number, int turns) {
        Process& process = *processes_[number];
        for (int turn = 0; turn < turns; ++turn) static_cast<void>(process.epochs.reclaim(process.slot, false));
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::optional<Process>, 3> processes_;
    Atomic<std::uint64_t> published_;
    ArenaOffset second_{};
};

}  // namespace

TEST_CASE("What somebody inside can see is not freed") { check_holds(3, make<EpochModel>(), 100'000); }

TEST_CASE("It could be, if entering were not fenced") {
    const Mutant mutant{"Epochs::enter", Kind::kFence, std::memory_order_seq_cst};
    check_breaks(3, make<EpochModel>(), 50'000, mutant);
}

TEST_CASE("It could be, if advancing were not fenced") {
    const Mutant mutant{"Epochs::advance", Kind::kFence, std::memory_order_seq_cst};
    check_breaks(3, make<EpochModel>(), 50'000, mutant);
}

TEST_CASE("It could be, if retiring were not fenced") {
    const Mutant mutant{"Epochs::retire", Kind::kFence, std::memory_order_seq_cst};
    check_breaks(3, make<EpochModel>(), 50'000, mutant);
}
