// Makes the chains of a checkpoint while one thread reads them: by that thread and by others, since making a chain
// takes several times as long as reading it. They come in the order of their hashes, so threads that work on
// neighbouring batches seldom meet in one leaf of the index.
//
// Thread safety: the public functions are for the thread that made the object; nobody else has the arena yet.
// A crash leaves nothing, since the arena has no name.
// Invariants: I1 a batch is in `free_`, in `full_`, or in the hands of one thread. mutex_ guards the two lists;
//                what is in a batch is its thread's.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "chain/chain.hpp"
#include "index/index.hpp"
#include "spill/checkpoint_reader.hpp"

namespace shoal {

class ChainBuilders {
public:
    // `context.slot` is the calling thread's; each other thread takes a slot of its own. With few chains, or where
    // no thread or slot is to be had, the calling thread makes all.
    ChainBuilders(const ChainContext& context, Slots& slots, Index& index, Epochs& epochs, ArenaOffset tree,
                  std::uint64_t chains);
    ChainBuilders(const ChainBuilders&) = delete;
    ChainBuilders& operator=(const ChainBuilders&) = delete;
    ~ChainBuilders();  // what is not made yet is not made any more

    // The place for the next chain, which counts once add() is called. Valid until then.
    [[nodiscard]] CheckpointedChain& next() noexcept { return filling_->chains[filling_->count]; }
    // False: a chain could not be made, as finish() says, and no more is wanted. May make chains, and wait.
    [[nodiscard]] bool add() { return ++filling_->count < kBatchChains || hand_over(); }

    // Waits until all that was added is made. kInserted; or why one could not be: kLimit and kNoSpace where the
    // arena is too small, kFound for a key that was there already. The last call but the destructor.
    [[nodiscard]] Index::InsertOutcome finish();

private:
    static constexpr std::size_t kBatchChains = 512;
    static constexpr std::uint64_t kWorthAThread = 16 * 1024;  // chains: some 4 ms of work
    static constexpr std::size_t kMostThreads = 7;             // about as many as one thread can read for

    static constexpr std::uint64_t kMostRetired = 64;  // leaves, of 4 KiB each

    struct Batch {
        std::vector<CheckpointedChain> chains;
        std::size_t count = 0;
    };

    [[nodiscard]] bool hand_over();
    void work() noexcept;
    void build_one(std::unique_lock<std::mutex>& lock, const ChainContext& context) noexcept;
    [[nodiscard]] Index::InsertOutcome build(const Batch& batch, const ChainContext& context) noexcept;
    void end() noexcept;

    ChainContext context_;
    Slots* slots_;
    Index* index_;
    Epochs* epochs_;
    ArenaOffset tree_;

    std::vector<Batch> batches_;
    Batch* filling_ = nullptr;  // in the hands of the thread that adds

    std::mutex mutex_;
    std::condition_variable is_full_;  // a batch is in full_, or it is the end
    std::condition_variable is_free_;
    std::vector<Batch*> free_;
    std::vector<Batch*> full_;
    bool ended_ = false;
    Index::InsertOutcome outcome_ = Index::InsertOutcome::kInserted;  // the first that is another one

    std::array<std::thread, kMostThreads> threads_;
};

}  // namespace shoal
