// One sync: visits the keys that changed since the checkpoint before, copies what of them is resident and not in
// that checkpoint, and writes a delta that names all of theirs. Where the log of changes (arena/changes.hpp) does
// not reach back to that checkpoint, or its deltas have become many or large, the sync goes round the index, and
// writes a base that names everything.
//
// What was acknowledged before it began is in it. Of each chain it takes the segments up to the tail that it finds,
// so it ends however fast others append. Files are written outside of epochs: whenever the buffers are full it
// leaves, and comes back to the leaf, chain and segment where it was.
//
// Thread safety: none; each sync has its own, beside everything else: other syncs too, since another takes the turn
// of a sync that makes no step (spill/sync_turns.hpp). Such a one goes on to no effect: nothing that it has written
// gets a name, and what it says in the arena only keeps files a while.
// A crash leaves the checkpoint before, whole; and copies, and marks of segments (kCheckpointedBit), that no
// checkpoint speaks of: such room on disk comes back with its file.
// Invariants: I1 a file is kept for the sync (SpillFile::kept_until) before a segment in it is marked, and before
// the
//                file of a copy is another's to remove;
//             I2 a checkpoint is named when every extent in it is durable: the checkpoint before names it, or its
//                file was synced by this sync;
//             I3 of its own copies, which nothing names yet, a sync gives the room back when it fails or has lost
//                its turn, and never when its checkpoint may get a name;
//             I4 a delta keeps each file that the checkpoints name which it is a delta of, and has all chains of
//             each
//                hash that it speaks of;
//             I5 where a checkpoint bears a position in the log of changes, it has all that can be seen of each key
//                that is not in the log from there on (segment/watch.hpp).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

#include "index/index.hpp"
#include "spill/bundle.hpp"
#include "spill/checkpoint_reader.hpp"
#include "spill/checkpoint_writer.hpp"
#include "spill/extent_builder.hpp"
#include "spill/extent_output.hpp"
#include "spill/sync_turns.hpp"

namespace shoal {

struct SyncContext {
    Mapping& mapping;
    const Index& index;
    Slots& slots;
    Epochs& epochs;
    SpillFiles& files;
    Slot& slot;            // the calling thread's
    std::uint64_t number;  // of the turn, which the caller has taken
};

class SyncPass {
public:
    explicit SyncPass(const SyncContext& context);

    struct Outcome {
        std::uint64_t keys = 0;
        std::uint64_t records = 0;
        std::uint64_t payload_bytes = 0;
        std::uint64_t copied_bytes = 0;   // of them, payload that was written to files now
        std::uint64_t written_bytes = 0;  // to files, the checkpoint with them
    };
    // Goes as far as the phase of naming; finish_sync() does the rest.
    // Errors: of the files; kDamaged where the arena is; kDestroyed where the store is, with no text; where another
    // has taken the turn, any.
    [[nodiscard]] Result<Outcome> run();
    // It has failed since the checkpoint before cannot be read: the next try goes round the index.
    [[nodiscard]] bool has_lost_before() const noexcept { return has_lost_before_; }

private:
    enum class Step : std::uint8_t { kDone, kNeedsRoom };

    // A chain on its way into the checkpoint, over several epochs where it is long.
    struct Under {
        bool active = false;
        std::uint64_t hash = 0;
        std::uint64_t generation = 0;
        ArenaOffset at = ArenaOffset::kNull;    // segment
        ArenaOffset last = ArenaOffset::kNull;  // the last one that is wanted
        std::uint64_t ordinal = 0;              // of `at`
        std::uint64_t last_ordinal = 0;         // of `last`; set when the sync leaves the epoch before it
        std::uint64_t merges = 0;               // of the header, before `at` and `last` were seen
        std::uint64_t part = 0;                 // of the large record at `at`
        std::uint64_t parts_begin = 0;          // in the file
        std::vector<CheckpointSegment> segments;
        std::size_t extent_begins = 0;  // index of its first segment
    };

    [[nodiscard]] Result<void> begin_changes();
    [[nodiscard]] bool is_to_fold(std::uint64_t changes) const;
    [[nodiscard]] bool wait_for_epoch(std::uint64_t wanted);
    [[nodiscard]] Result<void> walk();
    [[nodiscard]] Result<void> walk_changes();
    [[nodiscard]] Result<void> go_on(const Result<Step>& step);
    [[nodiscard]] Result<Step> visit_leaf(std::uint64_t* from);
    [[nodiscard]] Result<Step> visit_hash(std::uint64_t hash);
    [[nodiscard]] Result<Step> visit_chains(std::vector<ArenaOffset>& chains);
    void end_hash(std::uint64_t hash);
    [[nodiscard]] Result<Step> visit_chain(Chain& chain);
    [[nodiscard]] bool find_again(const Chain& chain);
    void note_last_ordinal();
    [[nodiscard]] Result<Step> visit_segment(const Chain& chain, Segment& segment);
    [[nodiscard]] Result<Step> copy(const Chain& chain, const Segment& segment, const SegmentExtent& extent);
    [[nodiscard]] Result<Step> copy_parts(const Chain& chain, const Segment& segment, const SegmentExtent& extent);
    void name_stored(Segment& segment, const SegmentExtent& extent);
    void begin_extent(const Chain& chain);
    void end_extent(const Chain& chain);
    void pass_bundle() noexcept;
    void end_bundle() noexcept;
    void name_copy(std::uint64_t place);
    [[nodiscard]] Codec codec_of_chain(const Chain& chain) const;
    // What the checkpoint before says of the segment that is visited, if it says anything.
    [[nodiscard]] const CheckpointSegment* said_before();
    void name(const CheckpointSegment& segment, bool is_durable);
    [[nodiscard]] Result<void> step();

    void open_before();
    [[nodiscard]] Result<void> load_before(std::uint64_t hash);
    [[nodiscard]] Result<void> make_durable();
    [[nodiscard]] Result<void> finish_checkpoint();

    SyncContext context_;
    SyncTurns turns_;
    ExtentOutput output_;
    ExtentBuilder builder_;
    BundleBuilder bundle_;  // in the output's space; ended before the output writes that
    bool bundle_is_passed_ = false;
    Compressor compressor_;
    CheckpointWriter writer_;
    std::optional<CheckpointReader> before_;
    CheckpointedChain before_chain_;  // where before_ stands
    bool has_before_ = false;
    std::vector<CheckpointedChain>
        before_chains_;  // of the hash that is visited, which are the first before_count_
    std::size_t before_count_ = 0;
    std::size_t before_index_ = 0;      // a segment of the one that is the chain under way
    std::uint64_t before_ordinal_ = 0;  // of that segment
    bool has_lost_before_ = false;

    bool is_delta_ = false;
    std::uint64_t position_ = 0;              // that the checkpoint bears
    std::vector<std::uint64_t> changed_;      // hashes
    std::vector<std::uint64_t> hash_places_;  // that a delta names of the hash that is visited
    std::uint64_t hash_chains_ = 0;           // of it
    std::vector<std::uint64_t> freed_;        // as CheckpointTail
    CheckpointHeader counts_{};               // of a delta: of the store

    std::uint64_t done_hash_ = 0;  // the last chain that is in the checkpoint
    std::uint64_t done_generation_ = 0;
    Under under_;
    std::size_t needed_ = 0;           // room in the output, to go on
    std::uint64_t needed_in_one_ = 0;  // as ExtentOutput::make_room wants it

    std::bitset<kSpillFiles> to_sync_;
    std::bitset<kSpillFiles> kept_;  // files that are kept for this sync: I1
    Outcome outcome_;
};

}  // namespace shoal
