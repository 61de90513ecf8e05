// Reads a backup from a source that gives its bytes in order: each chunk is checked before any part of it is given.
//
// Thread safety: none. Bounded memory: one chunk. Any bytes give an error, and take no more memory than they are
// long, but for kMostPackedBody, and 8 bytes for each of kMostPartRecords. A crash leaves nothing. Invariants: I1
// what is given was checked: checksums, numbers, and that the parts fill their chunk;
//             I2 the parts of a key follow each other, and are as many keys, records and bytes as the chunks say.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <shoal/backup.hpp>

#include "backup/writer.hpp"

namespace shoal {

class BackupReader {
public:
    // `what`: the backup's name in errors, "backup FILE" for instance.
    BackupReader(const BackupSource& source, std::string what) : source_(&source), what_(std::move(what)) {}

    // Errors: kDamaged, also where the backup is cut off (the message says so and at which byte); kIncompatible
    // where a later build wrote it, which names both versions; the source's.
    [[nodiscard]] Result<BackupHeader> begin();

    // The next chunk, up to the end, behind which there is none. After an error, none.
    [[nodiscard]] Result<bool> next_chunk();
    // Behind the end: kDamaged where more bytes follow.
    [[nodiscard]] Result<void> finish();

    struct Part {
        ByteView key;
        std::uint32_t codec = 0;  // packed; 0: the store's
        bool begins = false;
        bool ends = false;
        bool voids = false;
        ByteView payload;
        std::span<const std::uint64_t> lengths;  // of its records; together they are the payload
    };
    // The next part of the chunk; false behind the last. Its lengths are valid until the next call, its key and
    // payload until the next chunk.
    [[nodiscard]] Result<bool> next_part(Part& part);

    // Where the chunk ends, with all before it; of the last chunk the totals.
    [[nodiscard]] const BackupPosition& position() const noexcept { return position_; }
    [[nodiscard]] bool is_resumable() const noexcept { return (chunk_.flags & kResumable) != 0; }

private:
    [[nodiscard]] tl::unexpected<Error> damaged(const std::string& what) const;
    // Fewer bytes than wanted: the source has ended.
    [[nodiscard]] Result<std::size_t> read(std::byte* to, std::size_t bytes);
    [[nodiscard]] Result<void> read_body();
    [[nodiscard]] bool count(const Part& part);  // false: it cannot come here

    const BackupSource* source_;
    std::string what_;
    BackupPosition position_;
    BackupChunk chunk_{};
    std::vector<std::byte> stored_;
    std::vector<std::byte> unpacked_;
    std::vector<std::uint64_t> lengths_;
    Decompressor decompressor_;
    ByteView body_;
    const std::byte* table_at_ = nullptr;
    std::uint64_t payload_at_ = 0;
    std::uint32_t parts_left_ = 0;
    std::uint64_t chunk_at_ = 0;  // in the backup

    // I2: what was given so far, and of the key whose parts are not at their end.
    std::uint64_t keys_ = 0;
    std::uint64_t records_ = 0;
    std::uint64_t payload_bytes_ = 0;
    std::optional<std::string> open_key_;
    std::uint64_t open_records_ = 0;
    std::uint64_t open_bytes_ = 0;
};

}  // namespace shoal
