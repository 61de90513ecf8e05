// Reads a checkpoint, chain by chain: nothing in it is trusted, and memory is bounded by its largest chain.
//
// Errors are kDamaged, or kIncompatible for another version, and name the file and where in it; kNotFound where
// there is no such file; kSystem as of open(2) and read(2).
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include <shoal/error.hpp>

#include "spill/checkpoint_layout.hpp"

namespace shoal {

struct CheckpointedChain {
    std::uint64_t hash = 0;
    std::uint64_t identity = 0;
    std::string key;
    std::vector<CheckpointSegment> segments;  // all of them, from ordinal 0; one at least
};

class CheckpointReader {
public:
    // Whether the file is one to be read, by its owner; an error is passed on.
    using Check = std::function<Result<void>(const struct stat& info, const std::string& what)>;

    // Reads the header, which must be of this store. `number`: of the checkpoint, by its name.
    [[nodiscard]] static Result<CheckpointReader> open(const std::string& path, const SpillStoreId& store_id,
                                                       const Check& check = {}, std::uint64_t number = 0);
    CheckpointReader(CheckpointReader&& other) noexcept;
    CheckpointReader& operator=(CheckpointReader&&) = delete;
    ~CheckpointReader();

    [[nodiscard]] const CheckpointHeader& header() const noexcept { return header_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    // Calls `step` with the bytes that have been read, after each block, of 1 MiB or more. False: next() ends with
    // kSystem and ECANCELED.
    void on_block(std::function<bool(std::uint64_t bytes)> step) { step_ = std::move(step); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return sizeof(CheckpointHeader) + header_.body_bytes; }

    // The next chain, by hash and generation; false behind the last.
    [[nodiscard]] Result<bool> next(CheckpointedChain& chain);

private:
    CheckpointReader(std::string path, int descriptor, std::uint64_t number)
        : path_(std::move(path)), descriptor_(descriptor), number_(number) {}

    [[nodiscard]] Result<void> read(std::uint64_t offset, std::byte* to, std::uint64_t bytes) const;
    [[nodiscard]] Result<void> read_header(const SpillStoreId& store_id);
    [[nodiscard]] Result<void> read_block();
    [[nodiscard]] Result<void> take_piece(CheckpointedChain& chain, bool* more);
    [[nodiscard]] tl::unexpected<Error> damaged(const std::string& what) const;

    std::string path_;
    int descriptor_;
    std::uint64_t number_;
    CheckpointHeader header_{};
    std::vector<std::byte> block_;                     // what follows its struct
    std::size_t at_ = 0;                               // in it
    std::uint64_t offset_ = sizeof(CheckpointHeader);  // of the block behind, in the file
    std::uint64_t blocks_ = 0;                         // read
    std::uint64_t chains_ = 0;                         // given out
    std::function<bool(std::uint64_t bytes)> step_;
};

}  // namespace shoal
