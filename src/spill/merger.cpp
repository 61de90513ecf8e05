#include "spill/merger.hpp"

#include <algorithm>
#include <functional>
#include <new>
#include <numeric>
#include <utility>

#include "arena/crash_point.hpp"
#include "io/file_limit_signal.hpp"
#include "spill/bundle.hpp"
#include "spill/checkpoint_layout.hpp"
#include "spill/codec_word.hpp"
#include "spill/extent_output.hpp"

namespace shoal {
Merger::Merger(const SpillContext& context, const Index& index, SpillerSlot& slot)
    : context_(context),
      index_(&index),
      slot_(&slot),
      journal_(context.mapping, context.blocks, context.epochs, slot),
      loader_(context.files, context.slots, context.mapping.header().store_id) {
    loader_.note_bundles();
}

void Merger::propose(std::uint64_t hash, std::uint64_t generation) {
    if (proposed_.size() >= kMostProposed) return;
    proposed_.push_back({hash, generation});
    in_order_ = false;
}

// As the index has them, since neighbours there were spilled one behind the other: their extents are in the same
// bundles.
void Merger::order_proposed() {
    if (std::exchange(in_order_, true)) return;
    std::sort(proposed_.begin(), proposed_.end(), std::greater<>());
    proposed_.erase(std::unique(proposed_.begin(), proposed_.end()), proposed_.end());
}

Merger::~Merger() {
    if (slot_->is_ours())
        give_up_written();
    else
        static_cast<void>(output_.release());  // the parent's
}

void Merger::rest() noexcept {
    output_ = nullptr;
    // Its memory may be hard to come by again: so it stays, unless readers hold back what it frees.
    if (journal_.set_up() && !make_journal_free()) static_cast<void>(journal_.hand_on());
}

Merger::Step Merger::run() {
    const FileLimitSignalHeld held;  // by fallocate
    if (!written_.empty()) return replace_written();
    if (proposed_.empty() || !journal_.set_up()) return Step::kNothing;
    if (!make_journal_free()) return Step::kHeldBack;
    try {
        choose(written_);
        chosen_in_ = context_.epochs.current();
        read(written_);
        if (write(written_)) return Step::kDone;
    } catch (const std::bad_alloc&) {
        give_up_written();
        throw;
    }
    give_up_written();
    return Step::kNothing;
}

// A thread that took a cut before the run was chosen may have a segment of the run for the cut's tail: it is to
// have left (I5 of chain/merge.hpp).
Merger::Step Merger::replace_written() {
    if (!journal_.set_up()) return Step::kNothing;  // it was handed on since
    for (std::uint32_t turn = 0; turn < kEpochBuckets && context_.epochs.current() < chosen_in_ + 2; ++turn)
        static_cast<void>(context_.epochs.reclaim(**slot_, false));
    if (context_.epochs.current() < chosen_in_ + 2 || !make_journal_free()) return Step::kHeldBack;
    return replace_some();
}

// False: readers hold it back.
bool Merger::make_journal_free() noexcept {
    for (std::uint32_t turn = 0; turn < kEpochBuckets && !journal_.is_free(); ++turn)
        static_cast<void>(context_.epochs.reclaim(**slot_, false));
    return journal_.is_free();
}

// What has been written and is not in place is named by nothing.
void Merger::give_up_written() noexcept {
    for (const Run& run : written_) give_up(run);
    written_.clear();
}

void Merger::give_up(const Run& run) noexcept {
    if (run.place == 0) return;
    context_.files.release(**slot_, run.place, live_bytes_of(run.place, {run.records, run.bytes}), false);
}

const Chain* Merger::find(const Chosen& chosen) const {
    const Chain* found = nullptr;
    static_cast<void>(index_->visit_leaf(index_->tree(), chosen.hash, [&](ArenaOffset offset) {
        const Chain& chain = *context_.mapping.at<Chain>(offset);
        // relaxed: see make_chain
        const std::uint64_t generation = generation_of(chain.identity.load(std::memory_order_relaxed));
        if (chain.hash == chosen.hash && generation == chosen.generation) found = &chain;
        return found == nullptr;
    }));
    return found;
}

void Merger::choose(std::vector<Run>& runs) {
    const std::uint64_t epoch = slot_->enter();
    if (epoch == 0) return proposed_.clear();
    std::uint64_t bytes = 0;
    std::uint64_t entries = 0;
    try {
        order_proposed();
        for (; !proposed_.empty() && bytes < kBatchBytes; proposed_.pop_back()) {
            const Chosen chosen = proposed_.back();
            const std::size_t before = runs.size();
            if (const Chain* chain = find(chosen)) choose_in(*chain, chosen, runs);
            if (runs.size() == before) continue;
            bytes += runs.back().bytes;
            entries += 1 + runs.back().segments.size();
            if (entries <= journal_.room()) continue;
            runs.pop_back();
            if (before != 0) break;  // else it never goes into this journal
        }
    } catch (const std::bad_alloc&) {
        runs.clear();
    }
    slot_->leave(epoch);
}

// The last run of the chain that is to be merged, if there is one.
void Merger::choose_in(const Chain& chain, const Chosen& chosen, std::vector<Run>& runs) {
    struct Seen {
        OldSegment old;
        std::uint64_t ordinal;
        std::uint64_t records;
        std::uint64_t bytes;
    };
    std::vector<Seen> stretch;
    std::vector<Seen> best;
    std::size_t best_tier = kMergeTiers;
    std::uint64_t place_before = 0;  // of the segment before the stretch
    // `place`: of the segment behind. What shares an extent with one of the two stays.
    const auto end_stretch = [&](std::uint64_t place) {
        while (!stretch.empty() && share_extent(stretch.back().old.place, place)) stretch.pop_back();
        const auto from = std::find_if(stretch.begin(), stretch.end(), [&](const Seen& seen) {
            return !share_extent(seen.old.place, place_before);
        });
        stretch.erase(stretch.begin(), from);
        place_before = place;
        MergeTiers tiers;
        for (const Seen& seen : stretch) tiers.add(seen.bytes);
        if (tiers.any_full()) {
            best = stretch;
            best_tier = tiers.full();
        }
        stretch.clear();
    };
    const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));  // as in append_to
    auto at = static_cast<ArenaOffset>(chain.root);
    std::uint64_t ordinal = 0;
    std::uint64_t left = context_.mapping.bytes() / sizeof(Segment);  // no chain has more, or it runs in a circle
    for (bool first = true; left != 0; first = false, --left) {
        const Segment& segment = *context_.mapping.at<Segment>(at);
        const SegmentExtent extent = extent_of(segment);
        if (first || at == tail || !extent.stored() || is_unmerged(segment, extent)) {
            end_stretch(extent.block);
            if (at == tail) break;
        } else {
            // relaxed: stored before the block's word
            const std::uint64_t counts = segment.spill.load(std::memory_order_relaxed) & ~kCheckpointedBit;
            stretch.push_back({{extent.block, counts, ordinals_of(segment)},
                               ordinal,
                               spilled_counts(counts).records,
                               spilled_counts(counts).payload_bytes});
        }
        ordinal += ordinals_of(segment);
        const std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link
        if (next == 0 || is_erased(next)) return;
        at = static_cast<ArenaOffset>(next);
    }
    if (best.empty()) return;
    // Its end, as far as that has no higher tier and fits.
    Run run{chosen, std::string(chain.key().text()), {}, 0, 0, 0, 0, {}, {}, {}, 0};
    std::size_t begin = best.size();
    constexpr std::uint64_t kMostRecords = (1ULL << kSpilledRecordsBits) - 1;
    while (begin != 0 && merge_tier(best[begin - 1].bytes) <= best_tier &&
           run.bytes + best[begin - 1].bytes <= kMostMergedBytes &&
           run.records + best[begin - 1].records <= kMostRecords &&
           run.ordinals + best[begin - 1].old.ordinals <= kMostOrdinals) {
        begin -= 1;
        run.bytes += best[begin].bytes;
        run.records += best[begin].records;
        run.ordinals += best[begin].old.ordinals;
    }
    const auto place_at = [&](std::size_t index) { return best[index].old.place; };
    while (begin != 0 && begin < best.size() && share_extent(place_at(begin), place_at(begin - 1))) {
        run.bytes -= best[begin].bytes;
        run.records -= best[begin].records;
        run.ordinals -= best[begin].old.ordinals;
        begin += 1;
    }
    if (best.size() - begin < 2) return;
    run.ordinal = best[begin].ordinal;
    for (std::size_t index = begin; index < best.size(); ++index) run.segments.push_back(best[index].old);
    const std::uint32_t own = codec_of(chain.identity.load(std::memory_order_relaxed));  // relaxed: see set_codec
    run.codec = codec_of_said(own != 0 ? own : static_cast<std::uint32_t>(context_.mapping.header().codec));
    runs.push_back(std::move(run));
}

