// The arena's header: where each table of the arena lies, and the words that all processes share.
//
// Thread safety: the first group is immutable once the arena is published; the rest is atomic.
// A crash of the creator leaves an arena without a name, which the kernel frees (store/directory.cpp).
// Invariants: I1 magic is stored last: who reads it sees all of the immutable group.
//             I2 every table lies inside the file and none overlaps another, and sizes, tree and epoch are such as
//                can be (check_header).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "arena/atomic.hpp"
#include "arena/boot_id.hpp"
#include "arena/geometry.hpp"
#include "arena/offset.hpp"
#include "arena/store_home.hpp"
#include "arena/store_id.hpp"

namespace shoal {

inline constexpr std::uint64_t kArenaMagic = 0x4152'4c41'4f48'5301;  // bytes 01 "SHOALRA" in the file
inline constexpr std::uint32_t kArenaVersion = 9;

inline constexpr std::uint64_t kPieceBytes = kPiecePages * kPageBytes;
inline constexpr std::uint32_t kEpochBuckets = 3;
inline constexpr std::uint32_t kMade = 3;  // blocks that one step of an operation links together
inline constexpr std::uint64_t kMinimumLimitBytes = 4 * kPieceBytes;
inline constexpr std::uint64_t kSlotsAt = 4096;             // of the slots, in every arena
inline constexpr std::uint64_t kDestroyedBit = 1ULL << 63;  // in the epoch word
// Of ArenaHeader::flags, which is 0 else: the store goes when no process has it open. No one damaged bit says so.
inline constexpr std::uint64_t kTemporaryFlag = 0x7972'6172'6f70'6d74;

struct ArenaHeader {
    // --- immutable after creation (written by the creator) ---
    Atomic<std::uint64_t> magic;  // kArenaMagic, stored last with release: I1
    std::uint64_t signature;      // layout_signature() of the build that made it
    std::array<char, 64> layout;  // the same in words, for the error message
    StoreId store_id;             // as store.meta and the names of spill files have it: a copy's is the original's
    std::uint64_t arena_bytes;    // of the file: the memory limit and kSlotTableBytes
    std::uint64_t page_count;     // 64 KiB pages from pages_at on, a multiple of kPiecePages
    std::uint64_t hash_seed;      // of XXH3 over keys
    std::uint64_t slots_at;       // offset: kSlots Slot; the memory of the first slots_real is there
    std::uint64_t used_at;        // offset: a bit a page, set while the page is taken
    std::uint64_t real_at;        // offset: a bit a page, set once its owner has had it allocated
    std::uint64_t tables_at;      // offset: a bit a piece, set once its block bits are allocated
    std::uint64_t owners_at;      // offset: a PageOwner per page (arena/page_owner.hpp)
    std::uint64_t partial_at;     // offset: kSizeClasses bitmaps of a bit a page: may have free blocks
    std::uint64_t block_bits_at;  // offset: 16 words a page, a bit a free block
    std::uint64_t pages_at;       // offset of page 0, a multiple of kPieceBytes
    std::uint32_t first_segment_bytes;
    std::uint32_t max_segment_bytes;
    std::uint64_t created_unix_s;
    StoreId arena_id;              // in the arena's own name; store_id, but in a copy (store/kin.hpp)
    std::uint64_t flags;           // kTemporaryFlag, or 0
    std::uint64_t spill_files_at;  // offset: kSpillFiles SpillFile; 0 where the store does not spill
    std::uint64_t codec;           // packed, of what is spilled (shoal/codec.hpp)
    std::array<char, kStorePathBytes>
        spill_folder;       // NUL-terminated, as store.meta has it; empty where it does not spill
    std::uint64_t restore;  // number of the restore that made it, 0 for none (spill/restores.hpp)
    BootId boot_id;         // of the kernel's boot in which it was made; zeroes where unknown (arena/boot_id.hpp)

