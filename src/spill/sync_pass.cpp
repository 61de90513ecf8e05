#include "spill/sync_pass.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "arena/system_failure.hpp"
#include "chain/merge.hpp"
#include "segment/hand_over.hpp"
#include "spill/codec_word.hpp"
#include "spill/sync_finish.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kFewChanges = 1024;               // whatever part of the keys they are
constexpr std::chrono::milliseconds kEpochPatience{100};  // of a sync, each time

tl::unexpected<Error> damaged_frame(ByteView key) {
    return tl::unexpected(
        Error{Code::kDamaged,
              fmt::format("a frame of the key with {} bytes cannot be right; see 'shoal verify'", key.size())});
}

}  // namespace

SyncPass::SyncPass(const SyncContext& context)
    : context_(context),
      turns_(context.mapping.header()),
      output_(context.files, context.slot),
      writer_(context.files.checkpoint_path(context.number)) {}

Result<SyncPass::Outcome> SyncPass::run() {
    remove_unpublished_before(context_.files, context_.number);
    if (auto begun = writer_.begin(context_.files.grant()); !begun) return tl::unexpected(std::move(begun.error()));
    // After it was announced nobody looks for files any more: this one is found, or we see that.
    if (context_.epochs.destroyed()) return tl::unexpected(Error{Code::kDestroyed, ""});
    auto walked = begin_changes();
    if (walked) walked = is_delta_ ? walk_changes() : walk();
    if (walked) end_bundle();
    if (walked) walked = output_.finish();
    if (walked) walked = make_durable();
    if (walked && !turns_.move(context_.number, SyncPhase::kCopying, SyncPhase::kNaming)) walked = step();
    if (!walked) {
        output_.discard();  // I3
        return tl::unexpected(std::move(walked.error()));
    }
    writer_.keep();
    crash_point(CrashPoint::kSyncNaming);
    outcome_.keys = counts_.chains;
    outcome_.records = counts_.records;
    outcome_.payload_bytes = counts_.payload_bytes;
    outcome_.written_bytes = output_.written_bytes() + writer_.bytes();
    return outcome_;
}

