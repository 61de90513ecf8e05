#include "recovery/restore.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "segment/walk.hpp"
#include "spill/restores.hpp"
#include "spill/sync_turns.hpp"

namespace shoal {
namespace {

// What is named of a file.
struct Named {
    std::uint64_t end = 0;
    std::uint64_t live_bytes = 0;
};

// A segment that is closed, and stored.
ArenaOffset make_stored_segment(const ChainContext& context, const CheckpointSegment& from) noexcept {
    const Allocation place = context.blocks.allocate(context.slot, sizeof(Segment));
    if (is_null(place.offset)) return place.offset;
    auto* segment = new (context.mapping.at<Segment>(place.offset)) Segment{};
    const SpilledCounts counts = spilled_counts(from.counts);
    const bool single = (from.units & kSingleBit) != 0;
    const ArenaHeader& header = context.mapping.header();
    segment->data_units = from.units & ~kSingleBit;
    segment->claimable_units = single ? 0 : static_cast<std::uint32_t>(segment->data_units);
    segment->growth_bytes =
        single ? header.first_segment_bytes : static_cast<std::uint32_t>(segment->data_units * kUnitBytes);
    segment->single_bytes = single ? counts.payload_bytes : 0;
    // relaxed, all: published with the arena. One unit more than may be claimed: closed (segment I1).
    segment->reserve.store(segment->claimable_units + 1ULL, std::memory_order_relaxed);
    if (!single) segment->sealed.store(kSealedBit | pack(counted(counts)), std::memory_order_relaxed);
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

void count(const CheckpointedChain& chain, std::vector<Named>& files) {
    std::uint64_t last_place = 0;
    for (const CheckpointSegment& segment : chain.segments) {
        // Neighbours in one extent count once, as they are given back (chain/chain.cpp).
        const bool same = std::exchange(last_place, segment.place) == segment.place;
        const StoredAt at = stored_at(segment.place);
        if (same && !at.in_bundle) continue;
        files[at.file].live_bytes += at.in_bundle ? bundled_bytes(spilled_counts(segment.counts)) : at.bytes;
        files[at.file].end = std::max(files[at.file].end, at.offset + at.bytes);
    }
}

Error too_small(const ChainContext& context, std::uint64_t keys, const CheckpointHeader& checkpoint) {
    return {Code::kMemoryLimit,
            fmt::format("the checkpoint has {} keys, of which {} go into {} bytes of memory: open the store with a "
                        "higher memory_limit_bytes",
                        checkpoint.chains, keys, limit_of(context.mapping.bytes())),
            0, 0};
}

}  // namespace

Result<void> restore(const ChainContext& context, Index& index, Epochs& epochs, SpillFiles& files, ArenaOffset tree,
                     CheckpointReader& checkpoint) {
    std::vector<Named> named(kSpillFiles);
    CheckpointedChain chain;
    CheckpointedChain behind;
    auto has = checkpoint.next(chain);
    for (std::uint64_t keys = 0; has && *has; ++keys) {
        has = checkpoint.next(behind);
        // A key that was erased and made again while the sync was under way: the later one counts.
        if (has && *has && behind.hash == chain.hash && behind.key == chain.key) {
            std::swap(chain, behind);
            continue;
        }
        if (!epochs.enter(context.slot)) return {};  // nobody could have destroyed it
        const ArenaOffset made = make_stored_chain(context, chain);
        Index::Inserted inserted{Index::InsertOutcome::kLimit, ArenaOffset::kNull};
        if (!is_null(made)) inserted = index.insert(tree, made, context.slot);
        epochs.leave(context.slot);
        if (inserted.outcome == Index::InsertOutcome::kLimit ||
            inserted.outcome == Index::InsertOutcome::kNoSpace) {
            return tl::unexpected(too_small(context, keys, checkpoint.header()));
        }
        if (inserted.outcome != Index::InsertOutcome::kInserted) {
            return tl::unexpected(
                Error{Code::kDamaged, fmt::format("checkpoint {} is damaged: a key is in it twice, and not one "
                                                  "behind the other",
                                                  checkpoint.path())});
        }
        // Leaves that were split, which are few: an epoch that moves costs as much as several keys.
        if (epochs.retired_objects() != 0) static_cast<void>(epochs.reclaim(context.slot, false));
        count(chain, named);
        std::swap(chain, behind);
        crash_point(CrashPoint::kChainRestored);
    }
    if (!has) return tl::unexpected(std::move(has.error()));
    for (std::uint32_t number = 0; number < kSpillFiles; ++number) {
        if (named[number].live_bytes == 0) continue;
        files.adopt(number, round_up(named[number].end, kSpillFileHeaderBytes), named[number].live_bytes,
                    checkpoint.number());
        if (auto known = files.look_at_adopted(number); !known) return known;
    }
    ArenaHeader& header = context.mapping.header();
    // relaxed, both: published with the arena
    header.sync.store(pack(SyncTurn{std::max(checkpoint.number(), first_sync_of(header.restore))}),
                      std::memory_order_relaxed);
    header.checkpoint.store(checkpoint.number(), std::memory_order_relaxed);
    return {};
}

}  // namespace shoal
