// An arena for models, and one process's view of it.
#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "arena/plan.hpp"
#include "index/index.hpp"
#include "recovery/finish.hpp"
#include "world.hpp"

namespace shoal::model {

// The one arena of all models, empty: called in a model's constructor.
inline Mapping& fresh_arena() {
    constexpr std::uint64_t kBytes = 4 * kPieceBytes;
    static_assert(kBytes >= kMinimumArenaBytes);
    static Mapping mapping = *Mapping::map(0, kBytes, "model");
    std::memset(mapping.at<std::byte>(std::uint64_t{0}), 0, kBytes);
    const ArenaPlan plan = plan_arena(kBytes);
    ArenaHeader& header = mapping.header();
    header.arena_bytes = kBytes;
    header.page_count = plan.page_count;
    header.slots_at = plan.slots_at;
    header.used_at = plan.used_at;
    header.real_at = plan.real_at;
    header.tables_at = plan.tables_at;
    header.classes_at = plan.classes_at;
    header.partial_at = plan.partial_at;
    header.block_bits_at = plan.block_bits_at;
    header.pages_at = plan.pages_at;
    header.first_segment_bytes = 64;
    header.max_segment_bytes = 256;
    header.epoch.store(1, std::memory_order_relaxed);
    return mapping;
}

inline Atomic<std::uint64_t>& retired_link(const Mapping& mapping, RetiredKind kind, ArenaOffset object) {
    switch (kind) {
        case RetiredKind::kLeaf:
            return mapping.at<Leaf>(object)->next_retired;
        case RetiredKind::kTree:
            return mapping.at<Tree>(object)->next_retired;
        case RetiredKind::kChain:
            break;
    }
    return mapping.at<Chain>(object)->next_retired;
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
                  if (kind == RetiredKind::kChain) empty_chain(mapping, blocks, own, object);
                  if (kind == RetiredKind::kTree) index.empty_tree(object, own);
              },
              [this](RetiredKind kind, ArenaOffset object, Slot& own) {
                  if (kind == RetiredKind::kChain) free_chain(mapping, blocks, own, object);
                  if (kind == RetiredKind::kLeaf) index.free_leaf(object, own);
                  if (kind == RetiredKind::kTree) index.free_tree(object, own);
              }),
          index(arena, blocks, epochs),
          slot(*slots.current(nullptr)) {}
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    [[nodiscard]] ChainContext context() { return {mapping, blocks, slot, slots.number(slot)}; }

    Mapping& mapping;
    Blocks blocks;
    Slots slots;
    Epochs epochs;
    Index index;
    Slot& slot;
};

}  // namespace shoal::model