// Where a thread does not leave its operation for so long, the next sync has all that this one has to visit.
bool SyncPass::wait_for_epoch(std::uint64_t wanted) {
    const auto end = std::chrono::steady_clock::now() + kEpochPatience;
    while (context_.epochs.current() < wanted) {
        const bool moved = context_.epochs.reclaim(context_.slot, true);
        if (std::chrono::steady_clock::now() > end || !step()) return false;
        if (moved) continue;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

// The base is read where the store comes back, and each delta besides; and a file of bundles in which nothing
// counts any more goes with the next base. Where many keys have changed, a base costs little more than a delta.
bool SyncPass::is_to_fold(std::uint64_t changes) const {
    const CheckpointTail& tail = before_->tail();
    return tail.deltas >= kMostDeltas || tail.delta_bytes > tail.base_bytes / 2 ||
           changes > std::max(kFewChanges, before_->header().chains / 4);
}

// I5. Without a position the next sync goes round the index.
Result<void> SyncPass::begin_changes() {
    ArenaHeader& header = context_.mapping.header();
    open_before();
    // Of one without a number no delta can say that it is one.
    const std::uint64_t before = before_ && turns_.checkpoint() != 0 ? before_->tail().changes : 0;
    // acquire, here and below: pairs with the release of a thread that has turned it on
    const bool was_off = header.changes_from.load(std::memory_order_acquire) == 0;
    std::uint64_t end = 0;
    std::uint64_t wanted = end_of_changes(header, context_.epochs, &end);
    bool waited = wait_for_epoch(wanted);
    is_delta_ = before != 0 && has_changes_since(header, before, end) && !is_to_fold(end - before);
    // C3 of arena/changes.hpp: off since before the wait
    if (was_off && waited && header.changes_from.load(std::memory_order_acquire) == 0) {
        wanted = turn_changes_on(header, context_.epochs, &end);
        waited = wait_for_epoch(wanted);
    }
    position_ = waited ? end : is_delta_ ? before : 0;
    if (is_delta_) {
        changed_ = changes_between(context_.mapping, before, end);
        counts_ = before_->header();
        for (std::uint32_t number = 0; number < kSpillFiles; ++number) {  // I4
            if ((before_->tail().files[number / 64] >> number % 64 & 1) == 0) continue;
            context_.files.keep_for_checkpoint(number, context_.number);
            kept_.set(number);
        }
    }
    return step();
}

// A checkpoint that cannot be read is as good as none: everything is copied anew.
void SyncPass::open_before() {
    const std::string path = context_.files.checkpoint_path(turns_.checkpoint());
    auto opened = CheckpointReader::open(path, context_.mapping.header().store_id);
    if (!opened || opened->header().hash_seed != context_.mapping.header().hash_seed) return;
    before_.emplace(std::move(*opened));
    const auto has = before_->next(before_chain_);
    if (!has) before_.reset();
    has_before_ = has.value_or(false);
}

// before_chains_. A delta fails where they cannot be read; else everything that follows is copied anew.
Result<void> SyncPass::load_before(std::uint64_t hash) {
    if (before_count_ != 0 && before_chains_.front().hash == hash) return {};
    before_count_ = 0;
    const auto lost = [this](Error error) -> Result<void> {
        has_before_ = false;
        if (!is_delta_) return {};
        has_lost_before_ = true;
        turn_changes_off(context_.mapping.header());
        return tl::unexpected(std::move(error));
    };
    if (has_before_ && before_chain_.hash < hash) {
        if (auto skipped = before_->skip_to(hash); !skipped) return lost(std::move(skipped.error()));
        auto has = before_->next(before_chain_);
        if (!has) return lost(std::move(has.error()));
        has_before_ = *has;
    }
    while (has_before_ && before_chain_.hash == hash) {
        if (before_count_ == before_chains_.size()) before_chains_.emplace_back();
        std::swap(before_chains_[before_count_++], before_chain_);
        auto has = before_->next(before_chain_);
        if (!has) return lost(std::move(has.error()));
        has_before_ = *has;
    }
    return {};
}

Result<void> SyncPass::step() {
    if (turns_.step(context_.number, SyncPhase::kCopying)) return {};
    return tl::unexpected(Error{Code::kSystem, "another sync has taken the turn of this one", EAGAIN});
}

// What follows a step: room for the next one, and the checkpoint's blocks to its file.
Result<void> SyncPass::go_on(const Result<Step>& step) {
    if (!step) return tl::unexpected(step.error());
    if (auto ours = this->step(); !ours) return ours;
    if (*step == Step::kNeedsRoom) {
        end_bundle();  // what is behind it goes to another buffer, or file
        if (auto room = output_.make_room(needed_, needed_in_one_); !room) return room;
    }
    return writer_.flush(false);
}

Result<void> SyncPass::walk() {
    std::uint64_t from = 0;
    for (;;) {
        const auto step = [&]() -> Result<Step> {
            const Epochs::Stay inside(context_.epochs, context_.slot);
            if (!inside.entered()) return tl::unexpected(Error{Code::kDestroyed, ""});
            return visit_leaf(&from);
        }();
        if (auto gone_on = go_on(step); !gone_on) return gone_on;
        if (*step == Step::kDone && from == 0) return {};
    }
}

Result<void> SyncPass::walk_changes() {
    for (const std::uint64_t hash : changed_) {
        hash_places_.clear();
        hash_chains_ = 0;
        if (auto loaded = load_before(hash); !loaded) return loaded;
        for (bool done = false; !done;) {
            const auto step = [&]() -> Result<Step> {
                const Epochs::Stay inside(context_.epochs, context_.slot);
                if (!inside.entered()) return tl::unexpected(Error{Code::kDestroyed, ""});
                return visit_hash(hash);
            }();
            if (auto gone_on = go_on(step); !gone_on) return gone_on;
            done = *step == Step::kDone;
        }
        end_hash(hash);
    }
    return {};
}

// The leaf that holds *from, which becomes where the next one begins; as it stands where there is no room.
Result<SyncPass::Step> SyncPass::visit_leaf(std::uint64_t* from) {
    std::vector<ArenaOffset> chains;
    const auto next = context_.index.visit_leaf(context_.index.tree(), *from, [&](ArenaOffset chain) {
        chains.push_back(chain);
        return true;
    });
    if (!next) return tl::unexpected(Error{Code::kDamaged, "the index cannot be right; see 'shoal verify'"});
    auto step = visit_chains(chains);
    if (step && *step == Step::kDone) *from = *next;
    return step;
}

Result<SyncPass::Step> SyncPass::visit_hash(std::uint64_t hash) {
    std::vector<ArenaOffset> chains;
    context_.index.visit_hash(context_.index.tree(), hash, [&](ArenaOffset chain) { chains.push_back(chain); });
    return visit_chains(chains);
}

// What a delta has of that hash is in it: what it says besides.
void SyncPass::end_hash(std::uint64_t hash) {
    if (hash_chains_ == 0 && before_count_ != 0) writer_.add_none(hash);
    std::sort(hash_places_.begin(), hash_places_.end());
    std::uint64_t last = 0;
    for (std::size_t at = 0; at < before_count_; ++at) {
        counts_.chains -= 1;
        for (const CheckpointSegment& segment : before_chains_[at].segments) {
            counts_.segments -= 1;
            counts_.records -= spilled_counts(segment.counts).records;
            counts_.payload_bytes -= spilled_counts(segment.counts).payload_bytes;
            const bool same = std::exchange(last, segment.place) == segment.place;  // neighbours in one extent
            if (same || stored_at(segment.place).in_bundle) continue;  // a bundle's room comes back with its file
            if (!std::binary_search(hash_places_.begin(), hash_places_.end(), segment.place))
                freed_.push_back(segment.place);
        }
    }
}

Result<SyncPass::Step> SyncPass::visit_chains(std::vector<ArenaOffset>& chains) {
    const auto order = [&](ArenaOffset offset) {
        const Chain& chain = *context_.mapping.at<Chain>(offset);
        // relaxed: see make_chain
        return std::pair(chain.hash, generation_of(chain.identity.load(std::memory_order_relaxed)));
    };
    std::sort(chains.begin(), chains.end(), [&](ArenaOffset a, ArenaOffset b) { return order(a) < order(b); });
    for (const ArenaOffset offset : chains) {
        const auto [hash, generation] = order(offset);
        if (std::pair(hash, generation) <= std::pair(done_hash_, done_generation_)) continue;
        // One that has come since, before the one that is under way, was not there when the sync began.
        if (under_.active && std::pair(hash, generation) < std::pair(under_.hash, under_.generation)) continue;
        if (under_.active && generation != under_.generation) under_ = {};  // erased meanwhile
        auto step = visit_chain(*context_.mapping.at<Chain>(offset));
        if (!step || *step == Step::kNeedsRoom) return step;
        done_hash_ = hash;
        done_generation_ = generation;
    }
    under_ = {};
    return Step::kDone;
}

Result<SyncPass::Step> SyncPass::visit_chain(Chain& chain) {
    const std::uint64_t identity = chain.identity.load(std::memory_order_relaxed);  // relaxed: see make_chain
    if (!under_.active) {
        under_ = {};
        under_.active = true;
        under_.hash = chain.hash;
        if (auto loaded = load_before(under_.hash); !loaded) return tl::unexpected(std::move(loaded.error()));
        before_index_ = before_ordinal_ = 0;
        under_.generation = generation_of(identity);
        under_.at = static_cast<ArenaOffset>(chain.root);
        under_.merges = context_.mapping.header().merges.load(std::memory_order_acquire);  // pairs with replace_run
        // acquire: whoever acknowledged before this sync began has moved the tail this far, or further
        under_.last = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));
    } else if (!no_merge_since(context_.mapping.header(), under_.merges) && !find_again(chain)) {
        return damaged_frame(chain.key());
    }
    std::uint64_t left = context_.mapping.bytes() / sizeof(Segment);  // no chain has more, or it runs in a circle
    for (;; --left) {
        Segment& segment = *context_.mapping.at<Segment>(under_.at);
        auto step = visit_segment(chain, segment);
        if (!step || *step == Step::kNeedsRoom) {
            end_extent(chain);
            note_last_ordinal();
            return step;
        }
        under_.ordinal += ordinals_of(segment);
        if (under_.at == under_.last) break;
        const std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link
        if (next == 0 || is_erased(next) || left == 0) return damaged_frame(chain.key());
        under_.at = static_cast<ArenaOffset>(next);
    }
    // What has come behind it since is in the next sync. acquire: pairs with the link
    const std::uint64_t behind = context_.mapping.at<Segment>(under_.last)->next.load(std::memory_order_acquire);
    if (behind != 0) log_change(context_.mapping, under_.hash);
    // The thread that linked it may be dead: then no sync would ever find nothing to do.
    if (behind != 0 && !is_erased(behind)) move_tail(chain, under_.last, behind);
    end_extent(chain);
    writer_.add(under_.hash, identity, chain.key(), under_.segments);
    counts_.chains += 1;
    hash_chains_ += 1;
    for (const CheckpointSegment& segment : under_.segments) {
        counts_.segments += 1;
        counts_.records += spilled_counts(segment.counts).records;
        counts_.payload_bytes += spilled_counts(segment.counts).payload_bytes;
        if (is_delta_) hash_places_.push_back(segment.place);
    }
    under_ = {};
    return Step::kDone;
}

