#include "spill/checkpoint_reader.hpp"

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
#include "spill/file_table.hpp"

namespace shoal {
namespace {

// What is wrong with it, as a part of some chain; empty where it can be.
std::string flaw(const CheckpointSegment& segment) {
    const StoredAt place = stored_at(segment.place);
    const SpilledCounts counts = spilled_counts(segment.counts);
    const bool single = (segment.units & kSingleBit) != 0;
    const std::uint64_t units = segment.units & ~kSingleBit;
    if (!is_stored(segment.place) || place.offset < kSpillFileHeaderBytes || place.bytes == 0 ||
        (place.in_bundle && place.bytes != kBundleBytes)) {
        return fmt::format("no extent is at {:#x}", segment.place);
    }
    if ((segment.counts & 3) != 2 || (counts.records == 0 && counts.payload_bytes != 0)) {
        return fmt::format("{:#x} are no counts of records", segment.counts);
    }
    const std::uint64_t bytes = units * kUnitBytes;
    const bool sized = single
                           ? counts.records == 1 && units == frame_units(counts.payload_bytes)
                           : units <= kMaxSegmentUnits && Blocks::is_block_size(bytes) && counts.records <= units &&
                                 counts.payload_bytes <= (units - counts.records) * kUnitBytes;
    if (!sized) return fmt::format("{} records do not go into a segment of {} units", counts.records, units);
    return {};
}

}  // namespace

CheckpointReader::CheckpointReader(CheckpointReader&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      number_(other.number_),
      header_(other.header_),
      block_(std::move(other.block_)),
      at_(other.at_),
      offset_(other.offset_),
      blocks_(other.blocks_),
      chains_(other.chains_),
      step_(std::move(other.step_)) {}

CheckpointReader::~CheckpointReader() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

tl::unexpected<Error> CheckpointReader::damaged(const std::string& what) const {
    return tl::unexpected(Error{Code::kDamaged, fmt::format("checkpoint {} is damaged: {}", path_, what)});
}

Result<CheckpointReader> CheckpointReader::open(const std::string& path, const SpillStoreId& store_id,
                                                const Check& check, std::uint64_t number) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0 && errno == ENOENT) {
        return tl::unexpected(Error{Code::kNotFound, fmt::format("there is no checkpoint {}", path), ENOENT});
    }
    if (descriptor < 0) return failed("cannot open checkpoint " + path, errno);
    CheckpointReader reader(path, descriptor, number);
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) return failed("checkpoint " + path, errno);
    if (auto checked = check ? check(info, "checkpoint " + path) : Result<void>{}; !checked) {
        return tl::unexpected(std::move(checked.error()));
    }
    if (!S_ISREG(info.st_mode)) return reader.damaged("it is no regular file");
    if (auto read = reader.read_header(store_id); !read) return tl::unexpected(std::move(read.error()));
    const std::uint64_t bytes = reader.bytes();
    if (static_cast<std::uint64_t>(info.st_size) != bytes) {
        return reader.damaged(fmt::format("it has {} bytes, not {}", info.st_size, bytes));
    }
    return reader;
}

