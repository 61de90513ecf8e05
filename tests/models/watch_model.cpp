// Watches: a sync that says its number, waits, watches the last segment of a chain and copies it, beside threads
// that append, link segments, and are killed or stopped anywhere in that (segment/watch.hpp). What
// spill/sync_pass.cpp does with a chain is done here to a count of records, step by step in the same order.
#include "arena.hpp"
#include "check.hpp"
#include "segment/hand_over.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kKey = 1;
constexpr unsigned kMortal = 0;
constexpr unsigned kStopped = 1;
constexpr unsigned kSyncer = 2;

enum class Mistake : std::uint8_t { kNone, kNoWait, kOpenClaimsPassed, kLinksPassed };

template <Mistake mistake>
class WatchModel : public Model {
public:
    WatchModel() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        as_process(kSyncer, [this] {
            Process& first = *processes_[kSyncer];
            const Allocation tree = first.index.make_tree(ArenaOffset::kNull, first.slot);
            first.index.publish_first_tree(tree.offset);
            forget_made(first.slot, 0);
            first.enter();
            first.insert(kKey);
            chain_ = first.find(kKey);
            first.leave();
        });
        name(&arena_.header().unchanged_since, "unchanged_since");
        name(&root().claimable, "claimable");
        name(&root().reserve, "reserve");
    }
    ~WatchModel() override {
        if (died_) static_cast<void>(processes_[kMortal].release());  // a killed process ends nothing
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == kMortal) {
            died_ = !run_mortal(80, [&] {
                for (int turn = 0; turn < 3; ++turn) append(process);
            });
        } else if (number == kStopped) {
            run_stopped(80, 120, [&] {
                for (int turn = 0; turn < 3; ++turn) append(process);
            });
        } else {
            for (int turn = 0; turn < 4; ++turn) {
                idle(20);
                sync(process);
            }
        }
    }

    void after() override {
        as_process(kSyncer, [this] {
            Process& last = *processes_[kSyncer];
            last.slots.recover_all_dead();
            ended_ = true;
            for (int turn = 0; turn < 3; ++turn) sync(last);
            expect(arena_.header().unchanged_since.load(std::memory_order_relaxed) == checkpoint_,
                   "where nothing changes any more, a sync finds nothing to do in the end");
        });
    }

private:
    [[nodiscard]] Chain& chain() { return *arena_.at<Chain>(chain_); }
    [[nodiscard]] Segment& root() { return *arena_.at<Segment>(chain().root); }

    void append(Process& process) {
        idle(10 + random(80));
        process.enter();
        process.append(chain_, kKey);
        process.leave();
    }

    // What anybody can see, whether it was acknowledged or not.
    [[nodiscard]] std::uint64_t visible(Process& process) {
        process.enter();
        const std::uint64_t records = process.records_of(chain_, kKey);
        process.leave();
        return records;
    }

    void sync(Process& process) {
        ArenaHeader& header = arena_.header();
        const std::uint64_t seen = visible(process);
        if (header.unchanged_since.load(std::memory_order_acquire) == checkpoint_ && checkpoint_ != 0) {
            expect(copied_ >= seen, "where a sync finds nothing to do, its checkpoint has all that can be seen");
            return;
        }
        const std::uint64_t number = ++numbers_;
        const std::uint64_t wanted = say_number(header, number, process.epochs);
        for (int turn = 0; turn < 6 && process.epochs.current() < wanted; ++turn) process.reclaim(1, true);
        bool watches = mistake == Mistake::kNoWait || process.epochs.current() >= wanted;
        process.enter();
        const std::uint64_t copied = copy(process, &watches);
        process.leave();
        if (!watches) say_changed(header);
        if (!ended_ && random(4) == 0)
            return;  // it fails, or loses its turn: no checkpoint of that number is ever named
        checkpoint_ = number;
        copied_ = copied;
    }

    std::uint64_t copy(Process& process, bool* watches) {
        std::uint64_t copied = 0;
        const std::uint64_t last = chain().tail.load(std::memory_order_acquire);
        for (std::uint64_t at = chain().root;;) {
            Segment& segment = *arena_.at<Segment>(at);
            if (*watches && at == last && !is_closed(segment)) watch(segment);
            const SegmentExtent extent = extent_of(segment);
            AtomicWord* frames = frames_of(arena_, extent);
            const bool settled = extent.exact || settle_claims(arena_, segment, extent, process.slots);
            std::uint64_t records = 0;
            expect(walk(frames, extent.units, [&](const std::byte*, std::uint64_t) { ++records; }),
                   "every word that is taken for a header is one");
            const bool complete = extent.exact ? records == extent.reserve.records : settled;
            if (!complete && mistake != Mistake::kOpenClaimsPassed) *watches = false;
            copied += records;
            const std::uint64_t next = segment.next.load(std::memory_order_acquire);
            if (at == last) {
                if (next != 0 && mistake != Mistake::kLinksPassed) *watches = false;
                if (next != 0) {
                    if (!*watches) say_changed(arena_.header());
                    move_tail(chain(), static_cast<ArenaOffset>(last), next);
                }
                return copied;
            }
            at = next;
        }
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    ArenaOffset chain_{};
    std::uint64_t numbers_ = 0;
    std::uint64_t checkpoint_ = 0;
    std::uint64_t copied_ = 0;
    bool died_ = false;
    bool ended_ = false;  // from here on no sync fails
};

constexpr std::uint64_t kInterleavings = 60'000;

template <Mistake mistake>
void check_mistake() {
    const Outcome outcome = run(3, make<WatchModel<mistake>>(), 4 * kInterleavings);
    INFO(outcome.interleavings << " interleavings");
    CHECK_FALSE(outcome.passed);
}

void check_mutant(const Mutant& mutant) {
    check_breaks(3, make<WatchModel<Mistake::kNone>>(), 4 * kInterleavings, mutant);
}

}  // namespace

TEST_CASE(
    "A sync that finds nothing to do misses nothing, though a thread that appends is killed and one stopped") {
    check_holds(3, make<WatchModel<Mistake::kNone>>(), kInterleavings);
}

TEST_CASE(
    "It could miss a record, if it did not wait until all have left that were inside when it said its number") {
    check_mistake<Mistake::kNoWait>();
}

TEST_CASE("It could miss a record, if a claim that it has seen and that is open were no change to it") {
    check_mistake<Mistake::kOpenClaimsPassed>();
}

TEST_CASE("It could miss a record, if a segment behind the last that it has seen were no change to it") {
    check_mistake<Mistake::kLinksPassed>();
}

TEST_CASE("It could miss a record, if a claim did not come before the second look at the bit") {
    check_mutant(
        {"claim_and_write", Kind::kLoad, std::memory_order_seq_cst, std::memory_order_relaxed, "claimable"});
}

TEST_CASE("It could miss a record, if the bit did not come before its look at the claims") {
    check_mutant({"watch", Kind::kLoad, std::memory_order_seq_cst, std::memory_order_relaxed, "reserve"});
}

TEST_CASE("It could miss a record, if watching were not begun") {
    check_mutant(left_out("watch", Kind::kChange, std::memory_order_seq_cst));
}

TEST_CASE("It could miss a record, if a change were not said") {
    check_mutant(left_out("say_changed", Kind::kStore, std::memory_order_relaxed));
}

TEST_CASE("It could miss a record, if who finds no bit did not come after the change that was said") {
    check_mutant(
        {"stop_watching", Kind::kChange, std::memory_order_acq_rel, std::memory_order_relaxed, "claimable"});
}