// What cannot be read, since it is gone or damaged, is not merged.
void Merger::read(std::vector<Run>& runs) {
    std::vector<StoredPart> parts;
    std::vector<std::size_t> ends;  // of each run, in parts
    for (Run& run : runs) {
        run.payload.resize(run.bytes);
        const std::size_t begin = parts.size();
        std::uint64_t ordinal = run.ordinal;
        std::uint64_t at = 0;
        for (const OldSegment& old : run.segments) {
            StoredPart part;
            part.place = old.place;
            part.generation = run.chain.generation;
            part.first_segment = static_cast<std::uint32_t>(ordinal);
            part.segments = 1;
            part.key = ByteView(run.key);
            part.bytes = spilled_counts(old.counts).payload_bytes;
            part.to = run.payload.data() + at;
            part.wants_lengths = true;
            ordinal += old.ordinals;
            at += part.bytes;
            static_cast<void>(add_part(parts, parts.size() > begin, std::move(part)));
        }
        ends.push_back(parts.size());
    }
    load(parts);
    std::size_t at = 0;
    for (std::size_t number = 0; number < runs.size(); ++number) {
        Run& run = runs[number];
        bool whole = true;
        for (; at < ends[number]; ++at) {
            whole = whole && !parts[at].error;
            run.lengths.insert(run.lengths.end(), parts[at].lengths.begin(), parts[at].lengths.end());
        }
        if (!whole || run.lengths.size() != run.records) run.segments.clear();
    }
    runs.erase(std::remove_if(runs.begin(), runs.end(), [](const Run& run) { return run.segments.empty(); }),
               runs.end());
}

