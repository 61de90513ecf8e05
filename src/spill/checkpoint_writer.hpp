// Writes a checkpoint under a name that no reader looks at. It gets the name that readers look at when it is whole
// and durable, by name_checkpoint(): from any process (spill/sync_finish.hpp).
//
// Thread safety: none. Each sync writes a checkpoint of its own. A crash leaves a file without a reader, which the
// next sync removes.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>

#include "spill/checkpoint_layout.hpp"

namespace shoal {

inline constexpr std::string_view kUnpublishedEnding = ".new";  // of the name before

// Gives the checkpoint the name `path`, also one that another member of the store's group wrote into a folder with
// the sticky bit. 0 or an errno: ENOENT where it has that name already, or is gone.
[[nodiscard]] int name_checkpoint(const std::string& path);

class CheckpointWriter {
public:
    // Gives the new file its group and mode: 0 or an errno.
    using Grant = std::function<int(int descriptor)>;

    // `path`: of the checkpoint.
    explicit CheckpointWriter(const std::string& path)
        : unpublished_path_(path + std::string(kUnpublishedEnding)) {}
    ~CheckpointWriter();  // removes the file, but for keep()
    CheckpointWriter(const CheckpointWriter&) = delete;
    CheckpointWriter& operator=(const CheckpointWriter&) = delete;

    // Errors, here and below: kNoSpace, kPermission, kSystem.
    [[nodiscard]] Result<void> begin(const Grant& grant);

    // A whole chain, behind all those before it by hash and generation. Kept in memory until flush().
    void add(std::uint64_t hash, std::uint64_t identity, ByteView key, std::span<const CheckpointSegment> segments);

    // Writes what is kept; does nothing before there is enough of it, unless `all`.
    [[nodiscard]] Result<void> flush(bool all);

    // Of a delta: the hash has no chain any more.
    void add_none(std::uint64_t hash);

    // Header and tail, whose counts of the file are made here, and `freed` behind them; then the file is durable.
    // Of a base the header's other counts too.
    [[nodiscard]] Result<void> finish(CheckpointHeader header, CheckpointTail tail = {},
                                      std::span<const std::uint64_t> freed = {});
    // The file is wanted: this object does not remove it.
    void keep() noexcept;

    [[nodiscard]] std::uint64_t chains() const noexcept { return chains_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return sizeof(CheckpointHeader) + written_ + behind_; }

private:
    void begin_block();
    void make_room();
    void end_block();
    [[nodiscard]] Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const;

    std::string unpublished_path_;  // here, since the destructor must not need memory
    int descriptor_ = -1;
    std::vector<std::byte> kept_;  // whole blocks, and the one that is being filled
    std::size_t block_ = 0;        // where that begins in kept_
    bool in_block_ = false;
    std::uint64_t written_ = 0;  // bytes of the body
    std::uint64_t behind_ = 0;   // and behind it
    std::uint64_t blocks_ = 0;
    std::uint64_t chains_ = 0;
    std::uint64_t none_ = 0;  // hashes without chains
    std::uint64_t segments_ = 0;
    std::uint64_t records_ = 0;
    std::uint64_t payload_bytes_ = 0;
};

}  // namespace shoal
