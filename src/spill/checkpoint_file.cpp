#include "spill/checkpoint_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/blocks.hpp"
#include "arena/format_version.hpp"
#include "arena/location.hpp"
#include "arena/system_failure.hpp"
#include "segment/frame.hpp"
#include "segment/layout.hpp"
#include "segment/reserve.hpp"
#include "segment/walk.hpp"
#include "spill/file_table.hpp"

namespace shoal {
namespace {

constexpr std::size_t kBlockSummedFrom = offsetof(CheckpointBlock, number);
constexpr std::size_t kBlockHead =
    sizeof(CheckpointBlock) - kBlockSummedFrom;  // of what is summed, the struct's part

// What is wrong with it, as a part of some chain; empty where it can be.
std::string flaw(const CheckpointSegment& segment) {
    const StoredAt place = stored_at(segment.place);
    const SpilledCounts counts = spilled_counts(segment.counts);
    const bool single = (segment.units & kSingleBit) != 0;
    const std::uint64_t units = units_of(segment);
    if (!is_stored(segment.place) || place.offset < kSpillFileHeaderBytes || place.bytes == 0 ||
        (place.in_bundle && place.bytes != kBundleBytes)) {
        return fmt::format("no extent is at {:#x}", segment.place);
    }
    if ((segment.counts & 3) != 2 || (counts.records == 0 && counts.payload_bytes != 0)) {
        return fmt::format("{:#x} are no counts of records", segment.counts);
    }
    const std::uint64_t bytes = units * kUnitBytes;
    const bool sized =
        is_merged(segment)
            ? !single && units == counted(counts).units && counts.payload_bytes <= kMostExtentPayloadBytes
        : single ? counts.records == 1 && units == frame_units(counts.payload_bytes)
                 : units <= kMaxSegmentUnits && Blocks::is_block_size(bytes) && counts.records <= units &&
                       counts.payload_bytes <= (units - counts.records) * kUnitBytes;
    if (!sized) return fmt::format("{} records do not go into a segment of {} units", counts.records, units);
    return {};
}

}  // namespace

CheckpointFile::~CheckpointFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

tl::unexpected<Error> CheckpointFile::damaged(const std::string& what) const {
    return tl::unexpected(Error{Code::kDamaged, fmt::format("checkpoint {} is damaged: {}", path_, what)});
}

std::string CheckpointFile::where() const {
    return fmt::format("in block {}, {} bytes in", blocks_ - 1, at_ - kBlockHead);
}

Result<std::unique_ptr<CheckpointFile>> CheckpointFile::open(const std::string& path, const SpillStoreId& store_id,
                                                             const Check& check) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0 && errno == ENOENT) {
        return tl::unexpected(Error{Code::kNotFound, fmt::format("there is no checkpoint {}", path), ENOENT});
    }
    if (descriptor < 0) return failed("cannot open checkpoint " + path, errno);
    std::unique_ptr<CheckpointFile> file(new CheckpointFile(path, descriptor));
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) return failed("checkpoint " + path, errno);
    if (auto checked = check ? check(info, "checkpoint " + path) : Result<void>{}; !checked) {
        return tl::unexpected(std::move(checked.error()));
    }
    if (!S_ISREG(info.st_mode)) return file->damaged("it is no regular file");
    if (auto read = file->read_header(store_id); !read) return tl::unexpected(std::move(read.error()));
    // The parts by themselves first: the sum of what no file can have may be any number.
    const auto size = static_cast<std::uint64_t>(info.st_size);
    std::uint64_t left = size - sizeof(CheckpointHeader);
    bool fits = file->header_.body_bytes <= left;
    left -= fits ? file->header_.body_bytes : 0;
    if (fits && file->has_tail()) {
        fits = left >= sizeof(CheckpointTail);
        left -= fits ? sizeof(CheckpointTail) : 0;
        if (auto read = fits ? file->read_tail() : Result<void>{}; !read)
            return tl::unexpected(std::move(read.error()));
        fits = fits && file->tail_.freed == left / sizeof(std::uint64_t) && left % sizeof(std::uint64_t) == 0;
        left = 0;
        if (auto places = fits ? file->freed() : std::vector<std::uint64_t>{}; !places)
            return tl::unexpected(std::move(places.error()));
    } else {
        file->tail_.chains = file->header_.chains;
    }
    if (!fits || left != 0) return file->damaged(fmt::format("it has {} bytes, which is not what it says", size));
    return file;
}

Result<void> CheckpointFile::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
    auto* at = static_cast<std::byte*>(to);
    while (bytes != 0) {
        const ssize_t count = ::pread(descriptor_, at, bytes, static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed("cannot read checkpoint " + path_, errno);
        if (count == 0) return damaged(fmt::format("it is cut off at {}", offset));
        const auto done = static_cast<std::uint64_t>(count);
        offset += done;
        at += done;
        bytes -= done;
    }
    return {};
}

