// Reads a checkpoint, chain by chain: a base, and the deltas that followed it, as one. Nothing in the files is
// trusted, and memory is bounded by the largest chain and one block per file.
//
// Of each hash the newest file that speaks of it says all: the chains that the store had of it, or that there was
// none.
//
// Thread safety: none. Errors are those of spill/checkpoint_file.hpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <shoal/error.hpp>

#include "spill/checkpoint_file.hpp"

namespace shoal {

inline constexpr std::uint64_t kMostDeltas =
    16;  // behind one base: files that are open at once, and passes to merge

class CheckpointReader {
public:
    using Check = CheckpointFile::Check;

    // Reads the headers of the newest file, which is at `path`, and of those that it is a delta of, which lie
    // beside it. `number`: of the checkpoint, by its name.
    [[nodiscard]] static Result<CheckpointReader> open(const std::string& path, const SpillStoreId& store_id,
                                                       const Check& check = {}, std::uint64_t number = 0);

    // Of the newest file, which counts all that the checkpoint has.
    [[nodiscard]] const CheckpointHeader& header() const noexcept { return newest().header(); }
    [[nodiscard]] const CheckpointTail& tail() const noexcept { return newest().tail(); }
    [[nodiscard]] const std::string& path() const noexcept { return newest().path(); }
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    [[nodiscard]] const CheckpointFile& newest() const noexcept { return *files_.front(); }
    // Those of its files, the newest first.
    [[nodiscard]] const std::vector<std::uint64_t>& numbers() const noexcept { return numbers_; }

    // Calls `step` with the bytes that have been read, after each block, mostly of 1 MiB. False: next() ends with
    // kSystem and ECANCELED.
    void on_block(std::function<bool(std::uint64_t bytes)> step);
    [[nodiscard]] std::uint64_t bytes() const noexcept;  // of all its files

    // The next chain, by hash and generation; false behind the last.
    [[nodiscard]] Result<bool> next(CheckpointedChain& chain);
    // Goes on with the first chain of that hash or above.
    [[nodiscard]] Result<void> skip_to(std::uint64_t hash);

private:
    CheckpointReader() = default;

    std::vector<std::unique_ptr<CheckpointFile>> files_;  // the newest first
    std::vector<std::uint64_t> numbers_;
    std::uint64_t number_ = 0;
};

}  // namespace shoal
