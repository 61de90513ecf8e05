#include "spill/pass.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "arena/crash_point.hpp"
#include "io/file_limit_signal.hpp"
#include "spill/codec_word.hpp"

namespace shoal {
namespace {

// Which keys are spilled: those with that many bytes in closed segments; or, with tails, in the open one too, which
// is closed for it. In this order.
struct Level {
    std::uint64_t bytes;
    bool with_tail;
};
constexpr std::array<Level, 10> kLevelsInOrder{{{256 << 10, false},
                                                {64 << 10, false},
                                                {16 << 10, false},
                                                {4 << 10, false},
                                                {1, false},
                                                {64 << 10, true},
                                                {16 << 10, true},
                                                {4 << 10, true},
                                                {1 << 10, true},
                                                {1, true}}};

constexpr std::size_t kLastWithoutTails = 4;

constexpr std::uint64_t kWorthARound = 64;  // of the limit a 64th: a round that spills less takes the next level
constexpr std::uint64_t kLongChain = 8;     // segments from which on its beginning is remembered
constexpr std::size_t kMostBegins = 1 << 14;
constexpr std::uint64_t kAllocatedAheadBytes = 16 << 20;
constexpr std::uint64_t kSyncTag = 1ULL << 32;

}  // namespace

SpillPass::SpillPass(const SpillContext& context, const Index& index)
    : context_(context), index_(&index), slot_(context.slots, context.epochs) {
    static_assert(kLevelsInOrder.size() == kLevels);
}

SpillPass::~SpillPass() {
    if (slot_.is_ours()) leave_file();
}

bool SpillPass::set_up() {
    if (!slot_.take()) return false;
    if (!queue_) queue_.emplace(IoQueue::make(kBatches + 1));
    bool any = false;
    for (UnderWay& entry : batches_) {
        if (entry.batch == nullptr) entry.batch = std::make_unique<Batch>(context_, slot_);
        any |= entry.ready = entry.batch->set_up();
    }
    if (!merger_) merger_.emplace(context_, *index_, slot_);
    merger_->set_up();
    renew_spare_journal(context_.mapping, context_.blocks, *slot_);
    return any;
}

void SpillPass::prepare() noexcept {
    try {
        static_cast<void>(set_up());
    } catch (const std::bad_alloc&) {
        // run() tries again
    }
}

void SpillPass::leave_file() {
    if (file_ != nullptr) context_.files.give_back(*slot_, file_number_);
    file_ = nullptr;
}

Merger::Step SpillPass::merge() { return merger_ && slot_.is_ours() ? merger_->run() : Merger::Step::kNothing; }

void SpillPass::rest() {
    leave_file();
    if (merger_) merger_->rest();
    for (UnderWay& entry : batches_) {
        if (!entry.ready || !entry.batch->hand_on()) continue;
        entry.ready = false;
        handed_on_ += 1;
        handed_on_in_ = context_.epochs.current();
    }
}

bool SpillPass::is_held_back() {
    if (handed_on_ == 0) return false;
    static_cast<void>(free_what_can_be());
    if (context_.epochs.current() >= handed_on_in_ + kEpochBuckets - 1) handed_on_ = 0;
    return handed_on_ >= kBatches;
}

std::uint64_t SpillPass::room_wanted() const noexcept {
    const std::uint64_t most =
        file_size_limit() - std::min(file_size_limit(), std::uint64_t{kSpillFileHeaderBytes});
    return wants_new_file_ ? most : std::min<std::uint64_t>(Batch::kBufferBytes, most);
}

bool SpillPass::open_file() {
    if (file_ != nullptr && SpillFiles::has_room(file_end_, room_wanted())) {
        allocate_ahead();
        return true;
    }
    if (wants_new_file_) {
        while (queue_->in_flight() != 0) finish_one();
        take_back_end();
    }
    leave_file();
    auto taken = context_.files.take(*slot_, room_wanted(), &file_number_);
    if (!taken) {
        outcome_.error = taken.error().system_errno != 0 ? taken.error().system_errno : EIO;
        return false;
    }
    file_ = std::move(*taken);
    // relaxed: ours since take(). Behind what its last owner may have been writing when it died.
    file_end_ =
        round_up(context_.files.entry(file_number_).end.load(std::memory_order_relaxed), Batch::kBufferUnit);
    allocated_ = published_end_ = file_end_;
    allocate_ahead();
    return true;
}

// So that writes past the page cache need not wait for one another: each that makes a file longer would.
void SpillPass::allocate_ahead() noexcept {
    if (allocated_ >= file_end_ + Batch::kBufferBytes) return;
    allocated_ = std::max(allocated_, file_end_);
    // Where the file system cannot, or is nearly full, writes find out for themselves.
    static_cast<void>(::fallocate(file_->descriptor(), 0, static_cast<off_t>(allocated_), kAllocatedAheadBytes));
    allocated_ += kAllocatedAheadBytes;
}

// What could not be written is written to anew, not behind it.
void SpillPass::take_back_end() noexcept {
    if (file_ == nullptr) return;
    file_end_ = published_end_;
    context_.files.entry(file_number_).end.store(file_end_, std::memory_order_release);  // as write()
}

SpillPass::Outcome SpillPass::run(std::uint64_t wanted, bool with_tails, Trip* trip,
                                  const std::atomic<bool>& stop) {
    outcome_ = {};
    const FileLimitSignalHeld held;  // by fallocate, and the first bytes of a file
    most_level_ = with_tails ? kLevels - 1 : kLastWithoutTails;
    level_ = trip == nullptr ? 0 : most_level_;
    // What this process has no memory for stays resident, and nothing stays in hand or inside an epoch.
    try {
        if (set_up()) run_inside(wanted, trip, stop);
    } catch (const std::bad_alloc&) {
        abandon_all();
        outcome_.error = ENOMEM;
    }
    return outcome_;
}

void SpillPass::abandon_all() noexcept {
    while (queue_ && queue_->in_flight() != 0) {
        if (!queue_->wait()) break;
    }
    for (UnderWay& entry : batches_) {
        if (std::exchange(entry.active, false)) entry.batch->abandon();
    }
    take_back_end();
}

void SpillPass::run_inside(std::uint64_t wanted, Trip* trip, const std::atomic<bool>& stop) {
    left_ = {};
    spilled_ = 0;
    idle_rounds_ = 0;
    // Nobody else could read what we write to it, or we could not write.
    if (file_ != nullptr && (file_->is_removed() || file_->is_lost())) leave_file();
    std::uint64_t gathered = 0;
    bool again = false;
    // relaxed: seen a batch later at the latest
    while (gathered < wanted && outcome_.error == 0 && !stop.load(std::memory_order_relaxed) && open_file()) {
        const auto free = std::find_if(batches_.begin(), batches_.end(), [](const UnderWay& one) {
            return one.ready && !one.active && one.batch->is_free();
        });
        if (free == batches_.end()) {
            // All are being written, or wait for readers.
            if (queue_->in_flight() != 0) {
                finish_one();
            } else if (!free_what_can_be()) {
                outcome_.held_back = true;
                break;
            }
            continue;
        }
        Batch& batch = *free->batch;
        if (!batch.begin(file_number_, file_end_)) break;
        free->begin = free->end = file_end_;
        free->active = true;
        free->error = 0;
        const Filled filled =
            trip == nullptr ? fill(batch, wanted - gathered, stop) : fill(batch, wanted - gathered, *trip, stop);
        gathered += batch.block_bytes();
        if (batch.is_empty() || free->error != 0) {
            end_batch(static_cast<std::size_t>(free - batches_.begin()));
        } else {
            batch.pad();
            write(batch, static_cast<std::uint64_t>(free - batches_.begin()));
            queue_->flush();
        }
        if (filled == Filled::kBatchFull) continue;
        if (!wants_new_file_ || again) break;
        again = true;  // what had no room in a file that is as long as it may be
        idle_rounds_ = 0;
        if (trip != nullptr) trip->begin_anew();
    }
    while (queue_->in_flight() != 0) finish_one();
    if (outcome_.error != 0 || wants_new_file_) take_back_end();
    static_cast<void>(free_what_can_be());
}

SpillPass::Filled SpillPass::fill(Batch& batch, std::uint64_t wanted, Trip& trip, const std::atomic<bool>& stop) {
    while (batch.block_bytes() < wanted && outcome_.error == 0 &&
           !stop.load(std::memory_order_relaxed)) {  // as run
        if (trip.ended_) return Filled::kNothingLeft;
        bool full = false;
        const std::optional<std::uint64_t> next =
            index_->visit_leaf(index_->tree(), trip.leaf_, [&](ArenaOffset chain) {
                full = !visit_chain(batch, *context_.mapping.at<Chain>(chain), trip);
                return !full;
            });
        if (full) return Filled::kBatchFull;
        trip.done_.clear();
        trip.ended_ = next.value_or(0) <= trip.leaf_;
        trip.leaf_ = next.value_or(0);
    }
    return Filled::kBatchFull;
}

// False: the batch is full, and the leaf is looked at again: what is done with there gets no more, whatever comes.
bool SpillPass::visit_chain(Batch& batch, const Chain& chain, Trip& trip) {
    const std::uint64_t identity = chain.identity.load(std::memory_order_relaxed);  // relaxed: see make_chain
    const std::uint64_t generation = generation_of(identity);
    if (trip.came_later(generation) || trip.done_.contains(&chain)) return true;
    Cold cold = look_at(chain, generation);
    if (std::exchange(trip.under_way_, std::pair(&chain, generation)) != std::pair(&chain, generation)) {
        trip.last_ = cold.last;
    }
    cold.last = std::min(cold.last, trip.last_);
    const bool any = cold.ordinal <= cold.last && cold.sealed_bytes + cold.tail_bytes != 0;
    const bool room = !any || spill_chain(batch, chain, identity, cold);
    if (room) trip.done_.insert(&chain);
    return room;
}

SpillPass::Filled SpillPass::fill(Batch& batch, std::uint64_t wanted, const std::atomic<bool>& stop) {
    while (batch.block_bytes() < wanted && outcome_.error == 0 &&
           !stop.load(std::memory_order_relaxed)) {  // as run
        if (!has_leaf_ && !take_next_leaf()) return Filled::kNothingLeft;
        // By its hash, not by its offset: it may have been replaced since the batch before this one was full.
        bool full = false;
        static_cast<void>(index_->visit_leaf(index_->tree(), leaf_, [&](ArenaOffset chain) {
            full = !visit_chain(batch, *context_.mapping.at<Chain>(chain));
            return !full;
        }));
        if (full) return Filled::kBatchFull;
        has_leaf_ = false;
    }
    return Filled::kBatchFull;
}

// The next leaf of the way that all spillers go together. False: nothing is left to be spilled.
bool SpillPass::take_next_leaf() {
    Atomic<std::uint64_t>& hand = context_.mapping.header().spill_hand;
    std::uint64_t from = hand.load(std::memory_order_relaxed);  // relaxed: only shares the work out
    std::uint64_t next = 0;
    do {  // a failed turn: another spiller has taken that leaf
        next = index_->next_leaf(index_->tree(), from).value_or(0);
    } while (!hand.compare_exchange_weak(from, next, std::memory_order_relaxed, std::memory_order_relaxed));
    const bool round_ended = from <= leaf_;
    leaf_ = from;
    has_leaf_ = true;
    return !round_ended || !end_of_round();
}

// Once round: whether two rounds in a row have found nothing that any level would spill.
bool SpillPass::end_of_round() {
    idle_rounds_ = spilled_ == 0 ? idle_rounds_ + 1 : 0;
    if (spilled_ < limit_of(context_.mapping.bytes()) / kWorthARound) {
        const auto next = std::find_if(left_.begin(), left_.end(), [](std::uint64_t bytes) { return bytes != 0; });
        const auto level = static_cast<std::size_t>(next - left_.begin());
        if (next != left_.end() && level > level_) {
            idle_rounds_ = 0;
            level_ = level;
        }
    }
    left_ = {};
    spilled_ = 0;
    return idle_rounds_ >= 2;
}

bool SpillPass::visit_chain(Batch& batch, const Chain& chain) {
    const std::uint64_t identity = chain.identity.load(std::memory_order_relaxed);  // relaxed: see make_chain
    const Cold cold = look_at(chain, generation_of(identity));
    const auto gain = [&](const Level& level) {
        const std::uint64_t bytes = cold.sealed_bytes + (level.with_tail ? cold.tail_bytes : 0);
        return bytes >= level.bytes ? bytes : 0;
    };
    if (gain(kLevelsInOrder[level_]) != 0) {
        const std::uint64_t before = batch.block_bytes();
        const bool room = spill_chain(batch, chain, identity, cold);
        spilled_ += batch.block_bytes() - before;
        return room;
    }
    for (std::size_t level = level_ + 1; level <= most_level_; ++level) left_[level] += gain(kLevelsInOrder[level]);
    return true;
}

SpillPass::Cold SpillPass::look_at(const Chain& chain, std::uint64_t generation) {
    Cold cold{0, 0, static_cast<ArenaOffset>(chain.root), 0, 0};
    MergeTiers tiers;  // of what is spilled, or is to be, but for the first segment
    const auto known = begins_.find(generation);
    // Not of another chain of that generation.
    if (known != begins_.end() && known->second.chain == &chain) {
        cold.from = known->second.segment;
        cold.ordinal = known->second.ordinal;
    }
    Begin begin{&chain, cold.from, cold.ordinal};
    std::uint64_t ordinal = cold.ordinal;
    bool leading = true;
    std::uint64_t left = context_.mapping.bytes() / sizeof(Segment);  // no chain has more, or it runs in a circle
    for (ArenaOffset at = cold.from; left != 0; --left) {
        const Segment& segment = *context_.mapping.at<Segment>(at);
        const SegmentExtent extent = extent_of(segment);
        const bool stays = is_unmerged(segment, extent);
        if (leading && extent.stored() && stays) begin = {&chain, at, ordinal};
        if (ordinal != 0 && stays) tiers.end_stretch();
        if (ordinal != 0 && !stays) tiers.add(extent.reserve.payload_bytes());
        if (!extent.stored()) {
            leading = false;
            // Nothing to gain of what is on its way already, in another batch or in the one that is being filled.
            const bool closed = is_closed(segment);
            if (!closed) cold.tail_bytes += extent.units * kUnitBytes;
            if (closed && !is_being_spilled(segment, context_.slots)) {
                cold.sealed_bytes += segment.data_units * kUnitBytes;
            }
        }
        cold.last = ordinal;
        const std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link
        if (next == 0 || is_erased(next)) break;
        at = static_cast<ArenaOffset>(next);
        ordinal += ordinals_of(segment);
        if (leading) {
            cold.from = at;
            cold.ordinal = ordinal;
        }
    }
    if (begin.ordinal >= kLongChain) {
        if (begins_.size() >= kMostBegins) begins_.clear();
        begins_[generation] = begin;
    }
    if (merger_ && tiers.any_full()) merger_->propose(chain.hash, generation);
    return cold;
}

// Up to the last segment that was seen: the writers that go on behind it do not keep the spiller. False: the batch
// is full.
bool SpillPass::spill_chain(Batch& batch, const Chain& chain, std::uint64_t identity, const Cold& cold) {
    const std::uint64_t generation = generation_of(identity);
    const std::uint32_t own = codec_of(identity);
    const Codec codec = codec_of_said(own != 0 ? own : static_cast<std::uint32_t>(context_.mapping.header().codec));
    std::uint64_t ordinal = cold.ordinal;
    std::uint64_t left = context_.mapping.bytes() / sizeof(Segment);  // as look_at
    bool room = true;
    batch.begin_extent(chain, generation, ordinal);
    for (ArenaOffset at = cold.from; left != 0 && ordinal <= cold.last; --left) {
        Segment& segment = *context_.mapping.at<Segment>(at);
        const SegmentExtent extent = extent_of(segment);
        if (!extent.stored() && !is_closed(segment)) {
            if (!kLevelsInOrder[level_].with_tail || extent.units == 0) break;
            close(context_.mapping, segment);
        }
        const bool in_parts = segment.single_bytes > kPartBytes;
        auto added = Batch::Added::kNotNow;
        if (!extent.stored() && in_parts) {
            batch.end_extent(codec, compressor_);
            added = batch.add_parts(chain, generation, ordinal, segment, at, codec, compressor_,
                                    [this](Batch& full) { return write_now(full); });
        } else if (!extent.stored()) {
            added = batch.add(segment, at);
            if (added == Batch::Added::kNoRoom) {  // in this extent, or at all
                batch.end_extent(codec, compressor_);
                batch.begin_extent(chain, generation, ordinal);
                added = batch.add(segment, at);
            }
        }
        room = added != Batch::Added::kNoRoom;
        if (!room) break;
        if (added == Batch::Added::kNotNow || in_parts) {  // the next one is no neighbour of those before
            batch.end_extent(codec, compressor_);
            batch.begin_extent(chain, generation, ordinal + ordinals_of(segment));
        }
        const std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link
        if (next == 0 || is_erased(next)) break;
        at = static_cast<ArenaOffset>(next);
        ordinal += ordinals_of(segment);
    }
    batch.end_extent(codec, compressor_);
    return room || batch.is_empty();  // what has no room in an empty one never has any
}

void SpillPass::write(Batch& batch, std::uint64_t tag) {
    const std::span<const std::byte> bytes = batch.bytes();
    UnderWay& entry = batches_[tag & (kBatches - 1)];
    entry.end = batch.file_offset() + bytes.size();
    file_end_ = std::max(file_end_, entry.end);
    // release: whoever takes the file over begins behind (I1, I2 of spill/file_table.hpp)
    context_.files.entry(file_number_).end.store(file_end_, std::memory_order_release);
    const iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    queue_->submit({IoRequest::Kind::kWrite, file_->for_blocks(), batch.file_offset(), {&piece, 1}, tag});
}

bool SpillPass::write_now(Batch& batch) {
    const auto entry = std::find_if(batches_.begin(), batches_.end(),
                                    [&](const UnderWay& one) { return one.batch.get() == &batch; });
    write(batch, static_cast<std::uint64_t>(entry - batches_.begin()) | kSyncTag);
    while (const std::optional<IoDone> done = queue_->wait()) {
        finish(*done);
        if ((done->tag & kSyncTag) != 0) return done->error == 0;
    }
    return false;
}

void SpillPass::finish_one() {
    if (const std::optional<IoDone> done = queue_->wait()) finish(*done);
}

void SpillPass::finish(const IoDone& done) {
    const std::size_t number = done.tag & (kBatches - 1);
    if (done.error != 0) batches_[number].error = done.error;
    if ((done.tag & kSyncTag) == 0) end_batch(number);
}

void SpillPass::end_batch(std::size_t number) {
    UnderWay& entry = batches_[number];
    entry.active = false;
    if (entry.error == 0 && !entry.batch->is_empty()) {
        outcome_.block_bytes += entry.batch->block_bytes();
        published_end_ = std::max(published_end_, entry.end);
        wants_new_file_ = false;
        entry.batch->publish();
        return;
    }
    if (entry.error != 0) {
        wants_new_file_ = entry.error == EFBIG && entry.begin > kSpillFileHeaderBytes;
        if (!wants_new_file_) outcome_.error = entry.error;
        file_->punch(entry.begin, entry.end);
    }
    entry.batch->abandon();
}

// True when the epoch moved, or something was freed.
bool SpillPass::free_what_can_be() {
    bool progress = false;
    for (std::uint32_t turn = 0; turn < kEpochBuckets; ++turn) progress |= context_.epochs.reclaim(*slot_, true);
    for (const UnderWay& entry : batches_) {
        if (entry.ready && !entry.active) static_cast<void>(entry.batch->is_free());
    }
    static_cast<void>(context_.blocks.release_empty_pages(*slot_));
    return progress;
}

}  // namespace shoal