    // --- read by every operation, written seldom ---
    alignas(64) Atomic<std::uint64_t> epoch;  // from 1; kDestroyedBit once the store is destroyed
    Atomic<std::uint64_t> tree;               // offset of the index's Tree
    Atomic<std::uint64_t> retirements;        // chains retired so far: tells a Key that its chain may be gone

    // --- hints, written by allocation ---
    alignas(64) Atomic<std::uint64_t> page_hint;  // word of the page map before which no page was free
    Atomic<std::uint64_t> top_hint;               // word of the page map behind which no page was free
    Atomic<std::uint32_t> slots_high_water;       // slots ever taken: bounds the scans
    Atomic<std::uint32_t> slots_real;             // slots whose memory is allocated: whole chunks; only grows
    Atomic<std::uint32_t> slot_hint;              // slot before which no slot was free, mostly

    // --- retired memory (arena/epoch.hpp) ---
    alignas(64) std::array<Atomic<std::uint64_t>, kEpochBuckets> retired;  // heads of lists, by epoch % 3
    Atomic<std::uint64_t> retired_objects;                                 // in those lists
    Atomic<std::uint64_t> epoch_began_ms;  // of the boot clock, when the epoch last moved, or later; to show

    // --- spilling (spill/) ---
    alignas(64) Atomic<std::uint64_t> generations;  // of chains, handed out so far
    alignas(64) Atomic<std::uint64_t> spill_hand;   // hash from which on the next spiller looks for what is cold
    Atomic<std::uint64_t> pages_since_call;         // pages taken since spillers were last called
    Atomic<std::uint32_t> spill_calls;              // futex: spillers sleep on it
    Atomic<std::uint32_t> spill_answers;            // futex: who waits for memory sleeps on it
    Atomic<std::uint32_t> spill_waits;              // for memory, begun so far
    Atomic<std::uint32_t> spillers;                 // asleep on spill_calls, more or less: 0 saves a system call
    Atomic<std::uint32_t> spill_errno;              // of the last try to write; 0 when it went well
    Atomic<std::uint32_t> spill_failures;           // tries that failed
    Atomic<std::uint64_t> spare_journal;            // for who has none when memory is full; 0: somebody has it

    // --- syncs (spill/sync_turns.hpp) ---
    alignas(64) Atomic<std::uint64_t> sync;  // number, phase and lapses of the newest sync: a packed SyncTurn
    Atomic<std::uint64_t> sync_owner;        // in_hand() of the slot that makes it, with the low bits of its number
    Atomic<std::uint64_t> checkpoint;        // number of the newest checkpoint that has replaced those before it
    Atomic<std::uint32_t> sync_progress;     // steps that syncs have made; one that makes none is taken for stopped
    Atomic<std::uint32_t> sync_ends;         // futex: a process that waits for a sync sleeps on it

    // --- merges (chain/merge.hpp) ---
    Atomic<std::uint64_t> merger;  // in_hand() of the slot that puts merged segments in place; 0 for none
    Atomic<std::uint64_t> merges;  // runs that were merged so far: tells that a segment seen before may be gone

    // --- written as bytes of the file, never through the mapping (arena/store_home.hpp) ---
    alignas(64) StoreHome home;

    // --- the log of changes (arena/changes.hpp): read by whatever changes the store, seldom written ---
    alignas(64) Atomic<std::uint64_t> changes_from;  // position from which on every change is in it; 0: it is off
    std::uint64_t changes_at;                        // offset of its words; 0 where the store does not spill
    std::uint64_t changes_most;                      // how many they are

