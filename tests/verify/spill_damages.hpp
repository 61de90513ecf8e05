// Ways to damage an arena of a store that spills, each with the invariant that it breaks.
#pragma once

#include <vector>

#include "arena/location.hpp"
#include "arena/spilled_blocks.hpp"
#include "damages.hpp"

namespace shoal_test {

inline Options spilling_into(const std::string& folder, std::uint64_t limit_bytes) {
    Options options = with_limit(limit_bytes);
    options.spill_dir = folder;
    options.spill_thread = false;
    return options;
}

// Keys that are in files: of several segments in one extent, and of one large record; and one that is in memory.
inline void fill_and_spill(Store& store) {
    for (const char* key : {"long", "short", "other"}) {
        for (int number = 0; number < 2000; ++number) {
            REQUIRE(store.append(key, "record " + std::to_string(number)).has_value());
        }
    }
    REQUIRE(store.append("large", std::string(300'000, 'l')).has_value());
    REQUIRE(store.spill(8 * kMiB).has_value());
    for (int number = 0; number < 50; ++number) {
        REQUIRE(store.append("resident", "record " + std::to_string(number)).has_value());
    }
}

inline void change_place(ArenaEditor& arena, const std::string& key, const std::function<void(StoredAt&)>& change) {
    auto& block = arena.segment(key, 0).block;
    REQUIRE(is_stored(ArenaEditor::get(block)));
    StoredAt place = stored_at(ArenaEditor::get(block));
    change(place);
    arena.set(block, pack(place));
}

// The journal of a slot whose owner died, in a block of 4 KiB of its own.
inline SpilledBlocks& dead_journal(ArenaEditor& arena) {
    const std::uint64_t page = arena.real_page(false);
    const std::uint64_t at = arena.header().pages_at + page * kPageBytes;
    arena.set(arena.used(page), ArenaEditor::get(arena.used(page)) | kBit << (page % 64));
    arena.set(arena.owner(page), 7);
    auto& journal = arena.at<SpilledBlocks>(at);
    arena.set(journal.bytes, 4096);
    take_slot(arena, 17);
    arena.set(arena.process_slot(17).spilling, at);
    return journal;
}

inline const std::vector<Damaging> kSpillDamages{
    {"layout I2", "the table of files is not a page",
     [](ArenaEditor& arena) { arena.set(arena.header().spill_files_at, arena.header().spill_files_at + 64); }},
    {"layout I2", "the table of files is behind the end",
     [](ArenaEditor& arena) { arena.set(arena.header().spill_files_at, arena.header().arena_bytes); }},
    {"layout I2", "the table of files is in the tables",
     [](ArenaEditor& arena) { arena.set(arena.header().spill_files_at, kPageBytes); }},
    {"layout I2", "the folder has no end",
     [](ArenaEditor& arena) { arena.set(arena.header().spill_folder.back(), 'x'); }},
    {"layout I2", "a table of files and no folder",
     [](ArenaEditor& arena) { arena.set(arena.header().spill_folder.front(), 0); }},
    {"blocks I7", "the table of files in a page that is cut into blocks",
     [](ArenaEditor& arena) {
         const std::uint64_t page = arena.page_of(&arena.chain("long"));
         arena.set(arena.header().spill_files_at, arena.header().pages_at + page * kPageBytes);
     }},
    {"chain I6", "a chain of no generation",
     [](ArenaEditor& arena) { arena.set(arena.chain("long").identity, 0); }},
    {"chain I6", "a chain of a generation that is to come",
     [](ArenaEditor& arena) {
         arena.set(arena.chain("long").identity, ArenaEditor::get(arena.header().generations) + 1);
     }},

    {"segment I6", "a segment in a bundle that is larger than a bundle is",
     [](ArenaEditor& arena) {
         change_place(arena, "long", [](StoredAt& place) {
             place.in_bundle = true;
             place.bytes = kBundleBytes + 64;
         });
     }},
    {"file_table I1", "a file of an owner that cannot be",
     [](ArenaEditor& arena) { arena.set(arena.spill_file(0).owner, 7); }},
    {"file_table I1", "a file in the hand of a slot that is none",
     [](ArenaEditor& arena) { arena.set(arena.spill_file(9).owner, in_hand(kSlots, 1)); }},
    {"file_table I2", "an extent in a file that nobody made",
     [](ArenaEditor& arena) { change_place(arena, "long", [](StoredAt& place) { place.file = 9; }); }},
    {"file_table I2", "an extent in the head of a file",
     [](ArenaEditor& arena) { change_place(arena, "long", [](StoredAt& place) { place.offset = 64; }); }},
    {"file_table I2", "an extent of no bytes",
     [](ArenaEditor& arena) { change_place(arena, "long", [](StoredAt& place) { place.bytes = 0; }); }},
    {"file_table I2", "an extent beyond the end of its file",
     [](ArenaEditor& arena) {
         change_place(arena, "long", [&](StoredAt& place) {
             place.bytes = ArenaEditor::get(arena.spill_file(0).end) - place.offset + 64;
         });
     }},
    {"file_table I3", "fewer bytes of a file count than segments name",
     [](ArenaEditor& arena) {
         auto& live_bytes = arena.spill_file(0).live_bytes;
         arena.set(live_bytes, ArenaEditor::get(live_bytes) - 64);
     }},
    {"file_table I3", "bytes count of a file that nobody made",
     [](ArenaEditor& arena) { arena.set(arena.spill_file(9).live_bytes, 64); }},
    {"file_table I3", "two keys have one extent",
     [](ArenaEditor& arena) {
         arena.set(arena.segment("short", 0).block, ArenaEditor::get(arena.segment("large", 0).block));
     }},

    {"file_table I4", "an extent of a checkpoint in a file of which none is named",
     [](ArenaEditor& arena) {
         auto& spill = arena.segment("long", 0).spill;
         arena.set(spill, ArenaEditor::get(spill) | kCheckpointedBit);
     }},

    {"hand_over I1", "a segment in the hand of a slot that is none",
     [](ArenaEditor& arena) { arena.set(arena.segment("resident", 0).spill, in_hand(kSlots, 1)); }},
    {"hand_over I1", "a segment in hand that takes records yet",
     [](ArenaEditor& arena) { arena.set(arena.segment("resident", -1).spill, in_hand(17, 1)); }},
    {"hand_over I1", "a word for being in hand that means nothing",
     [](ArenaEditor& arena) { arena.set(arena.segment("resident", 0).spill, 3); }},
    {"hand_over I2", "a segment in a file that takes records yet",
     [](ArenaEditor& arena) { arena.set(arena.segment("long", 0).reserve, 1); }},
    {"hand_over I3", "a segment in a file without counts",
     [](ArenaEditor& arena) { arena.set(arena.segment("long", 0).spill, 0); }},
    {"hand_over I3", "more records than there is room for",
     [](ArenaEditor& arena) {
         arena.set(arena.segment("long", 0).spill, pack(SpilledCounts{9, 8}));
     }},
    {"hand_over I3", "a large record that is not as long as it was",
     [](ArenaEditor& arena) {
         arena.set(arena.segment("large", 0).spill, pack(SpilledCounts{1, 299'999}));
     }},
    {"hand_over I3", "counts of what is in memory, and in no journal",
     [](ArenaEditor& arena) {
         arena.set(arena.segment("resident", 0).spill, pack(SpilledCounts{1, 8}));
     }},

    {"slots I2", "a free slot has a journal of what it spills",
     [](ArenaEditor& arena) { arena.set(arena.process_slot(17).spilling, arena.header().pages_at); }},
    {"blocks I7", "a journal beyond the arena",
     [](ArenaEditor& arena) {
         take_slot(arena, 17);
         arena.set(arena.process_slot(17).spilling, arena.header().arena_bytes);
     }},
    {"spilled_blocks I1", "a journal with more entries than it has room for",
     [](ArenaEditor& arena) { arena.set(dead_journal(arena).count, 170); }},
    {"blocks I7", "a spare journal beyond the arena",
     [](ArenaEditor& arena) { arena.set(arena.header().spare_journal, arena.header().arena_bytes); }},
    {"spilled_blocks I1", "a spare journal that has no size",
     [](ArenaEditor& arena) {
         arena.set(arena.at<SpilledBlocks>(ArenaEditor::get(arena.header().spare_journal)).bytes, 0);
     }},
    {"blocks I7", "a journal with a segment that is none",
     [](ArenaEditor& arena) {
         SpilledBlocks& journal = dead_journal(arena);
         arena.set(journal.count, 1);
         arena.set(journal.entries[0].segment, 7);
         arena.set(journal.entries[0].block, 64);
     }},
    {"spilled_blocks I2", "a journal that frees what its segment still names",
     [](ArenaEditor& arena) {
         SpilledBlocks& journal = dead_journal(arena);
         const Segment& segment = arena.segment("resident", 0);
         arena.set(journal.count, 1);
         arena.set(journal.published_in, 1);
         arena.set(journal.entries[0].segment, arena.offset_of(&segment));
         arena.set(journal.entries[0].block, ArenaEditor::get(segment.block));
         arena.set(journal.entries[0].units, segment.data_units);
     }},
    {"spilled_blocks I2", "a journal of more written than there is",
     [](ArenaEditor& arena) {
         SpilledBlocks& journal = dead_journal(arena);
         arena.set(journal.count, 1);
         arena.set(journal.published_in, 1);
         arena.set(journal.entries[0].block, arena.offset_of(&journal) + 4096);
         arena.set(journal.entries[0].units, 512);
         arena.set(journal.entries[0].written, 513);
     }},
    {"epoch I1", "what is retired is no journal",
     [](ArenaEditor& arena) { arena.set(arena.header().retired[0], arena.offset_of(&arena.chain("long")) | 3); }},
};

}  // namespace shoal_test
