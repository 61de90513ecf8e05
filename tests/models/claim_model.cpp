// Claim, commit, hole: two writers in one segment, and one who reads it meanwhile (segment/claim.hpp, walk.hpp).
//
// Every payload word looks like the header of an empty record: a reader that takes one for a header sees it.
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint32_t kUnits = 9;  // three records
constexpr std::uint64_t kRecordWords = 2;
constexpr std::uint64_t kBegunAfterFirst = 4;  // record number 1 was acknowledged before

constexpr std::uint64_t word_of(std::uint64_t record) noexcept { return record << 32 | committed_header(0); }

class ClaimModel : public Model {
public:
    ClaimModel() {
        Blocks blocks(arena_);
        const Allocation place = blocks.allocate(slots_[2], sizeof(Segment));
        const Allocation block = blocks.allocate(slots_[2], kUnits * kUnitBytes);
        segment_at_ = place.offset;
        segment_ = arena_.at<Segment>(place.offset);
        segment_->block.store(raw(block.offset), std::memory_order_relaxed);
        segment_->claimable.store(kUnits, std::memory_order_relaxed);
        segment_->data_units = kUnits;
        name(&segment_->reserve, "reserve");
    }

    void thread(unsigned number) override {
        if (number == 0) {
            append(0, 1);
            acknowledged_.store(1, std::memory_order_release);
            append(0, 3);
        } else if (number == 1) {
            const bool first_is_in = acknowledged_.load(std::memory_order_acquire) == 1;
            append(1, first_is_in ? kBegunAfterFirst : 2);
        } else {
            idle(20);
            read();
        }
    }

    void after() override {
        read();
        expect(seen_ == 0b01110 || seen_ == 0b11010, "every record is there in the end");
    }

private:
    static constexpr std::uint64_t kHash = 1;

    void append(std::uint32_t writer, std::uint64_t record) {
        const std::array<std::uint64_t, kRecordWords> words{word_of(record), word_of(record)};
        const ByteView piece(reinterpret_cast<const std::byte*>(words.data()), sizeof words);
        const ClaimOutcome outcome = claim_and_write(arena_, *segment_, segment_at_, Payload::record({&piece, 1}),
                                                     slots_[writer], writer, kHash);
        expect(outcome == ClaimOutcome::kWritten, "all records fit");
    }

    void read() {
        seen_ = 0;
        const bool first_is_in = acknowledged_.load(std::memory_order_acquire) == 1;
        const SegmentExtent extent = extent_of(*segment_);
        const AtomicWord* frames = frame_at(arena_, segment_->block.load(std::memory_order_relaxed), 0);
        const bool sound = walk(frames, extent.units, [&](const std::byte* payload, std::uint64_t bytes) {
            expect(bytes == kRecordWords * 8, "what is visited is a record");
            const auto* words = reinterpret_cast<const AtomicWord*>(payload);
            const std::uint64_t record = words[0].load(std::memory_order_relaxed) >> 32;
            for (std::uint64_t at = 0; at < kRecordWords; ++at) {
                expect(record != 0 && words[at].load(std::memory_order_relaxed) == word_of(record),
                       "a committed record is whole");
            }
            expect(record != 3 || (seen_ & 2) != 0, "a writer's records come in its order");
            seen_ |= 1U << record;
        });
        expect(sound, "every word that is taken for a header is one");
        expect(!first_is_in || (seen_ & 2) != 0, "what was acknowledged before is in the cut");
        expect((seen_ & 1U << kBegunAfterFirst) == 0 || (seen_ & 2) != 0,
               "no record is in the cut without those acknowledged before it was begun");
    }

    Mapping& arena_ = fresh_arena();
    Slot* slots_ = arena_.at<Slot>(arena_.header().slots_at);
    Segment* segment_ = nullptr;
    ArenaOffset segment_at_{};
    Atomic<std::uint64_t> acknowledged_;
    unsigned seen_ = 0;  // by the last read
};

}  // namespace

TEST_CASE("Readers beside two writers see whole records, every acknowledged one, in order") {
    check_holds(3, make<ClaimModel>(), 100'000);
}

TEST_CASE("They would not, if a commit did not release") {
    const Mutant mutant{"write_claim", Kind::kStore, std::memory_order_release};
    check_breaks(3, make<ClaimModel>(), 50'000, mutant);
}

TEST_CASE("They would not, if the claimed header were not fenced from the payload") {
    const Mutant mutant{"write_claim", Kind::kFence, std::memory_order_release};
    check_breaks(3, make<ClaimModel>(), 50'000, mutant);
}

TEST_CASE("They would not, if the second look at a hole were not fenced from the first") {
    const Mutant mutant{"find_header", Kind::kFence, std::memory_order_acquire};
    check_breaks(3, make<ClaimModel>(), 50'000, mutant);
}

TEST_CASE("They would not, if a claim did not release what was acknowledged before it") {
    const Mutant mutant{"claim_and_write", Kind::kChange, std::memory_order_seq_cst};
    check_breaks(3, make<ClaimModel>(), 50'000, mutant);
}
