// One record at a time: append, iset; and what removes: erase, drop.
#include "arena/crash_point.hpp"
#include "index/remembered_chain.hpp"
#include "store/room.hpp"

namespace shoal {

Result<void> StoreImpl::append(const KeyRef& key, const Payload& payload) {
    for (RoomWait room(*this);;) {
        AppendOutcome outcome{};
        Slot* slot = nullptr;
        bool anew = false;
        {
            auto inside = enter();
            if (!inside) [[unlikely]]
                return tl::unexpected(std::move(inside.error()));
            slot = &inside->slot();
            outcome = append_inside(context(*slot), key, payload, &anew);
        }
        if (anew) [[unlikely]]
            tidy(*slot);
        if (outcome == AppendOutcome::kAppended) [[likely]]
            return {};
        if (!room.again(outcome)) return tl::unexpected(no_memory(outcome, payload.bytes));
    }
}

AppendOutcome StoreImpl::append_inside(const ChainContext& context, const KeyRef& key, const Payload& payload,
                                       bool* anew) noexcept {
    const ArenaOffset chain = find_chain(key, index_.tree(), Index::Which::kFirst);
    if (!is_null(chain)) [[likely]] {
        const AppendOutcome outcome = append_to(context, *mapping_.at<Chain>(chain), payload);
        if (outcome != AppendOutcome::kErased) [[likely]]
            return outcome;
    }
    *anew = true;
    bool was_there = false;
    return append_anew(context, key, payload, false, &was_there);
}

AppendOutcome StoreImpl::append_anew(const ChainContext& context, const KeyRef& key, const Payload& payload,
                                     bool only_if_missing, bool* was_there) noexcept {
    for (int turn = 0; turn < kMostTurns; ++turn) {  // it fails when the chain is erased before we get into it
        const ArenaOffset tree = index_.tree();
        ArenaOffset chain = find_chain(key, tree, Index::Which::kLive);
        if (is_null(chain)) {
            const NewChain fresh = make_chain(context, tree, key.bytes, key.hash, payload);
            if (is_null(fresh.offset)) return fresh.failure;
            crash_point(CrashPoint::kChainMade);
            const Index::Inserted inserted = index_.insert(tree, fresh.offset, context.slot);
            if (inserted.outcome == Index::InsertOutcome::kInserted) {
                crash_point(CrashPoint::kChainInserted);
                forget_made_chain(context.slot);
                return AppendOutcome::kAppended;
            }
            crash_point(CrashPoint::kChainNotNeeded);
            discard_chain(mapping_, blocks_, context.slot);
            if (inserted.outcome == Index::InsertOutcome::kLimit) return AppendOutcome::kLimit;
            if (inserted.outcome == Index::InsertOutcome::kNoSpace) return AppendOutcome::kNoSpace;
            if (inserted.outcome == Index::InsertOutcome::kDamaged) return AppendOutcome::kDamaged;
            chain = inserted.chain;
        }
        *was_there = true;
        if (only_if_missing) return AppendOutcome::kAppended;
        const AppendOutcome outcome = append_to(context, *mapping_.at<Chain>(chain), payload);
        if (outcome != AppendOutcome::kErased) return outcome;
    }
    return AppendOutcome::kDamaged;
}

Result<bool> StoreImpl::iset(const KeyRef& key, ByteView value) {
    const Payload payload = Payload::record({&value, 1});
    for (RoomWait room(*this);;) {
        AppendOutcome outcome{};
        bool was_there = false;
        {
            auto inside = enter();
            if (!inside) return tl::unexpected(std::move(inside.error()));
            // A chain comes into the index with its first record in it: whoever links it has set the value.
            outcome = append_anew(context(inside->slot()), key, payload, true, &was_there);
        }
        if (outcome == AppendOutcome::kAppended) return !was_there;
        if (!room.again(outcome)) return tl::unexpected(no_memory(outcome, payload.bytes));
    }
}

Result<bool> StoreImpl::erase(const KeyRef& key) {
    bool erased = false;
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    Slot& slot = inside->slot();
    {
        const Inside leaving = std::move(*inside);
        const ArenaOffset tree = index_.tree();
        const ArenaOffset chain = find_chain(key, tree, Index::Which::kLive);
        if (is_null(chain)) return false;
        // So that whoever recovers our slot can finish. release: the tree is stored when the chain is
        slot.erasing_tree.store(raw(tree), std::memory_order_relaxed);
        slot.erasing_chain.store(raw(chain), std::memory_order_release);  // pairs with finish_erase
        crash_point(CrashPoint::kEraseNamed);
        erased = mark_erased(context(slot), *mapping_.at<Chain>(chain));
        crash_point(CrashPoint::kEraseMarked);
        if (erased && index_.unlink(tree, chain, slot)) {
            crash_point(CrashPoint::kEraseUnlinked);
            count_retirement(mapping_.header());
            crash_point(CrashPoint::kEraseCounted);
            epochs_.retire(RetiredKind::kChain, chain);
        }
        crash_point(CrashPoint::kEraseRetired);
        slot.erasing_chain.store(0, std::memory_order_release);  // pairs with finish_erase
    }
    if (erased) tidy(slot);
    return erased;
}

Result<void> StoreImpl::drop() {
    for (const bool first : {true, false}) {
        auto replaced = replace_index();
        if (!replaced) return tl::unexpected(std::move(replaced.error()));
        if (!*replaced && first) {  // full: then key by key, which takes no memory
            if (auto erased = erase_each(); !erased) return erased;
        }
        int failure = 0;
        Slot* slot = slots_.current(&failure);
        if (slot == nullptr) return tl::unexpected(no_slot(failure));
        for (int turn = 0; turn < 3; ++turn) static_cast<void>(epochs_.reclaim(*slot, true));
        // The new index was made where the old data left room, which may be in the midst of what is free now. Once
        // more, so that it lies at the edge, and a large record finds a run of pages.
        blocks_.give_back_sources(*slot);
        static_cast<void>(blocks_.release_empty_pages(*slot));
        if (first) index_.prefer_top(*slot);
    }
    return {};
}

Result<bool> StoreImpl::replace_index() {
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    Slot& slot = inside->slot();
    const ArenaOffset old = index_.tree();
    const Allocation fresh = index_.make_tree(old, slot);
    if (is_null(fresh.offset)) return false;
    crash_point(CrashPoint::kTreeMade);
    slot.dropping_tree.store(raw(old), std::memory_order_release);  // pairs with finish_drop
    crash_point(CrashPoint::kDropNamed);
    if (index_.replace_tree(old, fresh.offset, slots_.number(slot))) {
        crash_point(CrashPoint::kDropInstalled);
        forget_made(slot, 0);
        count_retirement(mapping_.header());
        crash_point(CrashPoint::kDropCounted);
        epochs_.retire(RetiredKind::kTree, old);
        crash_point(CrashPoint::kDropRetired);
    } else {  // another drop came between: it emptied the store while we were at it
        crash_point(CrashPoint::kDropNotNeeded);
        index_.discard_tree(slot);
    }
    slot.dropping_tree.store(0, std::memory_order_release);  // as above
    return true;
}

Result<void> StoreImpl::erase_each() {
    auto all = keys();
    if (!all) return tl::unexpected(std::move(all.error()));
    for (const Bytes& key : *all) {
        auto ref = key_ref(ByteView(key));
        if (!ref) continue;  // no key of the store's is too long
        if (auto erased = erase(*ref); !erased) return tl::unexpected(std::move(erased.error()));
    }
    return {};
}

}  // namespace shoal
