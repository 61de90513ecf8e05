// Tail hand-over: two writers whose records close segments, link next ones and move the tail, and one who takes
// cuts (chain/chain.cpp).
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kRecordWords = 2;  // two records a segment: the third closes it

class TailModel : public Model {
public:
    TailModel() {
        as_process(0, [this] { processes_[0].emplace(arena_); });
        as_process(1, [this] { processes_[1].emplace(arena_); });
        with_record(1, [this](const Payload& payload) {
            chain_ =
                arena_.at<Chain>(make_chain(processes_[0]->context(), ArenaOffset::kNull, {}, 0, payload).offset);
        });
        name(&chain_->tail, "tail");
    }

    void thread(unsigned number) override {
        if (number == 0) {
            append(0, 2);
            acknowledged_.store(1, std::memory_order_release);
            append(0, 3);
        } else if (number == 1) {
            const bool second_is_in = acknowledged_.load(std::memory_order_acquire) == 1;
            append(1, second_is_in ? 6 : 4);
            append(1, second_is_in ? 7 : 5);
        } else {
            idle(60);
            read();
        }
    }

    void after() override {
        read();
        expect(seen_ == 0b00111110 || seen_ == 0b11001110, "every record is there in the end");
    }

private:
    template <class Use>
    void with_record(std::uint64_t record, Use&& use) {
        const std::array<std::uint64_t, kRecordWords> words{record, record};
        const ByteView piece(reinterpret_cast<const std::byte*>(words.data()), sizeof words);
        use(Payload::record({&piece, 1}));
    }

    void append(std::uint32_t writer, std::uint64_t record) {
        with_record(record, [&](const Payload& payload) {
            expect(append_to(processes_[writer]->context(), *chain_, payload) == AppendOutcome::kAppended,
                   "an append gets through");
        });
    }

    void read() {
        seen_ = 0;
        const bool second_is_in = acknowledged_.load(std::memory_order_acquire) == 1;
        const Cut cut = take_cut(arena_, *chain_);
        expect(!is_null(cut.root), "the chain is not erased");
        const auto stored = [](const SegmentExtent&, std::uint64_t) { expect(false, "nothing is spilled"); };
        const auto visit = [&](const std::byte* payload, std::uint64_t bytes) {
            expect(bytes == kRecordWords * 8, "what is visited is a record");
            const auto* words = reinterpret_cast<const AtomicWord*>(payload);
            const std::uint64_t record = words[0].load(std::memory_order_relaxed);
            expect(record != 0 && words[1].load(std::memory_order_relaxed) == record, "a record is whole");
            expect((seen_ & 1U << record) == 0, "a record is seen once");
            seen_ |= 1U << record;
            expect(has(1), "the first comes first");
            expect((record != 3 || has(2)) && (record != 5 || has(4)) && (record != 7 || has(6)),
                   "a writer's records come in its order");
        };
        const bool sound = walk_cut(arena_, cut, visit, stored);
        expect(sound, "every word that is taken for a header is one");
        expect(!second_is_in || has(2), "what was acknowledged before is in the cut");
        expect(!has(6) || has(2), "no record is in the cut without those acknowledged before it was begun");
    }

    [[nodiscard]] bool has(unsigned record) const { return (seen_ & 1U << record) != 0; }

    Mapping& arena_ = fresh_arena();
    std::array<std::optional<Process>, 2> processes_;
    Chain* chain_ = nullptr;
    Atomic<std::uint64_t> acknowledged_;
    unsigned seen_ = 0;  // by the last read, a bit a record
};

}  // namespace

TEST_CASE("A cut has every acknowledged record, while two writers hand the tail on") {
    check_holds(3, make<TailModel>(), 100'000);
}

TEST_CASE("It would not, if moving the tail did not release") {
    const Mutant mutant{"move_tail", Kind::kExchangeIf, std::memory_order_acq_rel, std::memory_order_relaxed,
                        "tail"};
    check_breaks(3, make<TailModel>(), 50'000, mutant);
}

TEST_CASE("It would not, if reading the tail did not acquire") {
    const Mutant mutant{"take_cut", Kind::kLoad, std::memory_order_acquire, std::memory_order_relaxed, "tail"};
    check_breaks(3, make<TailModel>(), 50'000, mutant);
}