// Before the sync leaves the epoch, and with it what it may know segments by.
void SyncPass::note_last_ordinal() {
    under_.last_ordinal = under_.ordinal;
    std::uint64_t left = context_.mapping.bytes() / sizeof(Segment);  // as visit_chain
    for (ArenaOffset at = under_.at; at != under_.last && left != 0; --left) {
        const Segment& segment = *context_.mapping.at<Segment>(at);
        under_.last_ordinal += ordinals_of(segment);
        const std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link
        if (next == 0 || is_erased(next)) break;
        at = static_cast<ArenaOffset>(next);
    }
}

// Runs were merged since the sync was last inside, of this chain or of others:
// the segment in which `ordinal` is now, from the beginning of which the sync
// goes on, and the one in which `last_ordinal` is. False: the chain cannot be
// right.
bool SyncPass::find_again(const Chain& chain) {
    under_.merges = context_.mapping.header().merges.load(std::memory_order_acquire);    // pairs with replace_run
    under_.last = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));  // unless it comes before
    auto at = static_cast<ArenaOffset>(chain.root);
    bool has_at = false;
    std::uint64_t ordinal = 0;
    std::uint64_t left = context_.mapping.bytes() / sizeof(Segment);  // as visit_chain
    for (; left != 0; --left) {
        const Segment& segment = *context_.mapping.at<Segment>(at);
        const std::uint64_t end = ordinal + ordinals_of(segment);
        if (!has_at && end > under_.ordinal) {
            has_at = true;
            under_.at = at;
            if (ordinal != under_.ordinal) under_.part = 0;
            // What is named of it already is named anew, by its place of now.
            for (; under_.ordinal > ordinal; under_.segments.pop_back()) {
                if (under_.segments.empty()) return false;
                under_.ordinal -= std::min(under_.ordinal, ordinals_of(under_.segments.back()));
            }
            if (under_.ordinal != ordinal) return false;
        }
        if (has_at && end > under_.last_ordinal) {
            under_.last = at;
            return true;
        }
        if (at == under_.last) return has_at;
        const std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link
        if (next == 0 || is_erased(next)) return false;
        ordinal = end;
        at = static_cast<ArenaOffset>(next);
    }
    return false;
}

