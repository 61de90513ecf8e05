// An arena for models, and one process's view of it.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "arena/plan.hpp"
#include "arena/spilled_blocks.hpp"
#include "index/index.hpp"
#include "index/remembered_chain.hpp"
#include "index/retired.hpp"
#include "recovery/finish.hpp"
#include "world.hpp"

namespace shoal::model {

// The one arena of all models, empty: called in a model's constructor.
inline Mapping& fresh_arena() {
    constexpr std::uint64_t kBytes = round_up(kMinimumArenaBytes, kPieceBytes);
    static_assert(kBytes >= kMinimumArenaBytes);
    static Mapping mapping = *Mapping::map(0, {}, kBytes, "model");
    std::memset(mapping.at<std::byte>(std::uint64_t{0}), 0, kBytes);
    const ArenaPlan plan = plan_arena(kBytes);
    ArenaHeader& header = mapping.header();
    header.arena_bytes = kBytes;
    header.page_count = plan.page_count;
    header.slots_at = plan.slots_at;
    header.used_at = plan.used_at;
    header.real_at = plan.real_at;
    header.tables_at = plan.tables_at;
    header.owners_at = plan.owners_at;
    header.partial_at = plan.partial_at;
    header.block_bits_at = plan.block_bits_at;
    header.pages_at = plan.pages_at;
    header.first_segment_bytes = 64;
    header.max_segment_bytes = 256;
    header.epoch.store(1, std::memory_order_relaxed);
    return mapping;
}

// What StoreImpl has of the rooms below it.
struct Process {
    explicit Process(Mapping& arena)
        : mapping(arena),
          blocks(arena),
          slots(arena, blocks),
          epochs(
              arena, slots, retired_link,
              [this](RetiredKind kind, ArenaOffset object, Slot& own) {
                  empty_retired(mapping, blocks, index, kind, object, own);
              },
              [this](RetiredKind kind, ArenaOffset object, Slot& own) {
                  free_retired(mapping, blocks, index, kind, object, own);
              }),
          index(arena, blocks, epochs),
          slot(*slots.current(nullptr)) {
        slots.on_death([this](Slot& dead) { finish_work(mapping, blocks, index, epochs, slots, dead); });
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    [[nodiscard]] ChainContext context() { return {mapping, blocks, slot, slots.number(slot)}; }
    [[nodiscard]] std::uint32_t number() const { return slots.number(slot); }

    void enter() { expect(epochs.enter(slot), "the store is not destroyed"); }
    void leave() { epochs.leave(slot); }

    [[nodiscard]] ArenaOffset find(std::uint64_t key) const {
        return index.find(index.tree(), bytes_of(key), hash_of(key), Index::Which::kLive);
    }

    // As StoreImpl::append_anew, inside: one record, the key itself.
    Index::InsertOutcome try_insert(std::uint64_t key) {
        const ByteView bytes = bytes_of(key);
        const ArenaOffset tree = index.tree();
        const NewChain fresh = make_chain(context(), tree, bytes, hash_of(key), Payload::record({&bytes, 1}));
        if (is_null(fresh.offset)) return Index::InsertOutcome::kLimit;
        const Index::Inserted inserted = index.insert(tree, fresh.offset, slot);
        if (inserted.outcome == Index::InsertOutcome::kInserted) {
            forget_made_chain(slot);
        } else {
            discard_chain(mapping, blocks, slot);
        }
        return inserted.outcome;
    }
    // True when the key was not there.
    bool insert(std::uint64_t key) {
        const Index::InsertOutcome outcome = try_insert(key);
        const bool ours = outcome == Index::InsertOutcome::kInserted;
        expect(ours || outcome == Index::InsertOutcome::kFound, "there is room for a chain, and in the index");
        return ours;
    }

    // As StoreImpl::append, inside.
    void append(ArenaOffset chain, std::uint64_t key) {
        const ByteView bytes = bytes_of(key);
        const AppendOutcome outcome = append_to(context(), *mapping.at<Chain>(chain), Payload::record({&bytes, 1}));
        expect(outcome == AppendOutcome::kAppended || outcome == AppendOutcome::kErased, "there is room");
    }

    // As StoreImpl::erase, inside.
    void erase(std::uint64_t key) {
        const ArenaOffset tree = index.tree();
        const ArenaOffset chain = index.find(tree, bytes_of(key), hash_of(key), Index::Which::kLive);
        if (is_null(chain)) return;
        slot.erasing_tree.store(raw(tree), std::memory_order_relaxed);
        slot.erasing_chain.store(raw(chain), std::memory_order_release);
        if (mark_erased(context(), *mapping.at<Chain>(chain))) {
            expect(index.unlink(tree, chain, slot), "an erased chain is taken out");
            count_retirement(mapping.header());
            epochs.retire(RetiredKind::kChain, chain);
        }
        slot.erasing_chain.store(0, std::memory_order_release);
    }

    // As StoreImpl::replace_index, inside.
    void drop() {
        const ArenaOffset old = index.tree();
        const Allocation fresh = index.make_tree(old, slot);
        expect(!is_null(fresh.offset), "there is room for a tree");
        slot.dropping_tree.store(raw(old), std::memory_order_release);
        if (index.replace_tree(old, fresh.offset, number())) {
            forget_made(slot, 0);
            count_retirement(mapping.header());
            epochs.retire(RetiredKind::kTree, old);
        } else {
            index.discard_tree(slot);
        }
        slot.dropping_tree.store(0, std::memory_order_release);
    }

    void reclaim(int turns, bool thorough) {
        for (; turns > 0; --turns) static_cast<void>(epochs.reclaim(slot, thorough));
    }

    // The records of a key's chain, inside; each is the key.
    [[nodiscard]] std::uint64_t records_of(ArenaOffset chain, std::uint64_t key) const {
        std::uint64_t records = 0;
        const Cut cut = take_cut(mapping, *mapping.at<Chain>(chain));
        const auto stored = [](const SegmentExtent&, std::uint64_t) { expect(false, "nothing is spilled"); };
        const auto visit = [&](const std::byte* payload, std::uint64_t bytes) {
            const auto* word = reinterpret_cast<const AtomicWord*>(payload);
            expect(bytes == sizeof key && word->load(std::memory_order_relaxed) == key, "a record is whole");
            ++records;
        };
        const bool sound = walk_cut(mapping, cut, visit, stored);
        expect(sound, "every word that is taken for a header is one");
        return records;
    }

    // A key's three bits say in which leaf it is in the end; odd ones begin in the second bucket.
    [[nodiscard]] static constexpr std::uint64_t hash_of(std::uint64_t key) noexcept {
        return key << 61 | (key & 1) << 31 | key;
    }
    [[nodiscard]] static ByteView bytes_of(const std::uint64_t& key) noexcept {
        return {reinterpret_cast<const std::byte*>(&key), sizeof key};
    }

    Mapping& mapping;
    Blocks blocks;
    Slots slots;
    Epochs epochs;
    Index index;
    Slot& slot;
};

}  // namespace shoal::model