Result<void> CheckpointFile::read_header(const SpillStoreId& store_id) {
    if (auto done = read(0, &header_, sizeof header_); !done) return done;
    if ((header_.magic & ~kVersionMask) != (kCheckpointMagic & ~kVersionMask)) {
        return damaged(fmt::format("no checkpoint begins with {:016x}", header_.magic));
    }
    if (header_.magic < kCheckpointMagic || header_.magic > kNewestCheckpointMagic) {
        return is_of_later_version("checkpoint " + path_, header_.magic & kVersionMask,
                                   kNewestCheckpointMagic & kVersionMask);
    }
    constexpr std::size_t kFrom = offsetof(CheckpointHeader, store_id);
    if (XXH3_64bits(reinterpret_cast<const std::byte*>(&header_) + kFrom, sizeof header_ - kFrom) !=
        header_.checksum) {
        return damaged("the checksum of its header does not match");
    }
    if (header_.store_id != store_id) return damaged("it is of another store");
    return {};
}

Result<void> CheckpointFile::read_tail() {
    const std::uint64_t at = sizeof header_ + header_.body_bytes;
    if (auto done = read(at, &tail_, sizeof tail_); !done) return done;
    if (((tail_.magic ^ kCheckpointTailMagic) & ~kVersionMask) == 0 && tail_.magic != kCheckpointTailMagic) {
        return is_of_later_version("the end of checkpoint " + path_, tail_.magic & kVersionMask,
                                   kCheckpointTailMagic & kVersionMask);
    }
    constexpr std::size_t kFrom = offsetof(CheckpointTail, before);
    if (tail_.magic != kCheckpointTailMagic ||
        XXH3_64bits(reinterpret_cast<const std::byte*>(&tail_) + kFrom, sizeof tail_ - kFrom) != tail_.checksum) {
        return damaged(fmt::format("what follows its blocks, at {}, is not what was written", at));
    }
    if ((tail_.before == 0) != (tail_.deltas == 0)) return damaged("it is no base and no delta");
    return {};
}

Result<std::vector<std::uint64_t>> CheckpointFile::freed() const {
    std::vector<std::uint64_t> places(tail_.freed);  // as many as the file has: open() has compared
    const std::uint64_t at = sizeof header_ + header_.body_bytes + sizeof tail_;
    if (auto done = read(at, places.data(), places.size() * sizeof places[0]); !done)
        return tl::unexpected(std::move(done.error()));
    if (XXH3_64bits(places.data(), places.size() * sizeof places[0]) != tail_.freed_checksum && has_tail()) {
        return damaged(fmt::format("the checksum of the places at {} does not match", at));
    }
    return places;
}

Result<CheckpointBlock> CheckpointFile::read_block_header(std::uint64_t number, std::uint64_t offset) const {
    CheckpointBlock block{};
    if (auto done = read(offset, &block, sizeof block); !done) return tl::unexpected(std::move(done.error()));
    if (((block.magic ^ kCheckpointBlockMagic) & ~kVersionMask) == 0 && block.magic != kCheckpointBlockMagic) {
        return is_of_later_version(fmt::format("block {} of checkpoint {}", number, path_),
                                   block.magic & kVersionMask, kCheckpointBlockMagic & kVersionMask);
    }
    if (block.magic != kCheckpointBlockMagic || block.number != number || block.bytes > kMostCheckpointBlockBytes) {
        return damaged(fmt::format("no block {} begins at {}", number, offset));
    }
    return block;
}

Result<void> CheckpointFile::read_block() {
    const auto block = read_block_header(blocks_, offset_);
    if (!block) return tl::unexpected(block.error());
    block_.resize(kBlockHead + block->bytes);
    std::memcpy(block_.data(), reinterpret_cast<const std::byte*>(&*block) + kBlockSummedFrom, kBlockHead);
    if (auto done = read(offset_ + sizeof *block, block_.data() + kBlockHead, block->bytes); !done) return done;
    if (XXH3_64bits(block_.data(), block_.size()) != block->checksum) {
        return damaged(fmt::format("the checksum of its block {}, at {}, does not match", blocks_, offset_));
    }
    at_ = kBlockHead;
    offset_ += sizeof *block + block->bytes;
    blocks_ += 1;
    if (step_ && !step_(sizeof *block + block->bytes))
        return stopped_by_caller("the reading of checkpoint " + path_);
    return {};
}

