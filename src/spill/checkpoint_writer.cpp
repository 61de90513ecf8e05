#include "spill/checkpoint_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <xxhash.h>

#include "arena/crash_point.hpp"
#include "arena/system_failure.hpp"
#include "io/file_limit_signal.hpp"
#include "segment/layout.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kFlushBytes = 4 << 20;

template <class Struct>
void put(std::vector<std::byte>& to, const Struct& value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    to.insert(to.end(), bytes, bytes + sizeof value);
}

}  // namespace

int name_checkpoint(const std::string& path) {
    const std::string unpublished = path + std::string(kUnpublishedEnding);
    if (::rename(unpublished.c_str(), path.c_str()) == 0) return 0;
    if (errno != EPERM && errno != EACCES) return errno;
    // Another member's of the store's group, in a folder with the sticky bit: the name that it has stays until its
    // owner syncs next.
    if (::link(unpublished.c_str(), path.c_str()) == 0 || errno == EEXIST) return 0;
    return errno;
}

CheckpointWriter::~CheckpointWriter() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(unpublished_path_.c_str());
}

Result<void> CheckpointWriter::begin(const Grant& grant) {
    ::unlink(unpublished_path_.c_str());  // of a sync before the arena was lost, that was killed
    descriptor_ = ::open(unpublished_path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor_ < 0) return failed("cannot make checkpoint " + unpublished_path_, errno);
    if (const int cause = grant ? grant(descriptor_) : 0; cause != 0) {
        return failed("cannot share checkpoint " + unpublished_path_, cause);
    }
    crash_point(CrashPoint::kCheckpointBegun);
    return {};
}

void CheckpointWriter::begin_block() {
    block_ = kept_.size();
    put(kept_, CheckpointBlock{kCheckpointBlockMagic, 0, blocks_++, 0});
    in_block_ = true;
}

void CheckpointWriter::end_block() {
    if (!in_block_) return;
    CheckpointBlock block{};
    std::memcpy(&block, kept_.data() + block_, sizeof block);
    block.bytes = kept_.size() - block_ - sizeof block;
    std::memcpy(kept_.data() + block_, &block, sizeof block);
    constexpr std::size_t kFrom = offsetof(CheckpointBlock, number);
    block.checksum = XXH3_64bits(kept_.data() + block_ + kFrom, kept_.size() - block_ - kFrom);
    std::memcpy(kept_.data() + block_, &block, sizeof block);
    in_block_ = false;
}

void CheckpointWriter::make_room() {
    if (in_block_ && kept_.size() - block_ >= kCheckpointBlockBytes) end_block();
    if (!in_block_) begin_block();
}

void CheckpointWriter::add_none(std::uint64_t hash) {
    make_room();
    put(kept_, CheckpointChain{hash, 0, 0, 0, 0});
    none_ += 1;
}

void CheckpointWriter::add(std::uint64_t hash, std::uint64_t identity, ByteView key,
                           std::span<const CheckpointSegment> segments) {
    chains_ += 1;
    segments_ += segments.size();
    for (const CheckpointSegment& segment : segments) {
        records_ += spilled_counts(segment.counts).records;
        payload_bytes_ += spilled_counts(segment.counts).payload_bytes;
    }
    for (std::uint64_t first = 0; first < segments.size();) {
        make_room();
        const std::uint64_t count = std::min<std::uint64_t>(segments.size() - first, kMostCheckpointSegments);
        put(kept_, CheckpointChain{hash, identity, static_cast<std::uint32_t>(key.size()),
                                   static_cast<std::uint32_t>(count), first});
        kept_.insert(kept_.end(), key.data(), key.data() + key.size());
        kept_.resize(kept_.size() + (8 - key.size() % 8) % 8);
        for (const CheckpointSegment& segment : segments.subspan(first, count)) put(kept_, segment);
        first += count;
    }
}

Result<void> CheckpointWriter::flush(bool all) {
    if (!all && kept_.size() < kFlushBytes) return {};
    end_block();
    if (auto written = write(sizeof(CheckpointHeader) + written_, kept_); !written) return written;
    written_ += kept_.size();
    kept_.clear();
    return {};
}

Result<void> CheckpointWriter::finish(CheckpointHeader header, CheckpointTail tail,
                                      std::span<const std::uint64_t> freed) {
    if (auto flushed = flush(true); !flushed) return flushed;
    header.magic = kNewestCheckpointMagic;
    header.body_bytes = written_;
    header.blocks = blocks_;
    if (tail.before == 0) {
        header.chains = chains_;
        header.segments = segments_;
        header.records = records_;
        header.payload_bytes = payload_bytes_;
        tail.base_bytes = written_;
    } else {
        tail.delta_bytes += written_;
    }
    tail.magic = kCheckpointTailMagic;
    tail.chains = chains_ + none_;
    tail.freed = freed.size();
    tail.freed_checksum = XXH3_64bits(freed.data(), freed.size_bytes());
    constexpr std::size_t kTailFrom = offsetof(CheckpointTail, before);
    const auto* end = reinterpret_cast<const std::byte*>(&tail);
    tail.checksum = XXH3_64bits(end + kTailFrom, sizeof tail - kTailFrom);
    const std::uint64_t behind = sizeof header + written_;
    if (auto written = write(behind, {end, sizeof tail}); !written) return written;
    if (auto written = write(behind + sizeof tail, std::as_bytes(freed)); !written) return written;
    behind_ = sizeof tail + freed.size_bytes();
    constexpr std::size_t kFrom = offsetof(CheckpointHeader, store_id);
    header.checksum = XXH3_64bits(reinterpret_cast<const std::byte*>(&header) + kFrom, sizeof header - kFrom);
    const auto* bytes = reinterpret_cast<const std::byte*>(&header);
    if (auto written = write(0, {bytes, sizeof header}); !written) return written;
    if (::fsync(descriptor_) != 0) {
        return failed("cannot sync checkpoint " + unpublished_path_, errno);
    }
    crash_point(CrashPoint::kCheckpointWritten);
    return {};
}

void CheckpointWriter::keep() noexcept {
    ::close(descriptor_);
    descriptor_ = -1;
}

Result<void> CheckpointWriter::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    const FileLimitSignalHeld held_back;
    while (!bytes.empty()) {
        const ssize_t count = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            return failed("cannot write checkpoint " + unpublished_path_, count < 0 ? errno : ENOSPC);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
    return {};
}

}  // namespace shoal