// In the order of their places, so that a bundle is read once for all runs that have something in it.
void Merger::load(std::vector<StoredPart>& parts) {
    std::vector<std::size_t> order(parts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(parts[a].place, a) < std::pair(parts[b].place, b);
    });
    std::vector<StoredPart> in_order;
    in_order.reserve(parts.size());
    for (const std::size_t at : order) in_order.push_back(std::move(parts[at]));
    loader_.load(in_order);
    for (std::size_t at = 0; at < order.size(); ++at) parts[order[at]] = std::move(in_order[at]);
}

// False: the files cannot be written.
bool Merger::write(std::vector<Run>& runs) {
    if (runs.empty()) return true;
    if (output_ == nullptr || output_->is_lost())
        output_ = std::make_unique<ExtentOutput>(context_.files, **slot_, 2);
    ExtentOutput& output = *output_;
    ExtentBuilder builder;
    Compressor compressor;
    BundleBuilder bundle;
    const auto end_bundle = [&] {
        if (bundle.is_open()) output.add(bundle.seal(context_.mapping.header().store_id, false));
    };
    for (Run& run : runs) {
        builder.begin({context_.mapping.header().store_id, ByteView(run.key), run.chain.generation,
                       static_cast<std::uint32_t>(run.ordinal)});
        builder.begin_segment();
        std::uint64_t at = 0;
        for (const std::uint32_t length : run.lengths)
            builder.add({run.payload.data() + std::exchange(at, at + length), length});
        const bool bundled = belongs_in_bundle(builder, run.codec);
        if (!bundled || !bundle.has_room(builder)) {
            end_bundle();
            const std::size_t needed = std::max<std::size_t>(builder.bytes_needed(), kBundleBytes);
            if (!output.make_room(needed, needed)) {
                output_ = nullptr;
                return false;
            }
        }
        if (bundled) {
            if (!bundle.is_open()) bundle.begin(output.space().data(), output.offset());
            bundle.add(builder);
            run.place = pack(bundle.place(output.file()));
        } else {
            const std::uint64_t offset = output.offset();
            const std::size_t bytes = builder.finish(run.codec, compressor, output.space());
            output.add(bytes);
            run.place = pack(StoredAt{output.file(), offset, bytes});
        }
        run.payload = {};
        run.lengths = {};
        // relaxed: before a segment names it, by whose release it is seen (I3 of
        // spill/file_table.hpp). At once, so that the file stays.
        context_.files.entry(output.file())
            .live_bytes.fetch_add(live_bytes_of(run.place, {run.records, run.bytes}), std::memory_order_relaxed);
    }
    end_bundle();
    if (!output.flush()) {
        output_ = nullptr;
        return false;
    }
    crash_point(CrashPoint::kMergeWritten);
    return true;
}