Result<SyncPass::Step> SyncPass::visit_segment(const Chain& chain, Segment& segment) {
    // A closed one takes no claims, and what is linked behind it is said.
    if (under_.at == under_.last && !is_closed(segment)) watch(segment);
    const SegmentExtent extent = extent_of(segment);
    if (extent.stored()) {
        end_extent(chain);
        under_.part = 0;  // what there is of a copy is not needed any more
        name_stored(segment, extent);
        return Step::kDone;
    }
    const bool single = segment.single_bytes != 0;
    const std::uint64_t reserve = single ? 1 : extent.exact ? pack(extent.reserve) : 0;
    const CheckpointSegment* before = said_before();
    if (before != nullptr && reserve != 0 && before->reserve == reserve) {
        end_extent(chain);
        name(*before, true);
        return Step::kDone;
    }
    if (segment.single_bytes > kPartBytes) {
        end_extent(chain);
        return copy_parts(chain, segment, extent);
    }
    return copy(chain, segment, extent);
}

const CheckpointSegment* SyncPass::said_before() {
    for (std::size_t at = 0; at < before_count_; ++at) {
        const CheckpointedChain& chain = before_chains_[at];
        if (chain.hash != under_.hash || generation_of(chain.identity) != under_.generation) continue;
        if (before_ordinal_ > under_.ordinal) before_index_ = before_ordinal_ = 0;  // it has gone back
        while (before_index_ < chain.segments.size() && before_ordinal_ < under_.ordinal)
            before_ordinal_ += ordinals_of(chain.segments[before_index_++]);
        const bool is_there = before_index_ < chain.segments.size() && before_ordinal_ == under_.ordinal;
        return is_there ? &chain.segments[before_index_] : nullptr;
    }
    return nullptr;
}

