// Watches and the log of changes: a sync that reads the log's end, waits, visits a chain where the log has it,
// watches its last segment and copies it, beside threads that append, link segments, and are killed or stopped
// anywhere in that (segment/watch.hpp, arena/changes.hpp). What spill/sync_pass.cpp does with a chain is done here
// to a count of records, step by step in the same order.
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
            const Allocation log = first.blocks.allocate(first.slot, 64);
            ArenaHeader& header = arena_.header();
            header.changes_at = raw(log.offset);
            header.changes_most = kLogged;
            header.changes_end.store(1, std::memory_order_relaxed);
            first.enter();
            first.insert(kKey);
            chain_ = first.find(kKey);
            // Nearly full, where a link is what counts: else few interleavings come to one.
            for (int record = 0; record < (mistake == Mistake::kLinksPassed ? 2 : 0); ++record)
                first.append(chain_, kKey);
            first.leave();
            ended_ = true;
            while (position_ == 0) sync(first);
            ended_ = false;
        });
        name(&arena_.header().changes_from, "changes_from");
        name(&arena_.header().changes_end, "changes_end");
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
                for (int turn = 0; turn < 3; ++turn) {
                    append(process);
                    if (random(4) == 0) change_another(process);
                }
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
            expect(is_unchanged(), "where nothing changes any more, a sync finds nothing to do in the end");
        });
    }

private:
    static constexpr std::uint64_t kOtherKey = 2;
    static constexpr std::uint64_t kLogged = 4;  // changes, then the log is full

    [[nodiscard]] Chain& chain() { return *arena_.at<Chain>(chain_); }
    [[nodiscard]] Segment& root() { return *arena_.at<Segment>(chain().root); }

    void append(Process& process) {
        idle(10 + random(80));
        process.enter();
        process.append(chain_, kKey);
        process.leave();
    }
    void change_another(Process& process) {
        process.enter();
        if (random(3) == 0) {
            turn_changes_off(arena_.header());  // as a drop, though nothing is dropped
        } else {
            log_change(arena_, Process::hash_of(kOtherKey));
        }
        process.leave();
    }

    // What any process can see, whether it was acknowledged or not.
    [[nodiscard]] std::uint64_t visible(Process& process) {
        process.enter();
        const std::uint64_t records = process.records_of(chain_, kKey);
        process.leave();
        return records;
    }

    [[nodiscard]] bool is_unchanged() {
        const ArenaHeader& header = arena_.header();
        const std::uint64_t end = header.changes_end.load(std::memory_order_acquire);
        return position_ != 0 && position_ == end && has_changes_since(header, position_, end);
    }
    [[nodiscard]] bool wait_for_epoch(Process& process, std::uint64_t wanted) {
        for (int turn = 0; turn < 6 && process.epochs.current() < wanted; ++turn) process.reclaim(1, true);
        return mistake == Mistake::kNoWait || process.epochs.current() >= wanted;
    }

    void sync(Process& process) {
        ArenaHeader& header = arena_.header();
        const std::uint64_t seen = visible(process);
        if (is_unchanged()) {
            expect(copied_ >= seen, "where a sync finds nothing to do, its checkpoint has all that can be seen");
            return;
        }
        const bool was_off = header.changes_from.load(std::memory_order_acquire) == 0;
        std::uint64_t end = 0;
        bool waited = wait_for_epoch(process, end_of_changes(header, process.epochs, &end));
        const bool is_delta = position_ != 0 && has_changes_since(header, position_, end);
        if (was_off && waited && header.changes_from.load(std::memory_order_acquire) == 0)
            waited = wait_for_epoch(process, turn_changes_on(header, process.epochs, &end));
        const std::uint64_t position = waited ? end : is_delta ? position_ : 0;
        bool visits = !is_delta;
        if (is_delta) {
            for (const std::uint64_t hash : changes_between(arena_, position_, end))
                visits |= hash == Process::hash_of(kKey);
        }
        std::uint64_t copied = copied_;
        if (visits) {
            process.enter();
            copied = copy(process);
            process.leave();
        }
        expect(copied >= seen, "a checkpoint has all that could be seen when its sync began");
        if (!ended_ && random(4) == 0) return;  // it fails, or loses its turn: its checkpoint is never named
        position_ = position;
        copied_ = copied;
        forget_changes_before(header, position);
    }

    std::uint64_t copy(Process& process) {
        std::uint64_t copied = 0;
        const std::uint64_t last = chain().tail.load(std::memory_order_acquire);
        for (std::uint64_t at = chain().root;;) {
            Segment& segment = *arena_.at<Segment>(at);
            if (at == last && !is_closed(segment)) watch(segment);
            const SegmentExtent extent = extent_of(segment);
            AtomicWord* frames = frames_of(arena_, extent);
            const bool settled = extent.exact || settle_claims(arena_, segment, extent, process.slots);
            std::uint64_t records = 0;
            expect(walk(frames, extent.units, [&](const std::byte*, std::uint64_t) { ++records; }),
                   "every word that is taken for a header is one");
            const bool complete = extent.exact ? records == extent.reserve.records : settled;
            if (!complete && mistake != Mistake::kOpenClaimsPassed) log_change(arena_, Process::hash_of(kKey));
            copied += records;
            const std::uint64_t next = segment.next.load(std::memory_order_acquire);
            if (at == last) {
                if (next != 0 && mistake != Mistake::kLinksPassed) log_change(arena_, Process::hash_of(kKey));
                if (next != 0) move_tail(chain(), static_cast<ArenaOffset>(last), next);
                return copied;
            }
            at = next;
        }
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    ArenaOffset chain_{};
    std::uint64_t position_ = 0;  // that the checkpoint bears
    std::uint64_t copied_ = 0;    // records that it has
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
    "It could miss a record, if it did not wait until all have left that were inside when it read the end of the "
    "log") {
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

TEST_CASE("It could miss a record, if a change were not logged") {
    check_mutant(left_out("log_change_from", Kind::kStore, std::memory_order_relaxed));
}

TEST_CASE("It could miss a record, if the log were not turned on behind its end") {
    check_mutant(left_out("turn_changes_on", Kind::kChange, std::memory_order_acq_rel));
}

TEST_CASE("It could miss a record, if who finds no bit did not come after the change that was logged") {
    check_mutant(
        {"stop_watching", Kind::kChange, std::memory_order_acq_rel, std::memory_order_relaxed, "claimable"});
}
