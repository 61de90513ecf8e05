// Writes a checkpoint: under a name that nobody reads, and in its place when it is whole and durable.
//
// Thread safety: none; one sync at a time writes a store's checkpoint. A crash leaves the one before, and perhaps a
// file that the next sync writes anew.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>

#include "spill/checkpoint_layout.hpp"

namespace shoal {

class CheckpointWriter {
public:
    // Gives the new file its group and mode: 0 or an errno.
    using Grant = std::function<int(int descriptor)>;

    // `path`: of the checkpoint.
    explicit CheckpointWriter(std::string path) : path_(std::move(path)) {}
    ~CheckpointWriter();  // removes what was not published
    CheckpointWriter(const CheckpointWriter&) = delete;
    CheckpointWriter& operator=(const CheckpointWriter&) = delete;

    // Errors, here and below: kNoSpace, kPermission, kSystem.
    [[nodiscard]] Result<void> begin(const Grant& grant);

    // A whole chain, behind all those before it by hash and generation. Kept in memory until flush().
    void add(std::uint64_t hash, std::uint64_t identity, ByteView key, std::span<const CheckpointSegment> segments);

    // Writes what is kept; does nothing before there is enough of it, unless `all`.
    [[nodiscard]] Result<void> flush(bool all);

    // The header, whose counts of the body are made here; then the file is durable.
    [[nodiscard]] Result<void> finish(CheckpointHeader header);
    // Puts it in the place of the one before.
    [[nodiscard]] Result<void> publish();

    [[nodiscard]] std::uint64_t chains() const noexcept { return chains_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return sizeof(CheckpointHeader) + written_; }

private:
    void begin_block();
    void end_block();
    [[nodiscard]] Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const;

    std::string path_;
    int descriptor_ = -1;
    std::vector<std::byte> kept_;  // whole blocks, and the one that is being filled
    std::size_t block_ = 0;        // where that begins in kept_
    bool in_block_ = false;
    std::uint64_t written_ = 0;  // bytes of the body
    std::uint64_t blocks_ = 0;
    std::uint64_t chains_ = 0;
    std::uint64_t segments_ = 0;
    std::uint64_t records_ = 0;
    std::uint64_t payload_bytes_ = 0;
};

}  // namespace shoal
