#include "arena/spilled_blocks.hpp"

#include "arena/crash_point.hpp"

namespace shoal {

void empty_spilled_blocks(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    SpilledBlocks& retired = *mapping.at<SpilledBlocks>(offset);
    const std::uint64_t count = retired.entries_now();
    for (std::uint64_t at = 0; at < count; ++at) {
        const SpilledBlocks::Entry entry = retired.entries[at];
        if (entry.block == 0) continue;
        retired.entries[at].block = 0;  // first: a crash can leak the block, but not free it twice
        crash_point(CrashPoint::kSpilledBlockForgotten);
        blocks.release(slot, static_cast<ArenaOffset>(entry.block), entry.units * std::uint64_t{8},
                       entry.written * std::uint64_t{8});
    }
}

void free_spilled_blocks(const Mapping& mapping, Blocks& blocks, Slot& slot, ArenaOffset offset) noexcept {
    const std::uint64_t bytes =
        std::min<std::uint64_t>(mapping.at<SpilledBlocks>(offset)->bytes, sizeof(SpilledBlocks));
    blocks.release(slot, offset, bytes, bytes);  // batches before the last may have had more entries
}

}  // namespace shoal
