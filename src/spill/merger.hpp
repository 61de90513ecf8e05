// Merges runs of a chain's spilled segments: reads what they hold, writes it as one extent, and puts one segment in
// the place of the run. So the descriptors that stay in memory, and the extents that a get reads, are few however
// often a key was spilled.
//
//   choose   inside an epoch: a run of small neighbours, all in files, behind the chain's first segment and before
//            its tail
//   read     outside of every epoch, as a get reads; a run of which an extent is gone meanwhile is left
//   write    the merged extent; the file has it before it is named
//   replace  two epochs later (chain/merge.hpp); the run is in the merger's journal, and is freed when the epoch
//            has moved on by two again
//
// Ordinals stay: the merged segment stands for all of the run's (segment I7), so extents behind it, a sync that is
// under way and a checkpoint mean what they meant.
//
// Thread safety: none; the spiller's mutex. A crash while it writes leaves room in a file that nothing names; one
// later is finished or undone from the journal (recovery/finish.cpp). Invariants: those of chain/merge.hpp.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chain/merge.hpp"
#include "index/index.hpp"
#include "spill/batch.hpp"
#include "spill/batch_journal.hpp"
#include "spill/extent_output.hpp"
#include "spill/load.hpp"
#include "spill/merge_tiers.hpp"
#include "spill/spiller_slot.hpp"

namespace shoal {

// Whether the segment is no part of a run: so much of payload, or one record that is read in parts.
[[nodiscard]] inline bool is_unmerged(const Segment& segment, const SegmentExtent& extent) noexcept {
    return extent.reserve.payload_bytes() >= kLeastUnmergedBytes || segment.single_bytes >= kLeastUnmergedBytes;
}

class Merger {
public:
    Merger(const SpillContext& context, const Index& index, SpillerSlot& slot);
    ~Merger();
    Merger(const Merger&) = delete;
    Merger& operator=(const Merger&) = delete;

    // Takes a journal while there is memory for it.
    void set_up() noexcept { static_cast<void>(journal_.set_up()); }

    // A chain that may have a run to merge.
    void propose(std::uint64_t hash, std::uint64_t generation);

    // One step: chooses and writes runs of some proposed chains, up to kBatchBytes of payload; or puts those in
    // place that it has written. kNothing: there is nothing to do, no memory for it, or the files cannot be
    // written. kHeldBack: by threads that are inside an epoch, or another merger. Throws std::bad_alloc; then it
    // goes on with the next call.
    enum class Step : std::uint8_t { kDone, kNothing, kHeldBack };
    Step run();
    // Hands on what waits for readers, as BatchJournal::hand_on(), and leaves the file that it writes to. What is
    // written and not in place stays for the next run().
    void rest() noexcept;

    // Payload that was merged so far.
    [[nodiscard]] std::uint64_t merged_bytes() const noexcept { return merged_bytes_; }

private:
    static constexpr std::uint64_t kBatchBytes = 512 << 10;
    static constexpr std::size_t kMostProposed = 1 << 18;  // more are proposed again when a pass comes by

    struct Chosen {
        std::uint64_t hash;
        std::uint64_t generation;

        friend auto operator<=>(const Chosen&, const Chosen&) = default;
    };
    struct Run {
        Chosen chain;
        std::string key;
        Codec codec;
        std::uint64_t ordinal = 0;  // of its first segment
        std::uint64_t ordinals = 0;
        std::uint64_t records = 0;
        std::uint64_t bytes = 0;
        std::vector<OldSegment> segments;
        std::vector<std::byte> payload;
        std::vector<std::uint32_t> lengths;
        std::uint64_t place = 0;  // 0 until it is written, and once it is the chain's
    };

    void order_proposed();
    void choose(std::vector<Run>& runs);
    void choose_in(const Chain& chain, const Chosen& chosen, std::vector<Run>& runs);
    void read(std::vector<Run>& runs);
    void load(std::vector<StoredPart>& parts);
    [[nodiscard]] bool make_journal_free() noexcept;
    [[nodiscard]] bool write(std::vector<Run>& runs);
    [[nodiscard]] Step replace_written();
    [[nodiscard]] Step replace_some();
    void give_up(const Run& run) noexcept;
    void give_up_written() noexcept;
    [[nodiscard]] const Chain* find(const Chosen& chosen) const;

    SpillContext context_;
    const Index* index_;
    SpillerSlot* slot_;
    BatchJournal journal_;
    Loader loader_;
    std::unique_ptr<ExtentOutput> output_;
    std::vector<Chosen> proposed_;
    bool in_order_ = true;         // proposed_, the last one first, and each once
    std::vector<Run> written_;     // that wait to be put in place
    std::uint64_t chosen_in_ = 0;  // epoch
    std::uint64_t merged_bytes_ = 0;
};

}  // namespace shoal
