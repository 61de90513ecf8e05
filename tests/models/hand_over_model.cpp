// Hand-over: a writer crosses ends, two spillers close segments, take them in hand, settle, copy and publish them,
// and one of the two is killed anywhere in that; readers take cuts (segment/hand_over.hpp, finish_spilling). What
// is "written" goes to a table beside the arena, as spill/batch.cpp has it go to a file.
#include "arena.hpp"
#include "check.hpp"
#include "segment/hand_over.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kRecords = 5;  // that the writer adds to the first one
constexpr unsigned kWriter = 0;
constexpr unsigned kMortalSpiller = 1;
constexpr unsigned kReader = 2;  // and the other spiller

class HandOverModel : public Model {
public:
    HandOverModel() {
        arena_.header().max_segment_bytes = 128;
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        for (const unsigned number : {kMortalSpiller, kReader}) {
            as_process(number, [&] { make_journal(*processes_[number]); });
        }
        as_process(kWriter, [this] {
            with_record(1, [this](const Payload& payload) {
                chain_ = static_cast<ArenaOffset>(
                    raw(make_chain(processes_[kWriter]->context(), ArenaOffset::kNull, {}, 0, payload).offset));
                forget_made_chain(processes_[kWriter]->slot);
            });
        });
        const ArenaHeader& header = arena_.header();
        watch_bits(arena_.at<AtomicWord>(header.block_bits_at), header.page_count * sizeof(AtomicWord),
                   "Blocks::release(", "a block is given back once");
    }
    ~HandOverModel() override {
        if (died_) static_cast<void>(processes_[kMortalSpiller].release());  // whoever was killed ends nothing
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == kWriter) {
            for (std::uint64_t record = 2; record <= 1 + kRecords; ++record) append(process, record);
        } else if (number == kMortalSpiller) {
            died_ = !run_mortal(120, [&] {
                idle(60);
                for (int turn = 0; turn < 2; ++turn) spill(process, true);
            });
        } else {
            for (int turn = 0; turn < 3; ++turn) {
                idle(50);
                if (random(3) == 0) process.slots.recover_if_dead(kMortalSpiller);
                if (random(3) == 0) {
                    spill(process, random(2) == 0);
                } else {
                    read(process);
                }
            }
        }
    }

    void after() override {
        as_process(kReader, [this] {
            Process& last = *processes_[kReader];
            last.slots.recover_all_dead();
            last.reclaim(5, true);
            // A full journal ends a batch, and what is left is the next one's, as in spill/pass.cpp: there are up
            // to 1 + kRecords segments where a spiller closes the tail behind each append.
            while (spill(last, true) == kSpilledBlocksEntries) {
            }
            last.enter();
            const Cut cut = take_cut(arena_, chain());
            expect(each_segment(arena_, cut,
                                [](const Segment&, const SegmentExtent& extent) { return extent.stored(); }),
                   "no segment stays in the hand of the dead: all is spilled in the end");
            last.leave();
            expect(read(last) == 1 + kRecords, "every record is there in the end");
            last.reclaim(5, true);
            expect(is_free(last), "what was spilled is freed in the end");
            expect(!last.epochs.has_retired(), "and what a dead one spilled");
        });
    }

