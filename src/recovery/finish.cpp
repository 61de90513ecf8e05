#include "recovery/finish.hpp"

namespace shoal {

void finish_erase(const Mapping& mapping, Index& index, Epochs& epochs, const Slots& slots, Slot& dead, Slot& own) {
    const auto offset =
        static_cast<ArenaOffset>(dead.erasing_chain.load(std::memory_order_acquire));  // pairs: erase
    if (is_null(offset)) return;
    const Chain& chain = *mapping.at<Chain>(offset);
    const std::uint64_t mark =  // relaxed: the slot is ours while its byte is locked
        erased_mark(slots.number(dead), dead.generation.load(std::memory_order_relaxed));
    const auto tail = static_cast<ArenaOffset>(chain.tail.load(std::memory_order_acquire));  // as in append_to
    if (mapping.at<Segment>(tail)->next.load(std::memory_order_acquire) == mark) {  // else it was not the one
        const auto tree = static_cast<ArenaOffset>(dead.erasing_tree.load(std::memory_order_relaxed));  // as above
        if (index.unlink(tree, offset, own) == AllocationStatus::kDone &&
            !epochs.is_retired(RetiredKind::kChain, offset)) {
            mapping.header().retirements.fetch_add(1,
                                                   std::memory_order_release);  // pairs with StoreImpl::find_chain
            epochs.retire(RetiredKind::kChain, offset);
        }
    }
    dead.erasing_chain.store(0, std::memory_order_relaxed);  // relaxed: published by the slot's release
}

void finish_drop(const Mapping& mapping, Index& index, Epochs& epochs, const Slots& slots, Slot& dead) {
    const auto tree = static_cast<ArenaOffset>(dead.dropping_tree.load(std::memory_order_acquire));  // pairs: drop
    if (is_null(tree)) return;
    if (index.finish_replacing(tree, slots.number(dead)) && !epochs.is_retired(RetiredKind::kTree, tree)) {
        mapping.header().retirements.fetch_add(1, std::memory_order_release);  // pairs with StoreImpl::find_chain
        epochs.retire(RetiredKind::kTree, tree);
    }
    dead.dropping_tree.store(0, std::memory_order_relaxed);  // relaxed: published by the slot's release
}

}  // namespace shoal
