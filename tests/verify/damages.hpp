// Ways to damage an arena, a word or two at a time, each with the invariant that it breaks.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include <shoal/store.hpp>

#include "arena_editor.hpp"
#include "catch.hpp"

namespace shoal_test {

using namespace shoal;

inline constexpr std::uint64_t kBit = 1;

// Keys of every shape: many in a leaf, several segments, a record of its own segment, erased ones that wait.
inline void fill(Store& store) {
    for (int number = 0; number < 1500; ++number) {
        REQUIRE(store.append("key " + std::to_string(number), "value").has_value());
    }
    for (int number = 0; number < 3000; ++number) {
        REQUIRE(store.append("long", "record " + std::to_string(number)).has_value());
    }
    REQUIRE(store.append("large", std::string(300'000, 'l')).has_value());
    REQUIRE(store.append("twin", "one").has_value());
    REQUIRE(store.append("fork", "two").has_value());  // a key as long
    REQUIRE(store.append(std::string(60'000, 'k'), "of a long key").has_value());
    REQUIRE(store.append("freed", std::string(400'000, 'f')).has_value());
    for (const char* key : {"freed", "key 1", "key 2", "key 3", "key 4"}) REQUIRE(store.erase(key).value());
    REQUIRE(store.stats().has_value());  // gives back what was erased
    REQUIRE(store.append("gone", std::string(100'000, 'g')).has_value());
    REQUIRE(store.erase("gone").value());
}

struct Damaging {
    const char* invariant;
    const char* what;
    std::function<void(ArenaEditor&)> damage;
};

inline void swap_words(ArenaEditor& arena, Atomic<std::uint64_t>& one, Atomic<std::uint64_t>& other) {
    const std::uint64_t first = ArenaEditor::get(one);
    arena.set(one, ArenaEditor::get(other));
    arena.set(other, first);
}

inline Atomic<std::uint64_t>& empty_slot_of(Leaf& leaf) {
    return *std::find_if(leaf.slots.begin(), leaf.slots.end(), [](const auto& word) { return word.load() == 0; });
}

// The first block of a page that was free: a leaf, all zero.
inline Leaf& take_leaf(ArenaEditor& arena) {
    Leaf& fresh = arena.at<Leaf>(arena.header().pages_at + arena.real_page(false) * kPageBytes);
    const std::uint64_t page = arena.page_of(&fresh);
    arena.set(arena.used(page), ArenaEditor::get(arena.used(page)) | kBit << (page % 64));
    arena.set(arena.owner(page), page_of_class(6));
    return fresh;
}

inline void take_slot(ArenaEditor& arena, std::uint32_t number) { arena.set(arena.process_slot(number).state, 1); }

inline const std::vector<Damaging> kDamages{
    {"layout I2", "no epoch", [](ArenaEditor& arena) { arena.set(arena.header().epoch, 0); }},
    {"layout I2", "a table elsewhere", [](ArenaEditor& arena) { arena.set(arena.header().owners_at, 4096); }},
    {"layout I1", "no magic number", [](ArenaEditor& arena) { arena.set(arena.header().magic, 7); }},

    {"blocks I1", "the page of a chain is free",
     [](ArenaEditor& arena) {
         const std::uint64_t page = arena.page_of(&arena.chain("long"));
         arena.set(arena.used(page), ArenaEditor::get(arena.used(page)) & ~(kBit << (page % 64)));
     }},
    {"blocks I1", "a free page is cut into blocks",
     [](ArenaEditor& arena) { arena.set(arena.owner(arena.real_page(false)), 3); }},
    {"blocks I1", "a used page has no owner",
     [](ArenaEditor& arena) { arena.set(arena.owner(arena.page_of(&arena.chain("long"))), kPageFree); }},
    {"blocks I1", "a page is of a class that is none",
     [](ArenaEditor& arena) { arena.set(arena.owner(arena.page_of(&arena.chain("long"))), 77); }},
    {"blocks I2", "a run has a free block",
     [](ArenaEditor& arena) {
         const std::uint64_t page = arena.page_of(&arena.frame(arena.segment("large", 0), 0));
         arena.set(arena.block_word(page, 0), 1);
     }},
    {"blocks I3", "the block of a segment is free",
     [](ArenaEditor& arena) {
         const auto& segment = arena.segment("long", 0);
         const std::uint64_t page = arena.page_of(&segment);
         const std::uint64_t block = arena.offset_of(&segment) % kPageBytes / 64;
         auto& word = arena.block_word(page, block / 64);
         arena.set(word, ArenaEditor::get(word) | kBit << (block % 64));
     }},
    {"blocks I3", "two chains have one segment",
     [](ArenaEditor& arena) { arena.set(arena.chain("twin").root, arena.chain("fork").root); }},
    {"blocks I3", "two slots name one chain",
     [](ArenaEditor& arena) {
         arena.set(empty_slot_of(arena.leaf("twin")), ArenaEditor::get(arena.slot("twin")));
     }},
    {"blocks I5", "the page of a chain is not real",
     [](ArenaEditor& arena) {
         const std::uint64_t page = arena.page_of(&arena.chain("long"));
         arena.set(arena.real(page), ArenaEditor::get(arena.real(page)) & ~(kBit << (page % 64)));
     }},
    {"blocks I5", "a segment lies in a hole of the file",
     [](ArenaEditor& arena) { arena.set(arena.chain("twin").root, arena.header().pages_at + 100 * kPageBytes); }},
    {"blocks I6", "a free page is not zero",
     [](ArenaEditor& arena) {
         arena.set(arena.at<std::uint8_t>(arena.header().pages_at + arena.real_page(false) * kPageBytes + 4711), 1);
     }},
    {"blocks I6", "a free block is not zero",
     [](ArenaEditor& arena) {
         const std::uint64_t page = arena.page_of(&arena.chain("long"));
         for (std::uint64_t block = 0; block < 1024; ++block) {
             if ((ArenaEditor::get(arena.block_word(page, block / 64)) >> (block % 64) & 1) == 0) continue;
             arena.set(arena.at<std::uint8_t>(arena.header().pages_at + page * kPageBytes + block * 64 + 63), 1);
             return;
         }
         FAIL("no free block");
     }},
    {"blocks I7", "a root beyond the arena",
     [](ArenaEditor& arena) { arena.set(arena.chain("long").root, ~0ULL << 6); }},
    {"blocks I7", "a root in the tables", [](ArenaEditor& arena) { arena.set(arena.chain("long").root, 4096); }},
    {"blocks I7", "a root that is not aligned",
     [](ArenaEditor& arena) { arena.set(arena.chain("long").root, arena.chain("long").root + 8); }},
    {"blocks I7", "a root in a page of another class",
     [](ArenaEditor& arena) { arena.set(arena.chain("long").root, arena.tree().root); }},
    {"blocks I7", "the arena's tree in a page of another class",
     [](ArenaEditor& arena) { arena.set(arena.header().tree, arena.tree().root); }},

    {"slots I2", "a free slot is inside an epoch",
     [](ArenaEditor& arena) { arena.set(arena.process_slot(17).epoch, 1); }},
    {"slots I2", "a free slot allocates from a page",
     [](ArenaEditor& arena) { arena.set(arena.process_slot(17).sources[2].page, 1); }},
    {"slots I2", "a free slot has made something",
     [](ArenaEditor& arena) { arena.set(arena.process_slot(17).made[1], 1); }},
    {"slots I4", "more slots were taken than have memory",
     [](ArenaEditor& arena) { arena.set(arena.header().slots_high_water, kSlotsAChunk + 1); }},
    {"slots I4", "a part of a chunk of slots has memory",
     [](ArenaEditor& arena) { arena.set(arena.header().slots_real, kSlotsAChunk - 1); }},
    {"slots I3", "a slot of a state that is none",
     [](ArenaEditor& arena) { arena.set(arena.process_slot(17).state, 5); }},
    {"slots I3", "a slot allocates from a page that is none",
     [](ArenaEditor& arena) {
         take_slot(arena, 17);
         arena.set(arena.process_slot(17).sources[2].page, 100'000);
     }},
    {"slots I3", "a slot has made something for what is none",
     [](ArenaEditor& arena) {
         take_slot(arena, 17);
         arena.set(arena.process_slot(17).made_for, 3);
         arena.set(arena.process_slot(17).made[0], arena.header().pages_at);
     }},
    {"epoch I1", "a key that is there is retired",
     [](ArenaEditor& arena) { arena.set(arena.header().retired[0], arena.offset_of(&arena.chain("long"))); }},
    {"epoch I1", "what is retired is retired twice",
     [](ArenaEditor& arena) {
         for (auto& head : arena.header().retired) {
             const std::uint64_t first = ArenaEditor::get(head) & kRetiredOffsetBits;
             const std::uint64_t kind = ArenaEditor::get(head) & kRetiredKindBits;
             if (first == 0) continue;
             auto& link = kind == 0 ? arena.at<Chain>(first).next_retired : arena.at<Leaf>(first).next_retired;
             arena.set(link, ArenaEditor::get(head) & kRetiredObjectBits);
             return;
         }
         FAIL("nothing is retired");
     }},
    {"epoch I2", "what is retired is in a list of an epoch that has another one",
     [](ArenaEditor& arena) {
         for (auto& head : arena.header().retired) {
             if (ArenaEditor::get(head) != 0) arena.set(head, ArenaEditor::get(head) ^ retired_tag(1));
         }
     }},
    {"epoch I2", "a slot is in an epoch that is to come",
     [](ArenaEditor& arena) {
         take_slot(arena, 17);
         arena.set(arena.process_slot(17).epoch, ArenaEditor::get(arena.header().epoch) + 1);
     }},
    {"epoch I3", "a slot that there cannot be has claimed what is retired",
     [](ArenaEditor& arena) { arena.set(arena.header().retired[0], (kSlots + 1ULL) << kRetiredClaimShift); }},

    {"segment I2", "an open segment has a next",
     [](ArenaEditor& arena) {
         arena.set(arena.segment("twin", 0).next, arena.offset_of(&arena.segment("fork", 0)));
     }},
    {"segment I3", "something stands behind what was claimed",
     [](ArenaEditor& arena) {
         auto& segment = arena.segment("long", -1);
         arena.set(arena.frame(segment, segment.claimable_units() - 1), 1);
     }},
    {"segment I4", "an open segment is sealed",
     [](ArenaEditor& arena) { arena.set(arena.segment("twin", 0).sealed, kSealedBit | 2); }},
    {"segment I4", "a sealed word counts what is not there",
     [](ArenaEditor& arena) {
         auto& sealed = arena.segment("long", 1).sealed;
         arena.set(sealed, ArenaEditor::get(sealed) + (kBit << kUnitsBits));
     }},
    {"segment I5", "a segment of no size",
     [](ArenaEditor& arena) { arena.set(arena.segment("twin", 0).claimable, 9); }},
    {"segment I5", "a record of its own segment is not as long as that",
     [](ArenaEditor& arena) { arena.set(arena.frame(arena.segment("large", 0), 0), committed_header(299'999)); }},
    {"claim I1", "the counters are too high",
     [](ArenaEditor& arena) {
         auto& reserve = arena.segment("twin", 0).reserve;
         arena.set(reserve, ArenaEditor::get(reserve) + (kBit << kUnitsBits));
     }},
    {"claim I1", "a record is longer than what is claimed",
     [](ArenaEditor& arena) { arena.set(arena.frame(arena.segment("twin", 0), 0), committed_header(5000)); }},
    {"claim I1", "padding is longer than what is claimed",
     [](ArenaEditor& arena) { arena.set(arena.frame(arena.segment("twin", 0), 0), padding_header(5000)); }},
    {"walk I2", "a header that is none",
     [](ArenaEditor& arena) { arena.set(arena.frame(arena.segment("twin", 0), 0), 0x40); }},

    {"chain I1", "a key without a record",
     [](ArenaEditor& arena) {
         auto& segment = arena.segment("twin", 0);
         arena.set(segment.reserve, 0);
         arena.set(arena.frame(segment, 0), 0);
         arena.set(arena.frame(segment, 1), 0);
     }},
    {"chain I2", "the tail is another key's segment",
     [](ArenaEditor& arena) { arena.set(arena.chain("long").tail, ArenaEditor::get(arena.chain("twin").tail)); }},
    {"chain I3", "the tail lags by more than a link",
     [](ArenaEditor& arena) { arena.set(arena.chain("long").tail, arena.chain("long").root); }},
    {"chain I4", "the mark of an erase names no slot",
     [](ArenaEditor& arena) {
         auto& segment = arena.segment("twin", 0);
         arena.set(segment.reserve, ArenaEditor::get(segment.reserve) + segment.claimable_units() + 1);
         arena.set(segment.next, erased_mark(kSlots, 1));
     }},
    {"chain I5", "a key too long for one",
     [](ArenaEditor& arena) { arena.set(arena.chain("long").key_bytes, 100'000); }},
    {"chain I5", "the key is not that of the hash",
     [](ArenaEditor& arena) { arena.set(*arena.chain("long").key_data(), 'L'); }},

    {"index I1", "flags in a slot that mean nothing",
     [](ArenaEditor& arena) { arena.set(arena.slot("long"), ArenaEditor::get(arena.slot("long")) | 8); }},
    {"index I1", "a tombstone that names a chain",
     [](ArenaEditor& arena) {
         arena.set(arena.slot("long"), ArenaEditor::get(arena.slot("long")) | kTombstoneSlot);
     }},
    {"index I2", "a chain where no look-up finds it",
     [](ArenaEditor& arena) { swap_words(arena, arena.slot("long"), empty_slot_of(arena.leaf("long"))); }},
    {"index I2", "a tag that is not the chain's",
     [](ArenaEditor& arena) { arena.set(arena.slot("long"), ArenaEditor::get(arena.slot("long")) ^ kBit << 60); }},
    {"index I3", "a key has two chains",
     [](ArenaEditor& arena) {
         auto& one = arena.chain("twin");
         auto& other = arena.chain("fork");
         auto& word = arena.slot("fork");
         auto& leaf = arena.leaf("twin");
         auto at = static_cast<std::uint32_t>(&arena.slot("twin") - leaf.slots.data());
         while (!is_empty_slot(ArenaEditor::get(leaf.slots[at]))) at = next_slot(at);
         arena.set(word, kTombstoneSlot);
         arena.set(leaf.slots[at], slot_word(one.hash, static_cast<ArenaOffset>(arena.offset_of(&other))));
         for (int byte = 0; byte < 4; ++byte) arena.set(other.key_data()[byte], one.key_data()[byte]);
         arena.set(other.hash, one.hash);
     }},
    {"index I4", "a leaf has a successor and is not frozen",
     [](ArenaEditor& arena) {
         arena.set(arena.leaf("long").successor, ArenaEditor::get(arena.entry(~arena.hash("long"))) | 1);
     }},
    {"index I4", "a slot is frozen in a leaf that nothing is to replace",
     [](ArenaEditor& arena) { arena.set(arena.slot("long"), ArenaEditor::get(arena.slot("long")) | kFrozen); }},
    {"index I4", "what is to replace a leaf holds what the leaf does not",
     [](ArenaEditor& arena) {
         Leaf& leaf = arena.leaf("long");
         Leaf& fresh = take_leaf(arena);
         arena.set(fresh.depth, leaf.depth);
         arena.set(fresh.parent, arena.offset_of(&leaf));
         for (auto& word : leaf.slots) arena.set(word, ArenaEditor::get(word) | kFrozen);
         arena.set(fresh.slots[7], ArenaEditor::get(arena.slot("long")) ^ kBit << 60);
         arena.set(leaf.successor,
                   arena.offset_of(&fresh) | static_cast<std::uint64_t>(SuccessorKind::kRebuilt) | kPending);
     }},
    {"index I4", "what is to replace a leaf says that it replaces another",
     [](ArenaEditor& arena) {
         Leaf& leaf = arena.leaf("long");
         Leaf& fresh = take_leaf(arena);
         arena.set(fresh.depth, leaf.depth);
         arena.set(leaf.successor,
                   arena.offset_of(&fresh) | static_cast<std::uint64_t>(SuccessorKind::kRebuilt) | kPending);
     }},
    {"blocks I3", "what is to replace a leaf is another leaf",
     [](ArenaEditor& arena) {
         arena.set(arena.leaf("long").successor, ArenaEditor::get(arena.entry(~arena.hash("long"))) | kPending |
                                                     static_cast<std::uint64_t>(SuccessorKind::kRebuilt));
     }},
    {"index I4", "the successor of a leaf lacks a chain",
     [](ArenaEditor& arena) {
         Leaf& leaf = arena.leaf("long");
         Leaf& empty = take_leaf(arena);
         arena.set(empty.depth, leaf.depth);
         for (auto& word : leaf.slots) arena.set(word, ArenaEditor::get(word) | kFrozen);
         arena.set(leaf.successor, arena.offset_of(&empty) | static_cast<std::uint64_t>(SuccessorKind::kRebuilt));
     }},
    {"index I5", "a leaf replaces one that is none",
     [](ArenaEditor& arena) {
         arena.set(arena.leaf("long").parent, ArenaEditor::get(arena.entry(~arena.hash("long"))));
     }},
    {"index I6", "a leaf of impossible depth", [](ArenaEditor& arena) { arena.set(arena.leaf("long").depth, 61); }},
    {"index I6", "an entry names the leaf of others",
     [](ArenaEditor& arena) {
         auto& entry = arena.entry(arena.hash("long"));
         arena.set(entry, ArenaEditor::get(arena.entry(~arena.hash("long"))));
     }},
};

}  // namespace shoal_test
