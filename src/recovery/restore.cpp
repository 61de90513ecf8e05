#include "recovery/restore.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "recovery/chain_builders.hpp"
#include "spill/restores.hpp"
#include "spill/sync_turns.hpp"

namespace shoal {
namespace {

// What is named of a file.
struct Named {
    std::uint64_t end = 0;
    std::uint64_t live_bytes = 0;
};

Error too_small(const ChainContext& context, std::uint64_t keys) {
    return {
        Code::kMemoryLimit,
        fmt::format("the {} keys of the checkpoint do not all go into {} bytes of memory: open the store with a "
                    "higher memory_limit_bytes",
                    keys, limit_of(context.mapping.bytes())),
        0, 0};
}

// Its files are the checkpoint's until the next one, though no segment names them: no other file takes their
// numbers.
void find_ends(const CheckpointedChain& chain, std::vector<Named>& files) {
    for (const CheckpointSegment& segment : chain.segments) {
        const StoredAt at = stored_at(segment.place);
        files[at.file].end = std::max(files[at.file].end, at.offset + at.bytes);
    }
}

void count(const CheckpointedChain& chain, std::vector<Named>& files) {
    std::uint64_t last_place = 0;
    for (const CheckpointSegment& segment : chain.segments) {
        // Neighbours in one extent count once, as they are given back (chain/chain.cpp).
        const bool same = std::exchange(last_place, segment.place) == segment.place;
        const StoredAt at = stored_at(segment.place);
        if (same && !at.in_bundle) continue;
        files[at.file].live_bytes += at.in_bundle ? bundled_bytes(spilled_counts(segment.counts)) : at.bytes;
    }
    find_ends(chain, files);
}

}  // namespace

Result<void> restore(const ChainContext& context, Slots& slots, Index& index, Epochs& epochs, SpillFiles& files,
                     ArenaOffset tree, CheckpointReader& checkpoint) {
    std::vector<Named> named(kSpillFiles);
    ChainBuilders builders(context, slots, index, epochs, tree, checkpoint.header().chains);
    // One ahead: of a key that was erased and made again while the sync was under way, the later one counts.
    CheckpointedChain ahead;
    auto has = checkpoint.next(ahead);
    for (bool wanted = true; has && *has && wanted;) {
        CheckpointedChain& chain = builders.next();
        std::swap(chain, ahead);
        has = checkpoint.next(ahead);
        if (has && *has && ahead.hash == chain.hash && ahead.key == chain.key) {
            find_ends(chain, named);
            continue;
        }
        count(chain, named);
        wanted = builders.add();
    }
    if (!has) return tl::unexpected(std::move(has.error()));
    switch (builders.finish()) {
        case Index::InsertOutcome::kInserted:
            break;
        case Index::InsertOutcome::kLimit:
        case Index::InsertOutcome::kNoSpace:
            return tl::unexpected(too_small(context, checkpoint.header().chains));
        default:
            return tl::unexpected(
                Error{Code::kDamaged, fmt::format("checkpoint {} is damaged: a key is in it twice, and not one "
                                                  "behind the other",
                                                  checkpoint.path())});
    }
    for (std::uint32_t number = 0; number < kSpillFiles; ++number) {
        if (named[number].end == 0) continue;
        files.adopt(number, round_up(named[number].end, kSpillFileHeaderBytes), named[number].live_bytes,
                    checkpoint.number());
        if (auto known = files.look_at_adopted(number); !known) return known;
    }
    ArenaHeader& header = context.mapping.header();
    // relaxed, all: published with the arena
    header.sync.store(pack(SyncTurn{std::max(checkpoint.number(), first_sync_of(header.restore))}),
                      std::memory_order_relaxed);
    header.checkpoint.store(checkpoint.number(), std::memory_order_relaxed);
    // The store is what that checkpoint has, and every change from here on is logged, as from the position on that
    // it bears. Without one the log is off, and any position is behind those of checkpoints before.
    const std::uint64_t position = checkpoint.tail().changes;
    header.changes_end.store(std::max(position, std::uint64_t{1}), std::memory_order_relaxed);
    header.changes_from.store(position, std::memory_order_relaxed);
    return {};
}

}  // namespace shoal
