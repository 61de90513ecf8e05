// Journals of spillers: two spillers take journals where there is memory, and else the spare one; they publish,
// abandon, hand on and free them; one of the two may be killed in that; a third process recovers it, and renews the
// spare one (arena/spilled_blocks.cpp, spill/batch_journal.cpp, finish_spilling).
#include "arena.hpp"
#include "check.hpp"
#include "segment/hand_over.hpp"
#include "spill/batch_journal.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr unsigned kMortal = 0;
constexpr unsigned kHelper = 2;
constexpr std::size_t kSegments = 3;
constexpr std::uint64_t kBlockBytes = 64;   // of each segment
constexpr std::uint64_t kMostLeaked = 128;  // by a death: a journal of full length

class JournalModel : public Model {
public:
    JournalModel() {
        for (unsigned number = 0; number < 4; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        const ArenaHeader& header = arena_.header();
        name(&header.spare_journal, "spare");
        watch_bits(arena_.at<AtomicWord>(header.block_bits_at), header.page_count * sizeof(AtomicWord),
                   "Blocks::release(", "a block is given back once");
        as_process(3, [this] {
            Process& last = *processes_[3];
            for (Segment*& segment : segments_) segment = make_segment(last);
            renew_spare_journal(arena_, last.blocks, last.slot);
            expect(!is_null(last.blocks.allocate(last.slot, 128).offset), "there is room");  // of a page that stays
            take_all_memory(last, 64, random(3));
            take_all_memory(last, 128, random(2));
            last.blocks.give_back_sources(last.slot);
        });
        for (const unsigned number : {0U, 1U}) {
            as_process(number, [&] { spillers_[number] = std::make_unique<Spiller>(*processes_[number]); });
        }
        as_process(3, [this] { begin_bytes_ = processes_[3]->blocks.usage().used_bytes; });
    }
    ~JournalModel() override {
        if (!died_) return;
        static_cast<void>(spillers_[kMortal].release());  // one that was killed ends nothing
        static_cast<void>(processes_[kMortal].release());
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == kMortal) {
            died_ = !run_mortal(200, [this] { spill(*spillers_[kMortal]); });
        } else if (number == 1) {
            idle(30);
            spill(*spillers_[1]);
        } else {
            for (int turn = 0; turn < 3; ++turn) {
                idle(80);
                process.slots.recover_if_dead(spillers_[kMortal]->number);
                process.reclaim(1, false);
                if (random(2) == 0) renew_spare_journal(arena_, process.blocks, process.slot);
            }
        }
    }

    void after() override {
        for (const unsigned number : {0U, 1U}) {
            if (number != kMortal || !died_) as_process(number, [&] { spillers_[number].reset(); });
        }
        as_process(kHelper, [this] {
            Process& last = *processes_[kHelper];
            last.slots.recover_all_dead();
            last.reclaim(6, true);
            expect(!last.epochs.has_retired(), "what was spilled is freed in the end");
            std::uint64_t spilled = 0;
            for (const Segment* segment : segments_) {
                spilled += extent_of(*segment).stored() ? 1 : 0;
                expect(!is_being_spilled(*segment, last.slots), "no segment stays in a hand");
            }
            const bool spare = arena_.header().spare_journal.load(std::memory_order_relaxed) != 0;
            expect(spare || died_, "the spare journal comes back");
            const std::uint64_t used = last.blocks.usage().used_bytes + (spare ? 0 : kSpareJournalBytes);
            const std::uint64_t wanted = begin_bytes_ - spilled * kBlockBytes;
            expect(used >= wanted, "nothing is free that is used");
            expect(used <= wanted + (died_ ? kMostLeaked : 0), "no journal is lost, and no block");
        });
    }

private:
    struct Spiller {
        explicit Spiller(Process& of)
            : process(of), slot(of.slots, of.epochs), journal(of.mapping, of.blocks, of.epochs, slot) {
            expect(slot.take(), "there is a slot");
            number = of.slots.number(*slot);
        }
        Process& process;
        SpillerSlot slot;
        BatchJournal journal;
        std::uint32_t number = 0;
    };

    static Segment* make_segment(Process& process) {
        const ArenaOffset segment = process.blocks.allocate(process.slot, sizeof(Segment)).offset;
        const ArenaOffset block = process.blocks.allocate(process.slot, kBlockBytes).offset;
        expect(!is_null(segment) && !is_null(block), "there is room");
        Segment& made = *process.mapping.at<Segment>(segment);
        made.block.store(raw(block), std::memory_order_relaxed);
        made.data_units = kBlockBytes / kUnitBytes;
        return &made;
    }

