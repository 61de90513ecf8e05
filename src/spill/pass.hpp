// One thread's way round the index, gathering what is cold into batches and writing them, several at once.
//
// Thread safety: none. A crash: see spill/batch.hpp.
#pragma once

#include <array>
#include <atomic>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "index/index.hpp"
#include "io/queue.hpp"
#include "spill/batch.hpp"
#include "spill/merger.hpp"

namespace shoal {

class SpillPass {
public:
    SpillPass(const SpillContext& context, const Index& index);
    ~SpillPass();
    SpillPass(const SpillPass&) = delete;
    SpillPass& operator=(const SpillPass&) = delete;

    struct Outcome {
        std::uint64_t block_bytes = 0;  // that are free, or will be when their last reader is gone
        int error = 0;                  // of a file that could not be written; the rest is spilled all the same
        bool held_back = false;         // ended since what was spilled waits for readers
    };
    // Spills until `wanted` bytes of memory will be free, or nothing more is to be had, or `stop`. Open tails are
    // closed and spilled only `with_tails`.
    [[nodiscard]] Outcome run(std::uint64_t wanted, bool with_tails, const std::atomic<bool>& stop) {
        return run(wanted, with_tails, nullptr, stop);
    }

    // One way through the index that spills all that was there when it began, and nothing that came later: of each
    // chain that was there, the segments that it has when the way comes to it. So it ends beside writers that never
    // do.
    class Trip {
    public:
        explicit Trip(const ArenaHeader& header) noexcept
            : generations_(header.generations.load(std::memory_order_relaxed)) {}  // relaxed: see make_chain
        [[nodiscard]] bool ended() const noexcept { return ended_; }

    private:
        friend class SpillPass;
        void begin_anew() noexcept {
            leaf_ = 0;
            ended_ = false;
            done_.clear();
        }
        // Within half of their numbers, since they begin anew (chain/layout.hpp).
        [[nodiscard]] bool came_later(std::uint64_t generation) const noexcept {
            const std::uint64_t behind = generation_of(generation - generations_);
            return behind != 0 && behind < 1ULL << (kGenerationBits - 1);
        }
        std::uint64_t generations_;                           // handed out so far: chains of later ones came later
        std::uint64_t leaf_ = 0;                              // hash at which the leaf in hand begins
        std::unordered_set<const Chain*> done_;               // chains of that leaf that are done with
        std::pair<const Chain*, std::uint64_t> under_way_{};  // a chain that is not, and its generation
        std::uint64_t last_ = 0;                              // ordinal of its last segment that is wanted
        bool ended_ = false;
    };
    // Goes on with the trip until `wanted` bytes of memory will be free, it has ended, or `stop`.
    [[nodiscard]] Outcome run(std::uint64_t wanted, Trip& trip, const std::atomic<bool>& stop) {
        return run(wanted, true, &trip, stop);
    }

    // Takes what it needs of the arena's memory and slots, so that it has it when they are short.
    void prepare() noexcept;
    // Lets go of the file that it writes to, so that it can be removed when nothing in it counts any more; and of
    // what it has spilled, so that whoever needs memory can free it when its last reader is gone.
    void rest();
    // Merges some of what the pass has seen in the chains that it visited; as Merger::run().
    Merger::Step merge();
    [[nodiscard]] std::uint64_t merged_bytes() const noexcept { return merger_ ? merger_->merged_bytes() : 0; }

    // So much of that waits for readers still that to spill more would bring nothing back either.
    [[nodiscard]] bool is_held_back();

    [[nodiscard]] std::string engine() const { return queue_ ? queue_->why() : std::string(); }

private:
    static constexpr std::size_t kBatches = 4;  // under way at once
    static constexpr std::size_t kLevels = 10;