    // --- written by changes to keys that were synced ---
    alignas(64) Atomic<std::uint64_t> changes_end;  // position behind the last one, from 1
};

static_assert(sizeof(ArenaHeader) == 2944, "part of the format: src/FORMAT.md");
static_assert(sizeof(ArenaHeader) <= kSlotsAt, "the home is written inside of one page");
static_assert(offsetof(ArenaHeader, magic) == 0, "a damaged or foreign file must fail on its first word");
static_assert(offsetof(ArenaHeader, signature) == 8, "an incompatible build reads this much");
static_assert(offsetof(ArenaHeader, layout) == 16, "an incompatible build reads this much");
static_assert(offsetof(ArenaHeader, store_id) == 80);
static_assert(offsetof(ArenaHeader, arena_bytes) == 96);
static_assert(offsetof(ArenaHeader, pages_at) == 176);
static_assert(offsetof(ArenaHeader, arena_id) == 200);
static_assert(offsetof(ArenaHeader, flags) == 216);
static_assert(offsetof(ArenaHeader, spill_files_at) == 224 && offsetof(ArenaHeader, codec) == 232);
static_assert(offsetof(ArenaHeader, restore) == 1264 && offsetof(ArenaHeader, boot_id) == 1272);
static_assert(offsetof(ArenaHeader, epoch) == 1344, "epoch, tree and retirements share one line");
static_assert(offsetof(ArenaHeader, page_hint) == 1408, "allocation must not disturb the epoch's line");
static_assert(offsetof(ArenaHeader, slots_high_water) == 1424 && offsetof(ArenaHeader, slots_real) == 1428);
static_assert(offsetof(ArenaHeader, retired) == 1472);
static_assert(offsetof(ArenaHeader, epoch_began_ms) == 1504);
static_assert(offsetof(ArenaHeader, generations) == 1536 && offsetof(ArenaHeader, spill_hand) == 1600);
static_assert(offsetof(ArenaHeader, spare_journal) == 1640);
static_assert(offsetof(ArenaHeader, sync) == 1664 && offsetof(ArenaHeader, checkpoint) == 1680);
static_assert(offsetof(ArenaHeader, sync_progress) == 1688 && offsetof(ArenaHeader, sync_ends) == 1692);
static_assert(offsetof(ArenaHeader, merger) == 1696 && offsetof(ArenaHeader, merges) == 1704);
static_assert(offsetof(ArenaHeader, home) == 1728);
static_assert(offsetof(ArenaHeader, changes_from) == 2816 && offsetof(ArenaHeader, changes_end) == 2880);
static_assert(std::is_standard_layout_v<ArenaHeader>, "offsets must mean the same in every build");

// One attached thread's entry in the process table. Its owner alone writes it, but for recovery of the dead,
// which holds the slot's byte lock (arena/slots.hpp), and for helpers of a drainer (Slot::draining,
// arena/epoch.hpp).
struct Slot {
    // --- written by the owner at every operation ---
    alignas(64) Atomic<std::uint64_t> epoch;  // epoch that it is in; 0 outside of every operation
    Atomic<std::uint64_t> segment;            // segment in which it may have claimed and not yet said so
    Atomic<std::uint64_t> taking;            // pages that it takes or gives back (arena/page_owner.hpp); 0 for none
    Atomic<std::uint64_t> replacing_leaf;    // leaf that it puts out of the index and may retire, 0 for none
    Atomic<std::uint64_t> replacing_in;      // tree in which that leaf is
    Atomic<std::uint64_t> replacing_hash;    // of a key that belongs there
    Atomic<std::uint32_t> light_fences;      // 1: enters epochs with a light fence (arena/asymmetric_fence.hpp)
    Atomic<std::uint32_t> draining_since_s;  // of the boot clock, when it began to free what is retired; to show
    Atomic<std::uint64_t> spilling;  // first of the SpilledBlocks that it is filling (arena/spilled_blocks.hpp)

