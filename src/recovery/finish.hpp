// What a dead thread left half-done, finished by whoever recovers its slot.
//
// Thread safety: called with the dead slot's byte locked, so by one at a time; the dead slot's epoch still stands,
// so nothing that the dead had in its hands is freed meanwhile. Idempotent: who recovers may die here too.
#pragma once

#include "index/index.hpp"

namespace shoal {

// What the dead thread was doing with pages, and then all of the following, in the order that recovery needs:
// claims, what was made, a replaced leaf, an erase, a drop, a spill; and the drain of retired memory is nobody's
// from then on. Memory is given back by the dead slot itself: its journal of pages (Slot::taking) then speaks of
// objects in its own hands, so that whoever recovers it next can tell whether they still name the pages. Nothing of
// this takes memory.
void finish_work(const Mapping& mapping, Blocks& blocks, Index& index, Epochs& epochs, const Slots& slots,
                 Slot& dead);

// Claims: frames that the dead thread claimed and did not commit become padding, and so do the holes of their
// segment once nobody else writes to it. The segment's counters are no longer trusted.
void finish_claims(const Mapping& mapping, const Slots& slots, Slot& dead);

// Blocks that the dead thread had made and not linked (arena/made.hpp) are given back; its epoch has kept what they
// were made for. Broken off by a crash and begun anew it leaks one block of up to 32 KiB.
void undo_making(const Mapping& mapping, Blocks& blocks, Index& index, Slot& dead);

// An erase: the chain is marked by the dead slot, and is unlinked and retired if it is not yet.
void finish_erase(const Mapping& mapping, Index& index, Epochs& epochs, const Slots& slots, Slot& dead);

// A drop: the tree is replaced if the dead slot was the one to do it, and retired if it is not yet.
void finish_drop(const Mapping& mapping, Index& index, Epochs& epochs, const Slots& slots, Slot& dead);

// A batch of a spiller (arena/spilled_blocks.hpp): segments that are not in a file yet are in nobody's hand again,
// and the blocks of those that are get retired.
void finish_spilling(const Mapping& mapping, Blocks& blocks, Epochs& epochs, const Slots& slots, Slot& dead);

}  // namespace shoal