    // All but so many blocks of that length; no page is free.
    static void take_all_memory(Process& process, std::uint64_t bytes, std::size_t but) {
        for (std::uint64_t pages = 64; pages != 0; pages /= 2) {
            while (!is_null(process.blocks.allocate(process.slot, pages * kPageBytes).offset)) continue;
        }
        std::vector<ArenaOffset> taken;
        for (;;) {
            const ArenaOffset block = process.blocks.allocate(process.slot, bytes).offset;
            if (is_null(block)) break;
            taken.push_back(block);
        }
        for (; but != 0 && !taken.empty(); --but, taken.pop_back())
            process.blocks.release(process.slot, taken.back(), bytes, 0);
    }

    void spill(Spiller& spiller) {
        for (int turn = 0; turn < 3; ++turn) {
            if (!spiller.journal.set_up()) continue;
            if (random(4) == 0) renew_spare_journal(arena_, spiller.process.blocks, *spiller.slot);
            for (int tries = 0; tries < 2 && !spiller.journal.is_free(); ++tries) spiller.process.reclaim(1, false);
            if (spiller.journal.is_free()) {
                expect_empty(spiller);
                make_batch(spiller);
            }
            if (random(3) == 0) spiller.journal.hand_on();
        }
    }

    void expect_empty(const Spiller& spiller) const {
        const auto& journal = *arena_.at<SpilledBlocks>(spiller.slot->spilling.load(std::memory_order_relaxed));
        expect(journal.count.load(std::memory_order_relaxed) == 0 &&
                   journal.published_in.load(std::memory_order_relaxed) == 0 &&
                   journal.next_of_slot.load(std::memory_order_relaxed) == 0,
               "a journal has no entries when it is taken");
    }

    // As Batch: takes in hand, and publishes or abandons.
    void make_batch(Spiller& spiller) {
        const std::uint64_t epoch = spiller.slot.enter();
        std::array<Segment*, kSegments> items{};  // as nothing is unwound where a process is killed
        std::size_t count = 0;
        for (Segment* segment : segments_) {
            const SegmentExtent extent = extent_of(*segment);
            if (extent.stored() || spiller.journal.is_full()) continue;
            if (!take_in_hand(*segment, spiller.process.slots, *spiller.slot)) continue;
            const auto units = static_cast<std::uint32_t>(segment->data_units);
            spiller.journal.add({offset_of(*segment), extent.block, units, units});
            items[count++] = segment;
        }
        if (count != 0 && random(3) != 0) {
            const std::uint64_t place = pack(StoredAt{0, kStoredUnitBytes, kStoredUnitBytes});
            for (std::size_t at = 0; at < count; ++at) publish_spilled(*items[at], {1, 8}, place);
            spiller.journal.publish();
        } else {
            spiller.journal.abandon();
            for (std::size_t at = 0; at < count; ++at) let_go(*items[at]);
        }
        spiller.slot.leave(epoch);
    }

    [[nodiscard]] std::uint64_t offset_of(const Segment& segment) const {
        return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&segment) -
                                          arena_.at<std::byte>(std::uint64_t{0}));
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 4> processes_;
    std::array<std::unique_ptr<Spiller>, 2> spillers_;
    std::array<Segment*, kSegments> segments_{};
    std::uint64_t begin_bytes_ = 0;
    bool died_ = false;
};

constexpr std::uint64_t kInterleavings = 30'000;

void check_mutant(const Mutant& mutant) { check_breaks(3, make<JournalModel>(), kInterleavings, mutant); }

}  // namespace

TEST_CASE("A journal has one owner, none is lost, and what it names is freed once, though a spiller is killed") {
    check_holds(3, make<JournalModel>(), kInterleavings);
}

TEST_CASE("Two spillers could have the spare journal, if taking it did not take its place") {
    check_mutant(left_out("take_spare_journal", Kind::kChange, std::memory_order_acquire));
}

TEST_CASE("A spare journal could be lost, if another were put over it") {
    check_mutant(unchecked("make_spare", std::memory_order_release));
}

TEST_CASE("A spare journal could have entries of before, if giving it did not release that it has none") {
    check_mutant({"make_spare", Kind::kExchangeIf, std::memory_order_release});
}

TEST_CASE("A spare journal could have entries of before, if taking it did not acquire that it has none") {
    check_mutant({"take_spare_journal", Kind::kChange, std::memory_order_acquire});
}

TEST_CASE("What a dead spiller has spilled could be lost, if its slot did not name its journal") {
    check_mutant(left_out("name_journal", Kind::kStore, std::memory_order_release));
}

TEST_CASE("A journal could have two owners, if a slot named it beyond its end") {
    check_mutant(left_out("forget_journal", Kind::kStore, std::memory_order_release));
}

TEST_CASE("A journal of the dead could be freed twice, if its recoverer did not forget it before") {
    check_mutant(left_out("finish_spilling", Kind::kStore, std::memory_order_relaxed));
}
