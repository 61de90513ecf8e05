// What is left of a sync when its checkpoint is whole and durable, and only wants its name: the rename, the room
// that only the checkpoint before it named, the files of which nothing counts any more, the checkpoints before it.
// The sync that wrote it does this; where that one has died or is stopped, another does, from the beginning or
// beside it.
//
// A delta leaves the checkpoints that it is a delta of, and says itself what room they named that it does not.
//
// Thread safety: any number of threads for one sync, at any time, a thread that was stopped for long among them.
// A crash leaves the rest to the next sync, but for a file without readers: see remove_spill_files.
// Invariants: I1 room is given back when the checkpoint that does not name it any more is durable;
//             I2 only by a descriptor that was opened while the checkpoint before still held the file: whatever
//                becomes of the file's number, what such a descriptor means holds nothing else at that place;
//             I3 no later checkpoint names it: a sync begins when the one before has replaced the checkpoint
//                before that (I1 of spill/sync_turns.hpp), and so finds only what that one names, and what segments
//                do, of which none comes back.
#pragma once

#include <shoal/error.hpp>

#include "arena/epoch.hpp"
#include "spill/files.hpp"
#include "spill/sync_turns.hpp"

namespace shoal {

struct SyncFinishContext {
    Mapping& mapping;
    const Epochs& epochs;
    SpillFiles& files;
    const Slot& slot;  // the calling thread's
};

// Does what is left of the sync of that number, from naming on, where there is anything left. Errors: kDestroyed,
// with no text; of the folder: then the sync is where it was, and nothing is lost.
[[nodiscard]] Result<void> finish_sync(const SyncFinishContext& context, std::uint64_t number);

// Ends the sync of that number that has failed while it copied. False where another has taken its turn.
bool give_up_sync(Mapping& mapping, std::uint64_t number) noexcept;

// Removes what syncs before that one, which can never be named any more, have left of a checkpoint.
void remove_unpublished_before(const SpillFiles& files, std::uint64_t number);

[[nodiscard]] Result<void> sync_folder(const std::string& folder);

}  // namespace shoal
