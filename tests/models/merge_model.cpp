// Merges: a writer moves the tail on and may erase the chain; two mergers hand closed segments over to "files" and
// put one segment in the place of two, and one of the two is killed anywhere in that; readers take cuts
// (chain/merge.hpp, finish_spilling). What is "written" goes to a table beside the arena, as spill/merger.cpp has
// it go to a file.
#include <deque>

#include "arena.hpp"
#include "chain/merge.hpp"
#include "check.hpp"
#include "spill/batch_journal.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kBefore = 4;   // records that are there, each in a segment; all but the last are stored
constexpr std::uint64_t kRecords = 6;  // with those that the writer adds
constexpr unsigned kWriter = 0;
constexpr unsigned kMortal = 1;
constexpr unsigned kReader = 2;             // and the other merger
constexpr std::uint64_t kMostLeaked = 256;  // by a death: the largest block

// With `waits` a run is replaced two epochs after it was chosen (merge I5).
template <bool waits>
class MergeModel : public Model {
public:
    MergeModel() {
        arena_.header().max_segment_bytes = 128;
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        name(&arena_.header().merger, "merger");
        name(&arena_.header().merges, "merges");
        const ArenaHeader& header = arena_.header();
        watch_bits(arena_.at<AtomicWord>(header.block_bits_at), header.page_count * sizeof(AtomicWord),
                   "Blocks::release(", "a block is given back once");
        for (const unsigned number : {kMortal, kReader}) {
            as_process(number, [&] { mergers_[number] = std::make_unique<Merging>(*processes_[number]); });
        }
        as_process(kReader, [this] {
            for (const unsigned number : {kMortal, kReader})
                processes_[number]->blocks.give_back_sources(processes_[number]->slot);
            begin_bytes_ = processes_[kReader]->blocks.usage().used_bytes;
        });
        as_process(kWriter, [this] {
            Process& writer = *processes_[kWriter];
            with_record(1, [&](const Payload& payload) {
                chain_ = static_cast<ArenaOffset>(
                    raw(make_chain(writer.context(), ArenaOffset::kNull, {}, 0, payload).offset));
                forget_made_chain(writer.slot);
            });
            for (std::uint64_t record = 2; record <= kBefore; ++record) append(writer, record);
        });
        as_process(kReader, [this] { spill(*mergers_[kReader]); });
    }
    ~MergeModel() override {
        if (!died_) return;
        static_cast<void>(mergers_[kMortal].release());  // one that was killed ends nothing
        static_cast<void>(processes_[kMortal].release());
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == kWriter) {
            for (std::uint64_t record = kBefore + 1; record <= kRecords; ++record) {
                idle(40);
                append(process, record);
            }
            if (random(3) == 0) erase(process);
        } else if (number == kMortal) {
            Merging& merging = *mergers_[kMortal];
            const auto work = [&] {
                idle(40);
                for (int turn = 0; turn < 2; ++turn) {
                    if (random(2) == 0) spill(merging);
                    merge(merging);
                }
            };
            if (waits) {
                died_ = !run_mortal(400, work);
            } else {
                work();
            }
        } else {
            for (int turn = 0; turn < 4; ++turn) {
                idle(40);
                if (random(3) == 0) process.slots.recover_if_dead(mergers_[kMortal]->number);
                switch (random(4)) {
                    case 0:
                        merge(*mergers_[kReader]);
                        break;
                    case 1:
                        spill(*mergers_[kReader]);
                        break;
                    default:
                        read(process);
                }
            }
        }
    }

    void after() override {
        if (!died_) as_process(kMortal, [this] { mergers_[kMortal].reset(); });
        as_process(kReader, [this] {
            Process& last = *processes_[kReader];
            last.slots.recover_all_dead();
            last.reclaim(6, true);
            if (!erased_) expect(read(last) == kRecords, "every record is there in the end");
            merge(*mergers_[kReader]);  // a dead merger has left its turn
            if (!erased_) expect(read(last) == kRecords, "and so when it is merged on");
            if (!erased_) erase(last);
            mergers_[kReader].reset();
            last.reclaim(6, true);
            expect(!last.epochs.has_retired(), "all is freed in the end");
            for (Process* process : {processes_[kWriter].get(), &last})
                process->blocks.give_back_sources(process->slot);
            expect(last.blocks.usage().used_bytes <= begin_bytes_ + (died_ ? kMostLeaked : 0),
                   "no descriptor is lost, and no block");
        });
    }

