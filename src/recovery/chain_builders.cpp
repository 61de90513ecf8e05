#include "recovery/chain_builders.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "arena/crash_point.hpp"
#include "io/start_thread.hpp"
#include "segment/walk.hpp"

namespace shoal {
namespace {

// A segment that is closed, and stored.
ArenaOffset make_stored_segment(const ChainContext& context, const CheckpointSegment& from) noexcept {
    const Allocation place = context.blocks.allocate(context.slot, sizeof(Segment));
    if (is_null(place.offset)) return place.offset;
    auto* segment = new (context.mapping.at<Segment>(place.offset)) Segment{};
    const SpilledCounts counts = spilled_counts(from.counts);
    const bool single = (from.units & kSingleBit) != 0;
    const ArenaHeader& header = context.mapping.header();
    const bool claimable = !single && !is_merged(from);
    segment->data_units = units_of(from);
    segment->claimable.store(claimable ? static_cast<std::uint32_t>(segment->data_units) : 0,
                             std::memory_order_relaxed);
    segment->growth_bytes =
        claimable ? static_cast<std::uint32_t>(segment->data_units * kUnitBytes) : header.first_segment_bytes;
    segment->single_bytes = single ? counts.payload_bytes : 0;
    // relaxed, all: published with the arena. One unit more than may be claimed: closed (segment I1).
    segment->reserve.store(segment->claimable_units() + 1ULL, std::memory_order_relaxed);
    if (is_merged(from)) {
        segment->sealed.store(ordinals_of(from), std::memory_order_relaxed);
    } else if (!single) {
        segment->sealed.store(kSealedBit | pack(counted(counts)), std::memory_order_relaxed);
    }
    segment->spill.store(pack(counts) | kCheckpointedBit, std::memory_order_relaxed);
    segment->block.store(from.place, std::memory_order_relaxed);
    return place.offset;
}

// A chain that is in no index yet; null where there is no memory for it.
ArenaOffset make_stored_chain(const ChainContext& context, const CheckpointedChain& from) noexcept {
    const Allocation place = context.blocks.allocate(context.slot, Chain::bytes_for(from.key.size()));
    if (is_null(place.offset)) return place.offset;
    auto* chain = context.mapping.at<Chain>(place.offset);            // zero, as the allocator gives it
    chain->identity.store(from.identity, std::memory_order_relaxed);  // relaxed, all: as above
    chain->key_bytes = static_cast<std::uint32_t>(from.key.size());
    chain->hash = from.hash;
    std::memcpy(chain->key_data(), from.key.data(), from.key.size());
    ArenaOffset last = ArenaOffset::kNull;
    for (const CheckpointSegment& segment : from.segments) {
        const ArenaOffset made = make_stored_segment(context, segment);
        if (is_null(made)) return made;
        if (is_null(last)) {
            chain->root = raw(made);
        } else {
            context.mapping.at<Segment>(last)->next.store(raw(made), std::memory_order_relaxed);
        }
        last = made;
    }
    chain->tail.store(raw(last), std::memory_order_relaxed);
    return place.offset;
}

}  // namespace

ChainBuilders::ChainBuilders(const ChainContext& context, Slots& slots, Index& index, Epochs& epochs,
                             ArenaOffset tree, std::uint64_t chains)
    : context_(context), slots_(&slots), index_(&index), epochs_(&epochs), tree_(tree) {
    const std::size_t others = std::max(1U, std::thread::hardware_concurrency()) - 1;
    const std::size_t threads = std::min<std::size_t>({chains / kWorthAThread, others, kMostThreads});
    batches_.resize(2 * threads + 1);
    for (Batch& batch : batches_) batch.chains.resize(kBatchChains);
    free_.reserve(batches_.size());
    full_.reserve(batches_.size());
    for (Batch& batch : batches_) free_.push_back(&batch);
    filling_ = free_.back();
    free_.pop_back();
    for (std::size_t count = 0; count < threads; ++count) {
        if (start_thread(threads_[count], [this] { work(); }) != 0) break;
    }
}

ChainBuilders::~ChainBuilders() {
    {
        const std::lock_guard lock(mutex_);
        full_.clear();
    }
    end();
}

bool ChainBuilders::hand_over() {
    std::unique_lock lock(mutex_);
    full_.push_back(filling_);
    is_full_.notify_one();
    if (free_.empty() && !full_.empty()) build_one(lock, context_);
    is_free_.wait(lock, [this] { return !free_.empty(); });
    filling_ = free_.back();
    free_.pop_back();
    return outcome_ == Index::InsertOutcome::kInserted;
}

Index::InsertOutcome ChainBuilders::finish() {
    {
        std::unique_lock lock(mutex_);
        full_.push_back(filling_);
        while (!full_.empty()) build_one(lock, context_);
    }
    end();
    return outcome_;
}

void ChainBuilders::end() noexcept {
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
    }
    is_full_.notify_all();
    for (std::thread& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
}

void ChainBuilders::work() noexcept {
    int failure = 0;
    Slot* const slot = slots_->take(&failure);
    if (slot == nullptr) return;
    const ChainContext context{context_.mapping, context_.blocks, *slot, slots_->number(*slot)};
    for (std::unique_lock lock(mutex_);;) {
        is_full_.wait(lock, [this] { return ended_ || !full_.empty(); });
        if (full_.empty()) break;
        build_one(lock, context);
    }
    slots_->release(slot);
}

// Makes what is in a full batch, without the lock meanwhile. One is there.
void ChainBuilders::build_one(std::unique_lock<std::mutex>& lock, const ChainContext& context) noexcept {
    Batch& batch = *full_.back();
    full_.pop_back();
    if (outcome_ == Index::InsertOutcome::kInserted) {
        lock.unlock();
        const Index::InsertOutcome outcome = build(batch, context);
        lock.lock();
        if (outcome_ == Index::InsertOutcome::kInserted) outcome_ = outcome;
    }
    batch.count = 0;
    free_.push_back(&batch);
    is_free_.notify_one();
}

Index::InsertOutcome ChainBuilders::build(const Batch& batch, const ChainContext& context) noexcept {
    for (std::size_t at = 0; at < batch.count; ++at) {
        if (!epochs_->enter(context.slot)) break;  // not of an arena that nobody else has
        const ArenaOffset made = make_stored_chain(context, batch.chains[at]);
        Index::Inserted inserted{Index::InsertOutcome::kLimit, ArenaOffset::kNull};
        if (!is_null(made)) inserted = index_->insert(tree_, made, context.slot);
        epochs_->leave(context.slot);
        if (inserted.outcome != Index::InsertOutcome::kInserted) return inserted.outcome;
        crash_point(CrashPoint::kChainRestored);
    }
    // Leaves that were split. An epoch that moves interrupts all threads, and costs as much as twenty keys.
    if (epochs_->retired_objects() > kMostRetired) static_cast<void>(epochs_->reclaim(context.slot, false));
    return Index::InsertOutcome::kInserted;
}

}  // namespace shoal