private:
    // Plain arrays, as nothing is unwound where a process is killed.
    struct Written {
        std::array<std::uint64_t, 1 + kRecords> records{};
        std::size_t count = 0;
    };
    struct Items {
        struct Item {
            Segment* segment;
            SpilledCounts counts;
            std::uint64_t place;
        };
        std::array<Item, kSpilledBlocksEntries> all{};
        std::size_t count = 0;
    };

    [[nodiscard]] Chain& chain() const { return *arena_.at<Chain>(chain_); }

    template <class Use>
    static void with_record(std::uint64_t record, Use&& use) {
        const std::array<std::uint64_t, 2> words{record, record};
        const ByteView piece(reinterpret_cast<const std::byte*>(words.data()), sizeof words);
        use(Payload::record({&piece, 1}));
    }

    void append(Process& writer, std::uint64_t record) {
        writer.enter();
        with_record(record, [&](const Payload& payload) {
            expect(append_to(writer.context(), chain(), payload) == AppendOutcome::kAppended,
                   "an append gets through");
        });
        writer.leave();
        acknowledged_.store(record, std::memory_order_release);
    }

    static std::uint64_t record_at(const std::byte* payload, std::uint64_t bytes) {
        expect(bytes == 16, "what is visited is a record");
        const auto* words = reinterpret_cast<const AtomicWord*>(payload);
        const std::uint64_t record = words[0].load(std::memory_order_relaxed);
        expect(record != 0 && words[1].load(std::memory_order_relaxed) == record, "a record is whole");
        return record;
    }

    // How many records a cut has: 1, 2, 3, ... each from its block or from the table.
    std::uint64_t read(Process& reader) {
        const std::uint64_t least = std::max<std::uint64_t>(acknowledged_.load(std::memory_order_acquire), 1);
        reader.enter();
        std::uint64_t seen = 0;
        const auto see = [&](std::uint64_t record) {
            expect(record == ++seen, "each record is seen once, in order");
        };
        const bool sound = walk_cut(
            arena_, take_cut(arena_, chain()),
            [&](const std::byte* payload, std::uint64_t bytes) { see(record_at(payload, bytes)); },
            [&](const SegmentExtent& extent, std::uint64_t) {
                const Written& written = written_.at(stored_at(extent.block).offset / kStoredUnitBytes);
                expect(extent.reserve.records == written.count, "who sees the place sees the counts");
                for (std::size_t at = 0; at < written.count; ++at) see(written.records[at]);
            });
        expect(sound, "every word that is taken for a header is one");
        expect(seen >= least, "what was acknowledged before is in the cut");
        reader.leave();
        return seen;
    }

    // --- as spill/batch.cpp ---

    void make_journal(Process& spiller) {
        const Allocation place = spiller.blocks.allocate(spiller.slot, sizeof(SpilledBlocks));
        expect(!is_null(place.offset), "there is room for a journal");
        arena_.at<SpilledBlocks>(place.offset)->bytes = sizeof(SpilledBlocks);
        spiller.slot.spilling.store(raw(place.offset), std::memory_order_release);
    }
    [[nodiscard]] static ArenaOffset journal_at(const Process& spiller) {
        return static_cast<ArenaOffset>(spiller.slot.spilling.load(std::memory_order_relaxed));
    }

    bool is_free(Process& spiller) {
        SpilledBlocks& journal = *arena_.at<SpilledBlocks>(journal_at(spiller));
        const std::uint64_t published = journal.published_in.load(std::memory_order_relaxed);
        if (published == 0) return true;
        if (spiller.epochs.current() < published + kEpochBuckets - 1) return false;
        empty_spilled_blocks(arena_, spiller.blocks, spiller.slot, journal_at(spiller));
        journal.count.store(0, std::memory_order_release);
        journal.published_in.store(0, std::memory_order_release);
        return true;
    }

    // One batch; how many segments it has spilled.
    std::size_t spill(Process& spiller, bool with_tail) {
        for (int turn = 0; turn < 3 && !is_free(spiller); ++turn) spiller.reclaim(1, false);
        if (!is_free(spiller)) return 0;
        spiller.enter();
        Items items;
        SpilledBlocks& journal = *arena_.at<SpilledBlocks>(journal_at(spiller));
        for (std::uint64_t at = chain().root; at != 0 && items.count < journal.capacity();) {
            Segment& segment = *arena_.at<Segment>(at);
            const SegmentExtent extent = extent_of(segment);
            if (!extent.stored() && with_tail && extent.units != 0 && !is_closed(segment)) close(arena_, segment);
            if (!extent.stored() && is_closed(segment)) take(spiller, journal, segment, at, items);
            at = segment.next.load(std::memory_order_acquire);
        }
        for (std::size_t at = 0; at < items.count; ++at) {
            publish_spilled(*items.all[at].segment, items.all[at].counts, items.all[at].place);
        }
        thread_fence(std::memory_order_seq_cst);
        journal.published_in.store(spiller.epochs.current(), std::memory_order_release);
        spiller.leave();
        return items.count;
    }

    void take(Process& spiller, SpilledBlocks& journal, Segment& segment, std::uint64_t at, Items& items) {
        name(&segment.block, "block");
        const SegmentExtent extent = extent_of(segment);  // once it is closed
        if (extent.stored()) return;
        if (!take_in_hand(segment, spiller.slots, spiller.slot)) return;
        if (!settle(arena_, segment, spiller.slots)) {
            let_go(segment);
            return;
        }
        const auto units = static_cast<std::uint32_t>(segment.data_units);
        journal.entries[items.count] = {at, extent.block, units, units};
        journal.count.store(items.count + 1, std::memory_order_release);
        Written written;
        expect(walk(frames_of(arena_, extent), extent.units,
                    [&](const std::byte* payload, std::uint64_t bytes) {
                        written.records.at(written.count++) = record_at(payload, bytes);
                    }),
               "what is settled can be read");
        const std::uint64_t place = pack(StoredAt{0, written_.size() * kStoredUnitBytes, kStoredUnitBytes});
        items.all[items.count++] = {&segment, {written.count, written.count * 16}, place};
        written_.push_back(written);
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    ArenaOffset chain_{};
    Atomic<std::uint64_t> acknowledged_;
    std::vector<Written> written_;  // by place: what is in the "file"
    bool died_ = false;
};

}  // namespace

TEST_CASE("Every acknowledged record is in a cut once, while segments go to files and a spiller is killed") {
    check_holds(3, make<HandOverModel>(), 60'000);
}

TEST_CASE("It would not be, if the place did not come after the counts") {
    const Mutant mutant{"publish_spilled", Kind::kStore, std::memory_order_release, std::memory_order_relaxed,
                        "block"};
    check_breaks(3, make<HandOverModel>(), 50'000, mutant);
}

TEST_CASE("It would not be, if who reads the place did not acquire the counts") {
    const Mutant mutant{"extent_of", Kind::kLoad, std::memory_order_acquire, std::memory_order_relaxed, "block"};
    check_breaks(3, make<HandOverModel>(), 50'000, mutant);
}