// I1, I2.
void SyncPass::name(const CheckpointSegment& segment, bool is_durable) {
    const std::uint32_t file = stored_at(segment.place).file;
    if (!is_durable) to_sync_.set(file);
    if (!kept_.test(file)) context_.files.keep_for_checkpoint(file, context_.number);
    kept_.set(file);
    under_.segments.push_back(segment);
}

void SyncPass::name_stored(Segment& segment, const SegmentExtent& extent) {
    const CheckpointSegment* before = said_before();
    // Not the mark says that it is durable: the sync that set it may have died before it was.
    const bool is_durable = before != nullptr && before->place == extent.block;
    // relaxed, both: stored before the block's word, and then only by syncs
    const std::uint64_t counts = segment.spill.load(std::memory_order_relaxed);
    const std::uint64_t ordinals = ordinals_of(segment);
    const std::uint64_t units = segment.data_units | (segment.single_bytes != 0 ? kSingleBit : 0) |
                                (ordinals == 1 ? 0 : ordinals << kOrdinalsShift);
    name({extent.block, counts & ~kCheckpointedBit, units, 0}, is_durable);
    crash_point(CrashPoint::kSyncCounted);
    if ((counts & kCheckpointedBit) == 0) segment.spill.fetch_or(kCheckpointedBit, std::memory_order_relaxed);
}

Codec SyncPass::codec_of_chain(const Chain& chain) const {
    const std::uint32_t own = codec_of(chain.identity.load(std::memory_order_relaxed));  // relaxed: see set_codec
    return codec_of_said(own != 0 ? own : static_cast<std::uint32_t>(context_.mapping.header().codec));
}

void SyncPass::begin_extent(const Chain& chain) {
    builder_.begin({context_.mapping.header().store_id, chain.key(), under_.generation,
                    static_cast<std::uint32_t>(under_.ordinal)});
    under_.extent_begins = under_.segments.size();
}