private:
    struct Merging {
        explicit Merging(Process& of)
            : process(of),
              slot(of.slots, of.epochs),
              spilled(of.mapping, of.blocks, of.epochs, slot),
              merged(of.mapping, of.blocks, of.epochs, slot) {
            expect(slot.take(), "there is a slot");
            number = of.slots.number(*slot);
        }
        Process& process;
        SpillerSlot slot;
        BatchJournal spilled;
        BatchJournal merged;
        std::uint32_t number = 0;
    };
    // Plain arrays, as nothing is unwound where a process is killed.
    struct Written {
        std::array<std::uint64_t, kRecords> records{};
        std::size_t count = 0;
    };

    [[nodiscard]] Chain& chain() const { return *arena_.at<Chain>(chain_); }

    template <class Use>
    static void with_record(std::uint64_t record, Use&& use) {
        const std::array<std::uint64_t, 2> words{record, record};
        const ByteView piece(reinterpret_cast<const std::byte*>(words.data()), sizeof words);
        use(Payload::record({&piece, 1}));
    }

    // Into a segment of its own: it closes the one before.
    void append(Process& writer, std::uint64_t record) {
        writer.enter();
        close(arena_, *arena_.at<Segment>(chain().tail.load(std::memory_order_acquire)));
        with_record(record, [&](const Payload& payload) {
            expect(append_to(writer.context(), chain(), payload) == AppendOutcome::kAppended,
                   "an append gets through");
        });
        writer.leave();
        acknowledged_.store(record, std::memory_order_release);
    }

    void erase(Process& eraser) {
        eraser.enter();
        expect(mark_erased(eraser.context(), chain()), "one erases");
        erased_ = true;
        gone_.store(1, std::memory_order_release);
        eraser.epochs.retire(RetiredKind::kChain, chain_);
        eraser.leave();
    }

    static std::uint64_t record_at(const std::byte* payload, std::uint64_t bytes) {
        expect(bytes == 16, "what is visited is a record");
        const auto* words = reinterpret_cast<const AtomicWord*>(payload);
        return words[0].load(std::memory_order_relaxed);
    }

    // How many records a cut has: 1, 2, 3, ... each from its block or from the table.
    std::uint64_t read(Process& reader) {
        const std::uint64_t least = acknowledged_.load(std::memory_order_acquire);
        reader.enter();
        if (gone_.load(std::memory_order_acquire) != 0) {  // as one that does not find it in the index
            reader.leave();
            return 0;
        }
        const Cut cut = take_cut(arena_, chain());
        std::uint64_t seen = 0;
        if (!is_null(cut.root)) {
            idle(random(3) == 0 ? 700 : 40);  // the others may append, spill and merge meanwhile
            const auto see = [&](std::uint64_t record) {
                expect(record == ++seen, "each record is seen once, in order");
            };
            const bool sound = walk_cut(
                arena_, cut, [&](const std::byte* payload, std::uint64_t bytes) { see(record_at(payload, bytes)); },
                [&](const SegmentExtent& extent, std::uint64_t ordinal) {
                    const Written& written = written_.at(stored_at(extent.block).offset / kStoredUnitBytes);
                    expect(extent.reserve.records == written.count, "who sees the place sees the counts");
                    expect(ordinal + 1 == written.records[0], "ordinals stay");
                    for (std::size_t at = 0; at < written.count; ++at) see(written.records[at]);
                });
            expect(sound, "the cut's tail is reached");
            expect(seen >= least, "what was acknowledged before is in the cut");
        }
        reader.leave();
        return seen;
    }

    std::uint64_t write(const Written& written) {
        const std::uint64_t place = pack(StoredAt{0, written_.size() * kStoredUnitBytes, kStoredUnitBytes});
        written_.push_back(written);
        return place;
    }

    [[nodiscard]] static bool make_free(Merging& merging, BatchJournal& journal) {
        if (!journal.set_up()) return false;
        for (int turn = 0; turn < 3 && !journal.is_free(); ++turn) merging.process.reclaim(1, false);
        return journal.is_free();
    }

    // As spill/batch.cpp: what is closed and before the tail.
    void spill(Merging& merging) {
        if (!make_free(merging, merging.spilled)) return;
        const std::uint64_t epoch = merging.slot.enter();
        expect(epoch != 0, "the store is not destroyed");
        std::array<std::pair<Segment*, std::uint64_t>, kSpilledBlocksEntries> items{};
        std::size_t count = 0;
        const std::uint64_t tail = chain().tail.load(std::memory_order_acquire);
        const bool gone = gone_.load(std::memory_order_acquire) != 0;
        for (std::uint64_t at = chain().root;
             !gone && at != tail && count < items.size() && !merging.spilled.is_full();) {
            Segment& segment = *arena_.at<Segment>(at);
            const SegmentExtent extent = extent_of(segment);
            if (!extent.stored() && take_in_hand(segment, merging.process.slots, *merging.slot)) {
                if (extent_of(segment).stored() || !settle(arena_, segment, merging.process.slots)) {
                    let_go(segment);
                } else {
                    const auto units = static_cast<std::uint32_t>(segment.data_units);
                    merging.spilled.add({at, extent.block, units, units});
                    Written written;
                    expect(walk(frames_of(arena_, extent), extent.units,
                                [&](const std::byte* payload, std::uint64_t bytes) {
                                    written.records.at(written.count++) = record_at(payload, bytes);
                                }),
                           "what is settled can be read");
                    items.at(count++) = {&segment, write(written)};
                }
            }
            at = segment.next.load(std::memory_order_acquire);
        }
        for (std::size_t at = 0; at < count; ++at)
            publish_spilled(*items.at(at).first, {1, 16}, items.at(at).second);
        if (count != 0) merging.spilled.publish();
        merging.slot.leave(epoch);
    }

    // As spill/merger.cpp: two neighbours behind the first segment.
    void merge(Merging& merging) {
        if (!make_free(merging, merging.merged) || merging.merged.room() < 3) return;
        Process& process = merging.process;
        std::array<OldSegment, 2> run{};
        std::array<const Written*, 2> parts{};
        MergedRun merged;
        std::uint64_t epoch = merging.slot.enter();
        std::uint64_t ordinal = 0;
        std::size_t found = 0;
        unsigned passed_over = random(2);
        const std::uint64_t tail = chain().tail.load(std::memory_order_acquire);
        const bool gone = gone_.load(std::memory_order_acquire) != 0;
        for (std::uint64_t at = chain().root; !gone && at != tail && found < 2;) {
            const Segment& segment = *arena_.at<Segment>(at);
            const SegmentExtent extent = extent_of(segment);
            if (ordinal == 0 || !extent.stored() || passed_over != 0) {
                if (ordinal != 0) passed_over = 0;
                found = 0;
            } else {
                if (found == 0) merged.ordinal = ordinal;
                parts.at(found) = &written_.at(stored_at(extent.block).offset / kStoredUnitBytes);
                run.at(found++) = {extent.block, segment.spill.load(std::memory_order_relaxed),
                                   ordinals_of(segment)};
            }
            ordinal += ordinals_of(segment);
            at = segment.next.load(std::memory_order_acquire);
        }
        merging.slot.leave(epoch);
        if (found < 2) return;
        const std::uint64_t chosen_in = process.epochs.current();
        Written both = *parts[0];
        for (std::size_t at = 0; at < parts[1]->count; ++at)
            both.records.at(both.count++) = parts[1]->records.at(at);
        merged.ordinals = run[0].ordinals + run[1].ordinals;
        merged.counts = {both.count, both.count * 16};
        merged.place = write(both);
        merged.segments = run;
        for (int turn = 0; waits && turn < 3 && process.epochs.current() < chosen_in + 2; ++turn)
            process.reclaim(1, false);
        if (waits && process.epochs.current() < chosen_in + 2) return;
        epoch = merging.slot.enter();
        if (gone_.load(std::memory_order_acquire) == 0 &&
            take_merge_turn(arena_.header(), process.slots, *merging.slot)) {
            std::vector<std::uint64_t> made;
            process.slots.each_made([&](std::uint64_t segment) { made.push_back(segment); });
            std::vector<std::uint64_t> offsets;
            const ChainContext context{arena_, process.blocks, *merging.slot, merging.number};
            if (replace_run(context, chain(), merged, made, merging.merged, offsets) == Replaced::kYes)
                merging.merged.publish();
            end_merge_turn(arena_.header());
        }
        merging.slot.leave(epoch);
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    std::array<std::unique_ptr<Merging>, 3> mergers_;
    ArenaOffset chain_{};
    Atomic<std::uint64_t> acknowledged_;
    Atomic<std::uint64_t> gone_;
    std::deque<Written> written_;  // by place: what is in the "file"
    std::uint64_t begin_bytes_ = 0;
    bool erased_ = false;
    bool died_ = false;
};

}  // namespace

TEST_CASE("Every acknowledged record is in a cut once, in order, while runs are merged and a merger is killed") {
    check_holds(3, make<MergeModel<true>>(), 60'000);
}

TEST_CASE("It would not be, if a run were replaced while a thread may have a segment of it for a cut's tail") {
    const Outcome outcome = run(3, make<MergeModel<false>>(), 60'000);
    CHECK_FALSE(outcome.passed);
}

TEST_CASE("It would not be, if two mergers had the turn at once") {
    const Mutant mutant = unchecked("take_merge_turn", std::memory_order_acquire, "merger");
    check_breaks(3, make<MergeModel<true>>(), 60'000, mutant);
}

TEST_CASE("It would not be, if the merged segment were linked before it is whole") {
    const Mutant mutant{"replace_run", Kind::kStore, std::memory_order_release, std::memory_order_relaxed, ""};
    check_breaks(3, make<MergeModel<true>>(), 60'000, mutant);
}
