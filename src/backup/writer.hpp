// Writes a backup: its header, chunks of parts, and its end, into a sink that takes bytes in order.
//
// Thread safety: none. Bounded memory: one chunk, and as much again where it is compressed. A crash leaves what the
// sink has taken, which BackupReader tells from a whole backup.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <shoal/backup.hpp>

#include "backup/layout.hpp"
#include "codec/codec.hpp"

namespace shoal {

// The digest of a backup up to and with this chunk, from that up to the chunk before; 0 before the first. The end
// has it, so that a chunk that is missing, or of another backup, shows.
[[nodiscard]] std::uint64_t chunk_digest(std::uint64_t before, const BackupChunk& chunk) noexcept;
[[nodiscard]] std::uint64_t checksum_of(const BackupHeader& header) noexcept;
[[nodiscard]] std::uint64_t checksum_of(const BackupChunk& chunk) noexcept;

// Where a backup stands between two chunks.
struct BackupPosition {
    std::uint64_t file_bytes = 0;
    std::uint64_t chunks = 0;
    std::uint64_t digest = 0;
    std::uint64_t resume_at = 0;  // keys of lower hashes are written
    std::uint64_t keys = 0;
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;
};

class BackupWriter {
public:
    BackupWriter(const BackupSink& sink, const Codec& codec) : sink_(&sink), codec_(codec) {}

    // Begins a backup, or goes on at `position` of one. Errors, here and below: the sink's.
    [[nodiscard]] Result<void> begin(const BackupHeader& header);
    void resume(const BackupPosition& position) noexcept { position_ = position; }

    // A part of the chunk that is made now, whose payload is the next payload_bytes of what end_chunk() gets.
    // `flags`: kPartBegins and kPartEnds.
    void add_part(ByteView key, std::uint32_t codec, std::uint32_t flags, std::span<const std::uint64_t> lengths);
    // That the parts before of this key mean nothing, with their records and bytes.
    void add_void(ByteView key, std::uint64_t records, std::uint64_t payload_bytes);
    [[nodiscard]] std::uint32_t parts() const noexcept { return parts_; }

    // Writes the chunk. `body` is the payload of its parts, to which the table is added. `resume_at`: as
    // BackupPosition has it; nothing where a backup cannot be resumed here.
    [[nodiscard]] Result<void> end_chunk(std::vector<std::byte>& body, std::optional<std::uint64_t> resume_at);
    [[nodiscard]] Result<void> finish();

    [[nodiscard]] const BackupPosition& position() const noexcept { return position_; }

private:
    [[nodiscard]] Result<void> write_chunk(BackupChunk& chunk, ByteView stored);

    const BackupSink* sink_;
    Codec codec_;
    Compressor compressor_;
    BackupPosition position_;
    std::vector<std::byte> table_;
    std::uint32_t parts_ = 0;
    std::vector<std::byte> packed_;
};

}  // namespace shoal