void SyncPass::end_extent(const Chain& chain) {
    if (builder_.segments() != 0) {
        const Codec codec = codec_of_chain(chain);
        outcome_.copied_bytes += builder_.payload_bytes();
        if (belongs_in_bundle(builder_, codec)) {
            if (!bundle_.has_room(builder_)) {
                end_bundle();
                bundle_.begin(output_.space().data(), output_.offset());
            }
            bundle_.add(builder_);
            name_copy(pack(bundle_.place(output_.file())));
        } else {
            pass_bundle();
            const std::uint64_t offset = output_.offset();
            const std::size_t bytes = builder_.finish(codec, compressor_, output_.space());
            output_.add(bytes);
            name_copy(pack(StoredAt{output_.file(), offset, bytes}));
        }
    }
    builder_.begin({});
}

// What comes now goes behind the bundle, which keeps kBundleBytes for what is added to it yet.
void SyncPass::pass_bundle() noexcept {
    if (!bundle_.is_open() || std::exchange(bundle_is_passed_, true)) return;
    output_.add(kBundleBytes);
}

void SyncPass::end_bundle() noexcept {
    if (!bundle_.is_open()) return;
    const bool is_passed = std::exchange(bundle_is_passed_, false);
    const std::size_t bytes = bundle_.seal(context_.mapping.header().store_id, is_passed);
    if (!is_passed) output_.add(bytes);
}

// The segments of the extent that has just been built are there.
void SyncPass::name_copy(std::uint64_t place) {
    for (std::size_t at = under_.extent_begins; at < under_.segments.size(); ++at)
        under_.segments[at].place = place;
    const std::uint32_t file = stored_at(place).file;
    to_sync_.set(file);
    if (!kept_.test(file)) context_.files.keep_for_checkpoint(file, context_.number);  // I1
    kept_.set(file);
}

Result<SyncPass::Step> SyncPass::copy(const Chain& chain, const Segment& segment, const SegmentExtent& extent) {
    const std::uint64_t bytes = extent.units * kUnitBytes;
    const std::uint64_t records = extent.exact ? extent.reserve.records : extent.units;
    const std::uint64_t most =
        bytes + records * kMostLengthBytes + sizeof(SegmentEntry) + padded_to_extent(1);  // beside what is there
    const bool full = builder_.segments() != 0 && builder_.payload_bytes() + bytes > kFullExtentPayloadBytes;
    if (full || !builder_.has_room(records, bytes)) end_extent(chain);
    if (builder_.segments() == 0) begin_extent(chain);
    // By itself, or in a bundle that it begins; and behind the one that is open.
    const std::uint64_t beside = bundle_.is_open() && !bundle_is_passed_ ? kBundleBytes : 0;
    needed_ = std::max<std::size_t>(builder_.bytes_needed() + most, kBundleBytes) + beside;
    needed_in_one_ = needed_;
    if (!output_.has_room(needed_, needed_in_one_) || !output_.may_begin(beside)) return Step::kNeedsRoom;
    const AtomicWord* frames = frames_of(context_.mapping, extent);
    // Of one whose claims do not count. First: what is committed between this look and the next is not missed.
    const bool settled = extent.exact || settle_claims(context_.mapping, segment, extent, context_.slots);
    SpilledCounts counts;
    builder_.begin_segment();
    const auto gather = [&](const std::byte* payload, std::uint64_t length) {
        builder_.add({payload, length});
        counts.records += 1;
        counts.payload_bytes += length;
    };
    if (frames == nullptr || !shoal::walk(frames, extent.units, gather)) return damaged_frame(chain.key());
    // What is being written at this moment was not acknowledged when the sync began, and is in the next one.
    const bool whole = extent.exact && counts.records == extent.reserve.records;
    if (!(extent.exact ? whole : settled)) log_change(context_.mapping, under_.hash);
    const bool single = segment.single_bytes != 0;
    if (!is_closed(segment)) builder_.mark_open();
    under_.segments.push_back({0, pack(counts), segment.data_units | (single ? kSingleBit : 0),
                               !whole   ? 0
                               : single ? 1
                                        : pack(extent.reserve)});
    return Step::kDone;
}

