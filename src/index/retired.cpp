#include "index/retired.hpp"

#include "arena/spilled_blocks.hpp"
#include "chain/chain.hpp"

namespace shoal {

Atomic<std::uint64_t>& retired_link(const Mapping& mapping, RetiredKind kind, ArenaOffset object) noexcept {
    switch (kind) {
        case RetiredKind::kLeaf:
            return mapping.at<Leaf>(object)->next_retired;
        case RetiredKind::kTree:
            return mapping.at<Tree>(object)->next_retired;
        case RetiredKind::kBlocks:
            return mapping.at<SpilledBlocks>(object)->next_retired;
        case RetiredKind::kChain:
            break;
    }
    return mapping.at<Chain>(object)->next_retired;
}

void empty_retired(const Mapping& mapping, Blocks& blocks, Index& index, RetiredKind kind, ArenaOffset object,
                   Slot& slot) noexcept {
    switch (kind) {
        case RetiredKind::kChain:
            empty_chain(mapping, blocks, slot, object);
            give_up_chain(mapping, blocks, slot, slot.draining, object);
            break;
        case RetiredKind::kLeaf:
            break;
        case RetiredKind::kTree:
            index.empty_tree(object, slot);
            break;
        case RetiredKind::kBlocks:
            empty_spilled_blocks(mapping, blocks, slot, object);
            break;
    }
}

void free_retired(const Mapping& mapping, Blocks& blocks, Index& index, RetiredKind kind, ArenaOffset object,
                  Slot& slot) noexcept {
    switch (kind) {
        case RetiredKind::kChain:
            free_chain(mapping, blocks, slot, object);
            break;
        case RetiredKind::kLeaf:
            index.free_leaf(object, slot);
            break;
        case RetiredKind::kTree:
            index.free_tree(object, slot);
            break;
        case RetiredKind::kBlocks:
            free_spilled_blocks(mapping, blocks, slot, object);
            break;
    }
}

}  // namespace shoal
