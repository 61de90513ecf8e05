// One file of a checkpoint: a base, or a delta. Nothing in it is trusted; memory is bounded by its largest chain
// and one block. What both say together: spill/checkpoint_reader.hpp.
//
// Thread safety: none. Errors are kDamaged, or kIncompatible for another version, and name the file and where in
// it; kNotFound where there is no such file; kSystem as of open(2) and read(2).
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <shoal/error.hpp>

#include "spill/checkpoint_layout.hpp"

namespace shoal {

struct CheckpointedChain {
    std::uint64_t hash = 0;
    std::uint64_t identity = 0;
    std::string key;
    std::vector<CheckpointSegment> segments;  // all of them, from ordinal 0; one at least, but as of take()
};

class CheckpointFile {
public:
    // Whether the file is one to be read, by its owner; an error is passed on.
    using Check = std::function<Result<void>(const struct stat& info, const std::string& what)>;

    // Reads header and tail, which must be of this store.
    [[nodiscard]] static Result<std::unique_ptr<CheckpointFile>> open(const std::string& path,
                                                                      const SpillStoreId& store_id,
                                                                      const Check& check);
    CheckpointFile(const CheckpointFile&) = delete;
    CheckpointFile& operator=(const CheckpointFile&) = delete;
    ~CheckpointFile();

    [[nodiscard]] const CheckpointHeader& header() const noexcept { return header_; }
    // Of a version before 4, that of a base of which nothing is known.
    [[nodiscard]] const CheckpointTail& tail() const noexcept { return tail_; }
    [[nodiscard]] bool has_tail() const noexcept { return header_.magic >= kDeltaCheckpointMagic; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    // The places behind the tail.
    [[nodiscard]] Result<std::vector<std::uint64_t>> freed() const;

    // Calls `step` with the bytes of each block that was read. False: the call that reads ends with kSystem and
    // ECANCELED.
    void on_block(std::function<bool(std::uint64_t bytes)> step) { step_ = std::move(step); }

    // The hash of the next chain; nothing behind the last.
    [[nodiscard]] Result<std::optional<std::uint64_t>> peek();
    // The next chain, which is there. Of a delta it has no segments where the hash has no chain any more.
    [[nodiscard]] Result<void> take(CheckpointedChain& chain);
    // Goes to the first chain of that hash or above. Blocks without such a chain are not read.
    [[nodiscard]] Result<void> skip_to(std::uint64_t hash);
    // Goes behind the chains of that hash, at which it stands.
    [[nodiscard]] Result<void> pass(std::uint64_t hash);

private:
    CheckpointFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

    [[nodiscard]] Result<void> read(std::uint64_t offset, void* to, std::uint64_t bytes) const;
    [[nodiscard]] Result<void> read_header(const SpillStoreId& store_id);
    [[nodiscard]] Result<void> read_tail();
    [[nodiscard]] Result<CheckpointBlock> read_block_header(std::uint64_t number, std::uint64_t offset) const;
    [[nodiscard]] Result<void> read_block();
    [[nodiscard]] Result<void> skip_blocks(std::uint64_t hash);
    // The piece at `at_`, of which the rest is in the block too.
    [[nodiscard]] Result<CheckpointChain> piece() const;
    [[nodiscard]] Result<void> take_piece(const CheckpointChain& piece, CheckpointedChain& chain);
    [[nodiscard]] tl::unexpected<Error> damaged(const std::string& what) const;
    [[nodiscard]] std::string where() const;

    std::string path_;
    int descriptor_;
    CheckpointHeader header_{};
    CheckpointTail tail_{};
    std::vector<std::byte> block_;                     // from its checksum's end on: number, bytes, chains
    std::size_t at_ = 0;                               // in it
    std::uint64_t offset_ = sizeof(CheckpointHeader);  // of the block behind, in the file
    std::uint64_t blocks_ = 0;                         // passed
    std::uint64_t chains_ = 0;                         // given out, or passed over
    bool has_passed_blocks_ = false;                   // without a look at them: chains_ says nothing
    std::function<bool(std::uint64_t bytes)> step_;
};

}  // namespace shoal
