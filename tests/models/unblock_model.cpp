// Unblocking: a writer is killed in a segment, and its hole or claimed frame becomes padding while another writes
// on (segment/unblock.hpp, finish_claims).
#include "arena.hpp"
#include "check.hpp"
#include "segment/unblock.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kKey = 1;

// `kDying`: the writer that is killed, 0 or 1. The other one claims as its slot does (segment/claim.hpp): slot 0
// adds, slot 1 exchanges.
template <unsigned kDying>
class UnblockModel : public Model {
public:
    UnblockModel() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        Process& first = *processes_[0];
        first.enter();
        first.index.publish_first_tree(first.index.make_tree(ArenaOffset::kNull, first.slot).offset);
        forget_made(first.slot, 0);
        expect(first.insert(kKey), "it is new");
        chain_ = first.find(kKey);
        first.leave();
    }
    ~UnblockModel() override {
        if (died_) static_cast<void>(processes_[kDying].release());  // whoever was killed ends nothing
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == kDying) {
            died_ = !run_mortal(20, [&] { append(process, 1); });
        } else if (number < 2) {
            append(process, 2);
        } else {
            for (int turn = 0; turn < 2; ++turn) {
                idle(30);
                process.slots.recover_if_dead(kDying);
            }
        }
    }

    void after() override {
        Process& last = *processes_[2];
        last.slots.recover_if_dead(kDying);
        last.enter();
        const std::uint64_t records = last.records_of(chain_, kKey);
        expect(records >= 3 && (died_ || records == 4), "no record of the living is lost");
        const Segment& segment =
            *arena_.at<Segment>(arena_.at<Chain>(chain_)->tail.load(std::memory_order_relaxed));
        const bool sound = walk_headers(
            frame_at(arena_, segment.block.load(std::memory_order_relaxed), 0), extent_of(segment).units,
            [](const AtomicWord&, std::uint64_t header, std::uint64_t) {
                expect(frame_state(header) != FrameState::kClaimed, "a dead writer's claim is padding");
            });
        expect(sound, "every word that is taken for a header is one");
        last.leave();
    }

private:
    void append(Process& process, int records) const {
        process.enter();
        for (; records > 0; --records) process.append(chain_, kKey);
        process.leave();
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    ArenaOffset chain_{};
    bool died_ = false;
};

}  // namespace

TEST_CASE("Padding what a dead writer left takes no record of the living") {
    check_holds(3, make<UnblockModel<0>>(), 60'000);
    check_holds(3, make<UnblockModel<1>>(), 30'000);
}

TEST_CASE("It could, if a claim did not come after what says who claims") {
    const Mutant adding{"claim_and_write", Kind::kChange, std::memory_order_seq_cst};
    check_breaks(3, make<UnblockModel<1>>(), 50'000, adding);
    const Mutant exchanging{"add_unless_closed", Kind::kExchangeIf, std::memory_order_seq_cst};
    check_breaks(3, make<UnblockModel<0>>(), 50'000, exchanging);
}

TEST_CASE("It could, if who looks for writers did not acquire what those wrote that have left") {
    const Mutant mutant{"Slots::anyone_writes_to", Kind::kLoad, std::memory_order_seq_cst};
    check_breaks(3, make<UnblockModel<0>>(), 50'000, mutant);
}
