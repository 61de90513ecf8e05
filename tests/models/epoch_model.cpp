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
            processes_[1]->reclaim(3, false);
            replace(1, ArenaOffset::kNull);
            processes_[1]->reclaim(3, false);
        } else {
            idle(20);
            processes_[2]->reclaim(3, false);
            read(2);
            processes_[2]->reclaim(2, false);
        }
    }

    void after() override {
        processes_[1]->reclaim(4, false);
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
        process.enter();
        const auto object = static_cast<ArenaOffset>(published_.load(std::memory_order_acquire));
        for (int turn = 0; turn < 2 && !is_null(object); ++turn) {
            idle(20);
            const std::uint64_t word = arena_.at<Chain>(object)->tail.load(std::memory_order_relaxed);
            expect(word == kAlive, "an object stays while somebody inside can see it");
        }
        process.leave();
    }

    void replace(unsigned number, ArenaOffset object) {
        Process& process = *processes_[number];
        process.enter();
        const auto old = static_cast<ArenaOffset>(published_.exchange(raw(object), std::memory_order_acq_rel));
        process.epochs.retire(RetiredKind::kChain, old);
        process.leave();
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::optional<Process>, 3> processes_;
    Atomic<std::uint64_t> published_;
    ArenaOffset second_{};
};

// A drainer is stopped anywhere, while another frees what it was about to take, and moves the epoch on until the
// bucket of that list, and its tag, are those of the list that is being filled. That one is what the other still
// reads.
class StoppedDrainerModel : public Model {
public:
    StoppedDrainerModel() {
        for (unsigned number = 0; number < 2; ++number) {
            as_process(number, [&] { processes_[number].emplace(arena_); });
        }
        name(&arena_.header().epoch, "epoch");
        as_process(0, [this] {
            Process& process = *processes_[0];
            process.enter();
            process.epochs.retire(RetiredKind::kChain, make_object());
            process.leave();
            process.reclaim(2, false);  // the next one frees it
            last_ = make_object();
        });
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 1) {
            run_stopped(15, 500, [&] { process.reclaim(1, false); });
            return;
        }
        idle(15);
        process.reclaim(4 + static_cast<int>(random(3)), false);
        process.enter();
        process.epochs.retire(RetiredKind::kChain, last_);
        for (int turn = 0; turn < 3; ++turn) {
            idle(40);
            expect(arena_.at<Chain>(last_)->hash == kAlive, "an object stays while its retirer is inside");
        }
        process.leave();
    }

    void after() override {
        processes_[0]->reclaim(6, false);
        expect(!processes_[0]->epochs.has_retired(), "everything retired is freed in the end");
    }

private:
    ArenaOffset make_object() {
        Process& process = *processes_[0];
        const ArenaOffset object = process.blocks.allocate(process.slot, sizeof(Chain)).offset;
        expect(!is_null(object), "there is room");
        arena_.at<Chain>(object)->hash = kAlive;
        return object;
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::optional<Process>, 2> processes_;
    ArenaOffset last_{};
};

}  // namespace

TEST_CASE("What somebody inside can see is not freed") { check_holds(3, make<EpochModel>(), 100'000); }

TEST_CASE("It could be, if entering were not fenced") {
    const Mutant mutant{"light_fence", Kind::kFence, std::memory_order_seq_cst};
    check_breaks(3, make<EpochModel>(), 50'000, mutant);
}

TEST_CASE("It could be, if advancing were not fenced") {
    const Mutant mutant{"heavy_fence", Kind::kFence, std::memory_order_seq_cst};
    check_breaks(3, make<EpochModel>(), 300'000, mutant);
}

TEST_CASE("It could be, if retiring were not fenced") {
    const Mutant mutant{"Epochs::retire", Kind::kFence, std::memory_order_seq_cst};
    check_breaks(3, make<EpochModel>(), 50'000, mutant);
}

TEST_CASE("A drainer that was stopped takes nothing from a later list") {
    check_holds(2, make<StoppedDrainerModel>(), 40'000);
}

TEST_CASE("It would, if it did not look again, once it is inside, whether the epoch is the current one") {
    check_breaks(2, make<StoppedDrainerModel>(), 40'000,
                 left_out("Epochs::enter_current", Kind::kLoad, std::memory_order_acquire));
}
