// What is in spill files, as the arena says it: the table of files, the segments whose bytes are in one, and the
// journals of spillers. spill/file_table.hpp, segment/hand_over.hpp, arena/spilled_blocks.hpp. The files themselves
// are not read: that each extent is what it should be is seen where it is.
#pragma once

#include "verify/inspection.hpp"

namespace shoal {

// First: where the table is, so that the rest can look into it. Nothing in a store that does not spill.
void check_spill_files(Inspection& inspection);

// The words of one segment by which it is, or is to be, in a file; read once.
struct SpillWords {
    std::uint64_t at;  // the segment's offset
    std::uint64_t block;
    std::uint64_t spill;
    std::uint64_t data_units;
    std::uint64_t single_bytes;
    bool closed;
};
// Of a segment that is spilled: what the extent holds of it; counts of nothing where they cannot be.
SpilledCounts check_stored(Inspection& inspection, const SpillWords& words);
// Of one that is not.
void check_in_hand(Inspection& inspection, const SpillWords& words);

// A batch's journal, of a dead spiller or retired, and the blocks that are its own by now.
void check_spilled_blocks(Inspection& inspection, std::uint64_t journal, std::uint64_t from, Holder holder);

// Last, at rest: what only all segments and journals together can tell.
void check_spill_totals(Inspection& inspection);

}  // namespace shoal
