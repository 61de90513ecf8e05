// The journal of one batch at a time (arena/spilled_blocks.hpp), from one to the next: taken where there is memory
// or a spare one, written, published, and free again when no reader can see its blocks; or handed on.
//
// Thread safety: none; the spiller's mutex. A crash leaves the journal to the process that recovers the slot
// (finish_spilling), or leaks it: where the slot does not name it yet, or no more.
// Invariants: I1 a journal that the slot names is this object's alone, and is named as long as it is;
//             I2 its blocks are freed by this object or by the list of retired objects, not by both: it is retired
//                inside an epoch, and no longer this object's when that one ends.
#pragma once

#include "arena/epoch.hpp"
#include "arena/spilled_blocks.hpp"
#include "spill/spiller_slot.hpp"

namespace shoal {

class BatchJournal {
public:
    BatchJournal(const Mapping& mapping, Blocks& blocks, Epochs& epochs, SpillerSlot& slot) noexcept
        : mapping_(&mapping), blocks_(&blocks), epochs_(&epochs), slot_(&slot) {}
    ~BatchJournal();  // after publish() or abandon()
    BatchJournal(const BatchJournal&) = delete;
    BatchJournal& operator=(const BatchJournal&) = delete;

    // Takes a journal where there is none, and a larger one where there is memory for it. False where none is to be
    // had.
    [[nodiscard]] bool set_up() noexcept;
    // Frees the blocks of the last batch, if no reader can see them any more; true when there are none left.
    [[nodiscard]] bool is_free() noexcept;
    // Where there are any, the journal becomes a retired object, so that they wait for no spiller that does nothing
    // more; set_up() then takes another. False: there are none, or the store is destroyed.
    bool hand_on() noexcept;

    // --- inside an epoch ---
    [[nodiscard]] bool is_full() const noexcept;
    [[nodiscard]] std::uint64_t room() const noexcept;  // for so many entries
    // A segment that the slot has in hand, or of a run that it merges.
    void add(const SpilledBlocks::Entry& entry) noexcept;
    // The merged segment of the entry that was added `back` entries before the last is linked.
    void forget_merged(std::uint64_t back) noexcept;
    // No segment names the blocks any more: they are in a file. There is one at least, since a recoverer takes a
    // journal without entries for one that no list has.
    void publish() noexcept;
    // Before any of the segments is let go: it may be another's before we die, and is none of our recoverer's then.
    void abandon() noexcept;

private:
    void improve() noexcept;

    const Mapping* mapping_;
    Blocks* blocks_;
    Epochs* epochs_;
    SpillerSlot* slot_;
    SpilledBlocks* journal_ = nullptr;
    ArenaOffset at_ = ArenaOffset::kNull;
};

}  // namespace shoal