Result<SyncPass::Step> SyncPass::copy_parts(const Chain& chain, const Segment& segment,
                                            const SegmentExtent& extent) {
    const AtomicWord* frames = frames_of(context_.mapping, extent);
    if (frames == nullptr) return damaged_frame(chain.key());
    const ByteView record(reinterpret_cast<const std::byte*>(frames + 1), segment.single_bytes);
    const ExtentOrigin origin{context_.mapping.header().store_id, chain.key(), under_.generation,
                              static_cast<std::uint32_t>(under_.ordinal)};
    end_bundle();
    for (; under_.part < parts_of(record.size()); ++under_.part) {
        const auto part = static_cast<std::uint32_t>(under_.part);
        needed_ = part_bytes_needed(origin.key.size(), record.size(), part);
        needed_in_one_ = part != 0 ? 0 : parts_of(record.size()) * (needed_ + kStoredUnitBytes);
        if (!output_.has_room(needed_, needed_in_one_)) return Step::kNeedsRoom;
        if (part == 0) under_.parts_begin = output_.offset();
        output_.add(write_part(origin, record, part, codec_of_chain(chain), compressor_, output_.space()));
    }
    outcome_.copied_bytes += record.size();
    under_.part = 0;
    under_.extent_begins = under_.segments.size();
    under_.segments.push_back({0, pack(SpilledCounts{1, record.size()}), segment.data_units | kSingleBit, 1});
    name_copy(pack(StoredAt{output_.file(), under_.parts_begin, output_.offset() - under_.parts_begin}));
    return Step::kDone;
}

// I2.
Result<void> SyncPass::make_durable() {
    for (std::uint32_t number = 0; number < kSpillFiles; ++number) {
        if (!to_sync_.test(number)) continue;
        if (auto ours = step(); !ours) return ours;
        auto file = context_.files.open_current(number);
        if (!file) {
            file.error().message = context_.files.path_of(number) + ": " + file.error().message;
            return tl::unexpected(std::move(file.error()));
        }
        if (::fdatasync((*file)->descriptor()) != 0) {
            return failed("cannot sync " + (*file)->path(), errno);
        }
    }
    crash_point(CrashPoint::kSyncFilesDurable);
    if (auto synced = sync_folder(context_.files.folder()); !synced) return synced;
    return finish_checkpoint();
}

Result<void> SyncPass::finish_checkpoint() {
    const ArenaHeader& header = context_.mapping.header();
    CheckpointHeader checkpoint = counts_;
    checkpoint.store_id = header.store_id;
    checkpoint.written_unix_s = static_cast<std::uint64_t>(::time(nullptr));
    checkpoint.hash_seed = header.hash_seed;
    checkpoint.generations = header.generations.load(std::memory_order_relaxed);  // relaxed: at least those in it
    checkpoint.codec = header.codec;
    checkpoint.arena_bytes = limit_of(header.arena_bytes);
    checkpoint.first_segment_bytes = header.first_segment_bytes;
    checkpoint.max_segment_bytes = header.max_segment_bytes;
    CheckpointTail tail{};
    if (is_delta_) {
        tail = before_->tail();
        tail.before = turns_.checkpoint();
        tail.deltas += 1;
    }
    tail.changes = position_;
    for (std::uint32_t number = 0; number < kSpillFiles; ++number) {
        if (kept_.test(number)) tail.files[number / 64] |= std::uint64_t{1} << number % 64;
    }
    return writer_.finish(checkpoint, tail, freed_);
}

}  // namespace shoal