    // --- written at attach and detach, and in slow paths ---
    alignas(64) Atomic<std::uint32_t> state;  // SlotState; anything but kFree: taken
    Atomic<std::uint32_t> generation;         // owners so far; in each claimed frame, so that an heir is told apart
    Atomic<std::uint64_t> draining;           // retired object that it takes or has taken (arena/epoch.hpp)
    Atomic<std::int32_t> process_id;          // for people, as the next; liveness is the byte lock
    Atomic<std::int32_t> thread_id;           // or kViewsThread, kSpillerThread: whatever thread comes by
    Atomic<std::uint64_t> named_by;           // offset of the word that names the run in `taking`, or is to
    Atomic<std::uint64_t> erasing_chain;      // chain that it set out to retire, 0 for none
    Atomic<std::uint64_t> erasing_tree;       // tree in which that chain is
    Atomic<std::uint64_t> dropping_tree;      // tree that it set out to replace and retire, 0 for none
    Atomic<std::uint64_t> pid_namespace;      // in which the two ids mean something: its inode, 0 where unknown

    // --- allocation: what recovery gives back ---
    struct Source {
        Atomic<std::uint32_t> page;  // page number + 1 from which this class is served, 0 for none
        std::uint32_t word;  // 0..15: where the last free bit was found; 16..31: blocks taken, up to half a page
    };
    alignas(64) std::array<Source, kSizeClasses> sources;

    // --- blocks that it has taken and not linked yet; 0 for none (recovery/finish.hpp) ---
    Atomic<std::uint64_t> made_chain;               // on its way into the index
    Atomic<std::uint64_t> made_in;                  // of that tree
    std::array<Atomic<std::uint64_t>, kMade> made;  // a segment; a tree; or two leaves and a node
    Atomic<std::uint64_t> made_for;                 // what they are to follow or replace, and its MadeKind
};

// What Slot::made holds, in the low bits of Slot::made_for.
enum class MadeKind : std::uint64_t { kSegment = 0, kLeaves = 1, kTree = 2 };
inline constexpr std::uint64_t kMadeKindBits = 3;

// In Slot::segment of a dead slot: its claims are padded, and it stands in nobody's way; the holes may not be yet.
inline constexpr std::uint64_t kClaimsDone = 1;

// Slot::thread_id of slots that no one thread has: a process's for its views, and the one by which it spills.
inline constexpr std::int32_t kViewsThread = 0;
inline constexpr std::int32_t kSpillerThread = -1;

// kRecovering: taken by a thread that died, and held by the process that recovers it, whose ids are in the slot.
enum class SlotState : std::uint32_t { kFree = 0, kTaken = 1, kRecovering = 2 };

static_assert(sizeof(Slot) % 64 == 0 && alignof(Slot) == 64, "slots must not share lines");
static_assert(offsetof(Slot, epoch) == 0 && offsetof(Slot, segment) == 8 && offsetof(Slot, spilling) == 56);
static_assert(offsetof(Slot, state) == 64 && offsetof(Slot, draining) == 72, "the hot line is the owner's alone");
static_assert(offsetof(Slot, named_by) == 88 && offsetof(Slot, pid_namespace) == 120);
static_assert(offsetof(Slot, sources) == 128);
static_assert(kSizeClasses != 10 || (offsetof(Slot, made_chain) == 208 && offsetof(Slot, made) == 224 &&
                                     offsetof(Slot, made_for) == 248 && sizeof(Slot) == 256),
              "part of the format; models have fewer classes");
static_assert(std::is_standard_layout_v<Slot>, "offsets must mean the same in every build");

// The process table lies between the header and the other tables, outside of the memory limit: a thread can attach
// when the memory is full. It is a hole of the file, but for the chunks that have been in use.
inline constexpr std::uint64_t kSlotTableBytes = round_up(kSlots * sizeof(Slot), kPieceBytes);
inline constexpr std::uint64_t kMinimumArenaBytes = kMinimumLimitBytes + kSlotTableBytes;
static_assert(kSlots % kSlotsAChunk == 0 && kAddingSlots <= kSlots, "the table is whole chunks");

// Offsets have 44 bits at most.
inline constexpr std::uint64_t kMostLimitBytes = (1ULL << 44) - kSlotTableBytes;

[[nodiscard]] constexpr std::uint64_t limit_of(std::uint64_t arena_bytes) noexcept {
    return arena_bytes - kSlotTableBytes;
}

}  // namespace shoal
