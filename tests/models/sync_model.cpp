// Syncs: turns that are taken from owners which still go on, checkpoints that others finish, and the files that a
// checkpoint keeps (spill/sync_turns.cpp, spill/file_table.hpp). What sync_pass.cpp and sync_finish.cpp do to files
// is done here to a folder in plain memory, step by step in the same order.
#include <map>

#include "check.hpp"
#include "spill/file_table.hpp"
#include "spill/sync_turns.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

struct Checkpoint {
    std::uint64_t seen = 0;  // of what was acknowledged
    unsigned names = 0;      // the file of that incarnation; 0: none
};

enum class Mistake : std::uint8_t { kNone, kNoLookAfterOpen, kNamedByNumberAlone, kKeptByTheLast };

template <Mistake mistake>
class SyncModel : public Model {
public:
    SyncModel() {
        header().checkpoint.store(1, std::memory_order_relaxed);
        header().sync.store(pack(SyncTurn{1}), std::memory_order_relaxed);
        file_.kept_until.store(2, std::memory_order_relaxed);
        file_.owner.store(kIdleFile, std::memory_order_relaxed);
        published_[1] = {0, incarnation_};
        name(&header().sync, "sync");
        name(&header().checkpoint, "checkpoint");
        name(&file_.kept_until, "kept_until");
    }

    void thread(unsigned number) override {
        if (number == 0) {
            run_mortal(60, [&] { sync(0); });
        } else if (number == 1) {
            sync(number);
            sync(number);
        } else {
            for (int turn = 0; turn < 4; ++turn) {  // one that frees what segments named
                idle(30);
                remove_empty();
            }
            sync(number);
        }
    }

    void after() override { sync(1); }

private:
    static constexpr int kMostTurns = 40;

    ArenaHeader& header() { return header_; }

    // The kernel's lock of a folder: what one does in it is seen by the next.
    void in_folder() { folder_.fetch_add(1, std::memory_order_acq_rel); }

    void sync(unsigned number) {
        const std::uint64_t mine = acknowledged_.fetch_add(1, std::memory_order_release) + 1;
        SyncTurns turns(header());
        const std::uint64_t enough = turns.announce();
        for (int count = 0; count < kMostTurns; ++count) {
            if (turns.checkpoint() >= enough) {
                in_folder();
                expect(published_.rbegin()->second.seen >= mine, "what was acknowledged before a sync is durable");
                return;
            }
            const SyncTurn turn = turns.now();
            if (turn.phase == SyncPhase::kNaming || turn.phase == SyncPhase::kGivingBack) {
                if (random(2) == 0) finish(turn.number);
                continue;
            }
            if (turn.phase == SyncPhase::kCopying && random(3) != 0) {
                idle(10);
                continue;
            }
            const auto begun = turns.begin(turn, in_hand(number, 1), true);
            if (!begun) continue;
            if (copy(turns, *begun)) finish(*begun);
        }
    }

    bool copy(SyncTurns& turns, std::uint64_t number) {
        idle(10);
        in_folder();
        const auto before = published_.find(turns.checkpoint());
        Checkpoint made{acknowledged_.load(std::memory_order_acquire), 0};
        if (before != published_.end() && before->second.names != 0 && random(2) == 0) {
            made.names = before->second.names;
            if (mistake == Mistake::kKeptByTheLast) {
                file_.kept_until.store(number + 1, std::memory_order_relaxed);
            } else {
                keep_for_checkpoint(file_, number);
            }
        }
        idle(10);
        if (!turns.step(number, SyncPhase::kCopying)) return false;
        in_folder();
        unpublished_[number] = made;
        if (turns.move(number, SyncPhase::kCopying, SyncPhase::kNaming)) return true;
        if (mistake == Mistake::kNamedByNumberAlone) return true;
        in_folder();
        unpublished_.erase(number);
        return false;
    }

