// Sleeping and waking: spillers, those who call them and those who wait for room (spill/calls.hpp); those who wait
// for the end of a sync (spill/sync_turns.cpp). No wait ends by its time-out here (include/arena/futex.hpp): the
// model fails where all that have not ended sleep.
#include "check.hpp"
#include "segment/layout.hpp"
#include "spill/calls.hpp"
#include "spill/sync_turns.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::chrono::milliseconds kNoMatter{1};

class FutexModel : public Model {
protected:
    FutexModel() {
        name(&header_.spill_calls, "spill_calls");
        name(&header_.spill_answers, "spill_answers");
        name(&header_.spill_waits, "spill_waits");
        name(&header_.spillers, "spillers");
        name(&header_.sync_ends, "sync_ends");
        name(&header_.sync, "sync");
    }
    ArenaHeader header_{};
};

// A spiller, as Spiller::run; one that waits for room twice, as Spiller::wait_for_room; one that has made memory
// short, calls, and then waits until the spiller has seen to that.
class SpillCallsModel : public FutexModel {
public:
    void thread(unsigned number) override {
        SpillCalls calls(header_);
        if (number == 0) {
            spill();
            return;
        }
        idle(20);
        if (number == 1) {
            for (int turn = 0; turn < 2; ++turn) {
                calls.wait(calls.ask(), kNoMatter);
                idle(10);
            }
        } else {
            short_of_memory_.store(1, std::memory_order_relaxed);
            calls.call();
            for (;;) {
                const std::uint32_t answers = header_.spill_answers.load(std::memory_order_acquire);
                if (short_of_memory_.load(std::memory_order_relaxed) == 0) break;
                calls.wait(answers, kNoMatter);
            }
        }
        if (done_.fetch_add(1, std::memory_order_acq_rel) == 1) {
            stop_.store(1, std::memory_order_release);
            calls.wake_spillers();
        }
    }

private:
    void spill() {
        listener_.serve([this] { return stop_.load(std::memory_order_acquire) != 0; },
                        [this](bool somebody_waits) {
                            if (!somebody_waits && short_of_memory_.load(std::memory_order_relaxed) == 0)
                                return kNoMatter;
                            short_of_memory_.store(0, std::memory_order_relaxed);
                            SpillCalls(header_).answer();
                            return std::chrono::milliseconds(0);
                        });
    }

    SpillCalls::Listener listener_{header_};
    Atomic<std::uint32_t> short_of_memory_;
    Atomic<std::uint32_t> done_;
    Atomic<std::uint32_t> stop_;
};

// One makes a sync, and two wait for it, or make the next one, as StoreImpl::take_sync_turn.
class SyncEndsModel : public FutexModel {
public:
    SyncEndsModel() {
        header_.checkpoint.store(1, std::memory_order_relaxed);
        header_.sync.store(pack(SyncTurn{1}), std::memory_order_relaxed);
    }

    void thread(unsigned number) override {
        SyncTurns turns(header_);
        if (number != 0) idle(20);
        const std::uint64_t enough = turns.announce();
        for (;;) {
            const std::uint32_t ends = turns.ends();
            if (turns.checkpoint() >= enough) return;
            const SyncTurn turn = turns.now();
            if (turn.phase != SyncPhase::kIdle) {
                turns.wait_for_end(ends, kNoMatter);
            } else if (const auto begun = turns.begin(turn, in_hand(number, 1), false)) {
                finish(turns, *begun, random(4) == 0);
            }
        }
    }

private:
    static void finish(SyncTurns& turns, std::uint64_t number, bool fails) {
        idle(20);
        if (fails) {
            turns.move(number, SyncPhase::kCopying, SyncPhase::kIdle);
        } else {
            turns.move(number, SyncPhase::kCopying, SyncPhase::kNaming);
            turns.move(number, SyncPhase::kNaming, SyncPhase::kGivingBack);
            turns.replace_checkpoint(number);
            turns.move(number, SyncPhase::kGivingBack, SyncPhase::kIdle);
        }
        turns.count_end();
    }
};

constexpr std::uint64_t kInterleavings = 40'000;

void check_calls_break(const Mutant& mutant) { check_breaks(3, make<SpillCallsModel>(), kInterleavings, mutant); }
void check_ends_break(const Mutant& mutant) { check_breaks(3, make<SyncEndsModel>(), kInterleavings, mutant); }

}  // namespace

TEST_CASE("Each call wakes a spiller, and each that waits for room is answered, without a time-out") {
    check_holds(3, make<SpillCallsModel>(), kInterleavings);
}

TEST_CASE("A call could be lost, if it were not counted, or did not release what is called for") {
    check_calls_break(left_out("SpillCalls::call", Kind::kChange, std::memory_order_seq_cst));
    check_calls_break({"SpillCalls::call", Kind::kChange, std::memory_order_seq_cst});
}

TEST_CASE("A call could be lost, if it saw an older count of sleepers") {
    check_calls_break({"SpillCalls::call", Kind::kLoad, std::memory_order_seq_cst});
}

TEST_CASE("A call could be lost, if a spiller did not say that it sleeps") {
    check_calls_break(left_out("Listener::sleep", Kind::kChange, std::memory_order_seq_cst));
}

TEST_CASE("A call could be lost, if a spiller did not acquire what it is called for") {
    check_calls_break({"Listener::look", Kind::kLoad, std::memory_order_seq_cst});
}

TEST_CASE("An answer could be lost, if it were not counted, or did not release what it says") {
    check_calls_break(left_out("SpillCalls::answer", Kind::kChange, std::memory_order_release));
    check_calls_break({"SpillCalls::answer", Kind::kChange, std::memory_order_release});
}

TEST_CASE("Each that waits for a sync finds out that one has ended, without a time-out") {
    check_holds(3, make<SyncEndsModel>(), kInterleavings);
}

TEST_CASE("The end of a sync could be missed, if it were not counted, or counting did not release it") {
    check_ends_break(left_out("SyncTurns::count_end", Kind::kChange, std::memory_order_release));
    check_ends_break({"SyncTurns::count_end", Kind::kChange, std::memory_order_release});
}

TEST_CASE("The end of a sync could be missed, if reading the count did not acquire it") {
    check_ends_break({"SyncTurns::ends", Kind::kLoad, std::memory_order_acquire});
}