// As many as memory and the journal have room for.
Merger::Step Merger::replace_some() {
    std::vector<std::uint64_t> offsets;
    std::vector<std::uint64_t> made;
    ArenaHeader& header = context_.mapping.header();
    const ChainContext chains{context_.mapping, context_.blocks, **slot_, context_.slots.number(**slot_)};
    const std::uint64_t epoch = slot_->enter();
    if (epoch == 0) return Step::kNothing;
    std::size_t settled = 0;  // runs
    const bool has_turn = take_merge_turn(header, context_.slots, **slot_);
    if (has_turn) {
        bool any = false;
        try {
            // All runs were linked long ago: a slot that does not name one by now never will (I3 of
            // chain/merge.hpp).
            context_.slots.each_made([&](std::uint64_t segment) { made.push_back(segment); });
            for (; settled < written_.size(); ++settled) {
                Run& run = written_[settled];
                if (journal_.room() <= run.segments.size()) break;
                const Chain* chain = find(run.chain);
                if (chain == nullptr) continue;
                const MergedRun merged{
                    run.ordinal, run.ordinals, {run.records, run.bytes}, run.place, run.segments};
                const Replaced replaced = replace_run(chains, *chain, merged, made, journal_, offsets);
                if (replaced == Replaced::kNoMemory) break;
                if (replaced == Replaced::kNotThere) continue;
                any = true;
                run.place = 0;  // the chain's
                merged_bytes_ += run.bytes;
                propose(run.chain.hash, run.chain.generation);  // its next tier may be full now
            }
        } catch (const std::bad_alloc&) {
            // What is in place is in place.
        }
        if (any) {
            journal_.publish();
            crash_point(CrashPoint::kMergeRetired);
        }
        end_merge_turn(header);
    }
    slot_->leave(epoch);
    const auto end = written_.begin() + static_cast<std::ptrdiff_t>(settled);
    std::for_each(written_.begin(), end, [this](const Run& run) { give_up(run); });
    written_.erase(written_.begin(), end);
    if (!has_turn) return Step::kHeldBack;
    return settled != 0 ? Step::kDone : Step::kNothing;
}

}  // namespace shoal