    void finish(std::uint64_t number) {
        SyncTurns turns(header());
        idle(10);
        if (mistake == Mistake::kNamedByNumberAlone || turns.is_at(number, SyncPhase::kNaming)) {
            in_folder();
            if (const auto found = unpublished_.find(number); found != unpublished_.end()) {
                expect(published_.rbegin()->first < number, "no checkpoint is named behind a later one");
                published_[number] = found->second;
                unpublished_.erase(found);
            }
            idle(10);
            turns.move(number, SyncPhase::kNaming, SyncPhase::kGivingBack);
        }
        idle(10);
        if (!turns.is_at(number, SyncPhase::kGivingBack)) return;
        give_back(turns, number);
        remove_empty();
        in_folder();
        published_.erase(published_.begin(), published_.lower_bound(number));
        idle(10);
        turns.move(number, SyncPhase::kGivingBack, SyncPhase::kIdle);
    }

    void give_back(SyncTurns& turns, std::uint64_t number) {
        const std::uint64_t before = turns.checkpoint();
        if (before >= number) return;
        in_folder();
        const auto old = published_.find(before);
        const auto now = published_.find(number);
        if (old != published_.end() && now != published_.end() && old->second.names != now->second.names) {
            const unsigned named = old->second.names;
            idle(10);
            in_folder();
            const unsigned opened = incarnation_;
            if (mistake == Mistake::kNoLookAfterOpen || turns.was_checkpoint(before)) {
                expect(opened == named, "room is given back in the file that the checkpoint before named");
            }
        }
        idle(10);
        turns.replace_checkpoint(number);
    }

    void remove_empty() {
        if (!counts_nothing(file_, header())) return;
        std::uint64_t owner = kIdleFile;
        if (!file_.owner.compare_exchange_strong(owner, in_hand(9, 1), std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
            return;
        }
        if (counts_nothing(file_, header())) {
            in_folder();
            expect(published_.rbegin()->second.names != incarnation_, "no file goes that the checkpoint names");
            incarnation_ += 1;  // and another has made one anew under that number, with what segments name
            file_.kept_until.store(0, std::memory_order_relaxed);
            file_.live_bytes.store(64, std::memory_order_relaxed);
        }
        file_.owner.store(kIdleFile, std::memory_order_release);
    }

    ArenaHeader header_{};
    SpillFile file_{};
    Atomic<std::uint64_t> acknowledged_;
    Atomic<std::uint64_t> folder_;
    unsigned incarnation_ = 1;
    std::map<std::uint64_t, Checkpoint> unpublished_;
    std::map<std::uint64_t, Checkpoint> published_;
};

constexpr std::uint64_t kInterleavings = 60'000;

template <Mistake mistake>
void check_mistake(const char* broken) {
    const Outcome outcome = run(3, make<SyncModel<mistake>>(), kInterleavings);
    INFO(outcome.interleavings << " interleavings");
    CHECK_FALSE(outcome.passed);
    CHECK_THAT(outcome.failure, Catch::Contains(broken));
}

}  // namespace

TEST_CASE(
    "Syncs that lose their turn, die or are finished by others lose nothing, and give back what nothing names") {
    check_holds(3, make<SyncModel<Mistake::kNone>>(), kInterleavings);
}

TEST_CASE("A sync could miss what was acknowledged, if announcing did not release") {
    check_breaks(3, make<SyncModel<Mistake::kNone>>(), kInterleavings,
                 {"SyncTurns::announce", Kind::kChange, std::memory_order_acq_rel});
}

TEST_CASE("A sync could miss what was acknowledged, if beginning did not acquire") {
    check_breaks(3, make<SyncModel<Mistake::kNone>>(), kInterleavings,
                 {"SyncTurns::begin", Kind::kExchangeIf, std::memory_order_acq_rel});
}

TEST_CASE("A file could go that a checkpoint names, if replacing the one before did not release") {
    check_breaks(3, make<SyncModel<Mistake::kNone>>(), kInterleavings,
                 {"SyncTurns::replace_checkpoint", Kind::kExchangeIf, std::memory_order_acq_rel});
}

TEST_CASE("Room could be given back in another file, if a thread did not look again after it opened one") {
    check_mistake<Mistake::kNoLookAfterOpen>("room is given back in the file");
}

TEST_CASE("A checkpoint could be named behind a later one, if a sync named it after it lost its turn") {
    check_mistake<Mistake::kNamedByNumberAlone>("no checkpoint is named behind a later one");
}

TEST_CASE("A file could go that a checkpoint names, if a late sync could lower the number that it is kept until") {
    check_mistake<Mistake::kKeptByTheLast>("no file goes that the checkpoint names");
}