Result<CheckpointChain> CheckpointFile::piece() const {
    CheckpointChain piece{};
    if (block_.size() - at_ < sizeof piece) return damaged("it has no whole chain " + where());
    std::memcpy(&piece, block_.data() + at_, sizeof piece);
    const bool is_none = piece.segments == 0 && piece.key_bytes == 0 && piece.first_segment == 0;
    if (piece.key_bytes > kMaxKeyBytes || (piece.segments == 0 && !(is_none && tail_.before != 0)) ||
        piece.segments > kMostCheckpointSegments ||
        checkpoint_chain_bytes(piece.key_bytes, piece.segments) > block_.size() - at_) {
        return damaged("no chain is " + where());
    }
    return piece;
}

Result<void> CheckpointFile::take_piece(const CheckpointChain& piece, CheckpointedChain& chain) {
    const std::string_view key(reinterpret_cast<const char*>(block_.data() + at_ + sizeof piece), piece.key_bytes);
    if (piece.first_segment != chain.segments.size() ||
        (piece.first_segment != 0 &&
         (piece.hash != chain.hash || piece.identity != chain.identity || key != chain.key))) {
        return damaged("another chain begins " + where());
    }
    chain.hash = piece.hash;
    chain.identity = piece.identity;
    chain.key = key;
    const std::byte* from = block_.data() + at_ + checkpoint_chain_bytes(piece.key_bytes, 0);
    for (std::uint32_t index = 0; index < piece.segments; ++index) {
        CheckpointSegment segment{};
        std::memcpy(&segment, from + index * sizeof segment, sizeof segment);
        if (const std::string how = flaw(segment); !how.empty()) return damaged(how + " " + where());
        chain.segments.push_back(segment);
    }
    at_ += checkpoint_chain_bytes(piece.key_bytes, piece.segments);
    return {};
}

Result<std::optional<std::uint64_t>> CheckpointFile::peek() {
    while (at_ == block_.size() && blocks_ < header_.blocks) {
        if (auto done = read_block(); !done) return tl::unexpected(std::move(done.error()));
    }
    if (at_ == block_.size()) {
        if (chains_ != tail_.chains && !has_passed_blocks_) {
            return damaged(fmt::format("it has {} chains, not {}", chains_, tail_.chains));
        }
        return std::nullopt;
    }
    const auto here = piece();
    if (!here) return tl::unexpected(here.error());
    return here->hash;
}

Result<void> CheckpointFile::take(CheckpointedChain& chain) {
    chain.segments.clear();
    chains_ += 1;
    for (;;) {
        const auto here = piece();
        if (!here) return tl::unexpected(here.error());
        if (auto taken = take_piece(*here, chain); !taken) return taken;
        if (here->segments != kMostCheckpointSegments) return {};
        // It goes on in the next block, unless a chain begins there.
        while (at_ == block_.size() && blocks_ < header_.blocks) {
            if (auto done = read_block(); !done) return done;
        }
        if (at_ == block_.size()) return {};
        const auto next = piece();
        if (!next) return tl::unexpected(next.error());
        if (next->first_segment == 0) return {};
    }
}

// Where the first chain of the block behind is below the hash, so is all that is left of this one.
Result<void> CheckpointFile::skip_blocks(std::uint64_t hash) {
    while (blocks_ + 1 < header_.blocks) {
        // The block at offset_ may be passed where the one behind it begins below the hash.
        const auto block = read_block_header(blocks_, offset_);
        if (!block) return tl::unexpected(block.error());
        const std::uint64_t behind = offset_ + sizeof *block + block->bytes;
        const auto next = read_block_header(blocks_ + 1, behind);
        if (!next) return tl::unexpected(next.error());
        CheckpointChain first{};
        if (next->bytes < sizeof first) return {};
        if (auto done = read(behind + sizeof *next, &first, sizeof first); !done) return done;
        if (first.hash >= hash) return {};
        offset_ = behind;
        blocks_ += 1;
        has_passed_blocks_ = true;
    }
    return {};
}

Result<void> CheckpointFile::pass(std::uint64_t hash) {
    if (hash != ~std::uint64_t{0}) return skip_to(hash + 1);
    at_ = block_.size();  // all that is left is of that one
    blocks_ = header_.blocks;
    has_passed_blocks_ = true;
    return {};
}

Result<void> CheckpointFile::skip_to(std::uint64_t hash) {
    for (;;) {
        while (at_ != block_.size()) {
            const auto here = piece();
            if (!here) return tl::unexpected(here.error());
            if (here->hash >= hash) return {};
            if (here->first_segment == 0) chains_ += 1;
            at_ += checkpoint_chain_bytes(here->key_bytes, here->segments);
        }
        if (blocks_ == header_.blocks) return {};
        if (auto skipped = skip_blocks(hash); !skipped) return skipped;
        if (auto done = read_block(); !done) return done;
    }
}

}  // namespace shoal