    // What is resident of a chain, and where to begin to look for it.
    struct Cold {
        std::uint64_t sealed_bytes = 0;  // of blocks that are closed
        std::uint64_t tail_bytes = 0;    // claimed of the open one
        ArenaOffset from = ArenaOffset::kNull;
        std::uint64_t ordinal = 0;  // of that segment
        std::uint64_t last = 0;     // ordinal of the last segment that there is
    };
    // Behind the segments of a chain that are spilled and not merged any more: so that a long one is not walked
    // from its root each time.
    struct Begin {
        const Chain* chain;
        ArenaOffset segment;  // the last of them: as long as the chain is, it is there
        std::uint64_t ordinal;
    };

    enum class Filled : std::uint8_t { kBatchFull, kNothingLeft };
    [[nodiscard]] Outcome run(std::uint64_t wanted, bool with_tails, Trip* trip, const std::atomic<bool>& stop);
    void run_inside(std::uint64_t wanted, Trip* trip, const std::atomic<bool>& stop);
    void abandon_all() noexcept;
    [[nodiscard]] bool set_up();
    [[nodiscard]] bool open_file();
    void leave_file();
    void take_back_end() noexcept;
    [[nodiscard]] std::uint64_t room_wanted() const noexcept;
    void allocate_ahead() noexcept;
    [[nodiscard]] Filled fill(Batch& batch, std::uint64_t wanted, const std::atomic<bool>& stop);
    [[nodiscard]] Filled fill(Batch& batch, std::uint64_t wanted, Trip& trip, const std::atomic<bool>& stop);
    [[nodiscard]] bool visit_chain(Batch& batch, const Chain& chain, Trip& trip);
    [[nodiscard]] bool take_next_leaf();
    [[nodiscard]] bool end_of_round();
    [[nodiscard]] bool visit_chain(Batch& batch, const Chain& chain);
    [[nodiscard]] bool spill_chain(Batch& batch, const Chain& chain, std::uint64_t identity, const Cold& cold);
    [[nodiscard]] Cold look_at(const Chain& chain, std::uint64_t generation);

    [[nodiscard]] bool write_now(Batch& batch);
    void write(Batch& batch, std::uint64_t tag);
    void finish(const IoDone& done);
    void finish_one();
    void end_batch(std::size_t number);
    [[nodiscard]] bool free_what_can_be();

    SpillContext context_;
    const Index* index_;
    Compressor compressor_;
    std::optional<IoQueue> queue_;
    SpillerSlot slot_;  // before the batches, which give back theirs by it
    struct UnderWay {
        std::unique_ptr<Batch> batch;
        std::uint64_t begin = 0;  // in the file
        std::uint64_t end = 0;
        bool ready = false;  // the batch has what it needs
        bool active = false;
        int error = 0;
    };
    std::array<UnderWay, kBatches> batches_;
    std::optional<Merger> merger_;
    Outcome outcome_;
    std::size_t handed_on_ = 0;       // batches, since the epoch that is named next
    std::uint64_t handed_on_in_ = 0;  // epoch

    // --- the file that is written to ---
    SharedSpillFile file_;
    std::uint32_t file_number_ = 0;
    std::uint64_t file_end_ = 0;
    std::uint64_t published_end_ = 0;  // behind what segments may name
    bool wants_new_file_ = false;      // since a write came to the greatest size that a file may have here
    std::uint64_t allocated_ = 0;  // bytes of the file that the file system has allocated ahead, from its beginning

    // --- the way round ---
    std::uint64_t leaf_ = 0;  // hash at which the leaf in hand begins
    bool has_leaf_ = false;   // it may not be through yet
    std::size_t level_ = 0;
    std::size_t most_level_ = 0;
    unsigned idle_rounds_ = 0;  // that have spilled nothing, one after the other; the first may have begun anywhere
    std::uint64_t spilled_ = 0;                        // bytes, in this round
    std::array<std::uint64_t, kLevels> left_{};        // bytes that each level would have spilled, in that round
    std::unordered_map<std::uint64_t, Begin> begins_;  // by generation; of long chains only
};

}  // namespace shoal