Result<void> CheckpointReader::read(std::uint64_t offset, std::byte* to, std::uint64_t bytes) const {
    while (bytes != 0) {
        const ssize_t count = ::pread(descriptor_, to, bytes, static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed("cannot read checkpoint " + path_, errno);
        if (count == 0) return damaged(fmt::format("it is cut off at {}", offset));
        const auto done = static_cast<std::uint64_t>(count);
        offset += done;
        to += done;
        bytes -= done;
    }
    return {};
}

Result<void> CheckpointReader::read_header(const SpillStoreId& store_id) {
    auto* bytes = reinterpret_cast<std::byte*>(&header_);
    if (auto done = read(0, bytes, sizeof header_); !done) return done;
    if ((header_.magic & ~kVersionMask) != (kCheckpointMagic & ~kVersionMask)) {
        return damaged(fmt::format("no checkpoint begins with {:016x}", header_.magic));
    }
    if (header_.magic < kCheckpointMagic || header_.magic > kBundlesCheckpointMagic) {
        return is_of_later_version("checkpoint " + path_, header_.magic & kVersionMask,
                                   kBundlesCheckpointMagic & kVersionMask);
    }
    constexpr std::size_t kFrom = offsetof(CheckpointHeader, store_id);
    if (XXH3_64bits(bytes + kFrom, sizeof header_ - kFrom) != header_.checksum) {
        return damaged("the checksum of its header does not match");
    }
    if (header_.store_id != store_id) return damaged("it is of another store");
    return {};
}

Result<void> CheckpointReader::read_block() {
    CheckpointBlock block{};
    if (auto done = read(offset_, reinterpret_cast<std::byte*>(&block), sizeof block); !done) return done;
    if (((block.magic ^ kCheckpointBlockMagic) & ~kVersionMask) == 0 && block.magic != kCheckpointBlockMagic) {
        return is_of_later_version(fmt::format("block {} of checkpoint {}", blocks_, path_),
                                   block.magic & kVersionMask, kCheckpointBlockMagic & kVersionMask);
    }
    if (block.magic != kCheckpointBlockMagic || block.number != blocks_ ||
        block.bytes > kMostCheckpointBlockBytes) {
        return damaged(fmt::format("no block {} begins at {}", blocks_, offset_));
    }
    constexpr std::size_t kFrom = offsetof(CheckpointBlock, number);
    constexpr std::size_t kSummed = sizeof block - kFrom;
    std::vector<std::byte> summed(kSummed + block.bytes);
    std::memcpy(summed.data(), reinterpret_cast<const std::byte*>(&block) + kFrom, kSummed);
    if (auto done = read(offset_ + sizeof block, summed.data() + kSummed, block.bytes); !done) return done;
    if (XXH3_64bits(summed.data(), summed.size()) != block.checksum) {
        return damaged(fmt::format("the checksum of its block {}, at {}, does not match", blocks_, offset_));
    }
    block_.assign(summed.begin() + kSummed, summed.end());
    at_ = 0;
    offset_ += sizeof block + block.bytes;
    blocks_ += 1;
    if (step_ && !step_(offset_)) return stopped_by_caller("the reading of checkpoint " + path_);
    return {};
}

// The piece at `at_`; *more: the next one may belong to the same chain.
Result<void> CheckpointReader::take_piece(CheckpointedChain& chain, bool* more) {
    const auto where = [this] { return fmt::format("in block {}, {} bytes in", blocks_ - 1, at_); };
    CheckpointChain piece{};
    if (block_.size() - at_ < sizeof piece) return damaged("it has no whole chain " + where());
    std::memcpy(&piece, block_.data() + at_, sizeof piece);
    if (piece.key_bytes > kMaxKeyBytes || piece.segments == 0 || piece.segments > kMostCheckpointSegments ||
        checkpoint_chain_bytes(piece.key_bytes, piece.segments) > block_.size() - at_) {
        return damaged("no chain is " + where());
    }
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
    *more = piece.segments == kMostCheckpointSegments;
    return {};
}

Result<bool> CheckpointReader::next(CheckpointedChain& chain) {
    chain.segments.clear();
    for (bool more = true; more;) {
        while (at_ == block_.size() && blocks_ < header_.blocks) {
            if (auto done = read_block(); !done) return tl::unexpected(std::move(done.error()));
        }
        if (at_ == block_.size()) break;
        if (!chain.segments.empty()) {  // the next one may begin anew
            CheckpointChain piece{};
            if (block_.size() - at_ >= sizeof piece) std::memcpy(&piece, block_.data() + at_, sizeof piece);
            if (piece.first_segment == 0) break;
        }
        if (auto done = take_piece(chain, &more); !done) return tl::unexpected(std::move(done.error()));
    }
    if (chain.segments.empty()) {
        if (chains_ != header_.chains) {
            return damaged(fmt::format("it has {} chains, not {}", chains_, header_.chains));
        }
        return false;
    }
    chains_ += 1;
    return true;
}

}  // namespace shoal
