#include "spill/batch.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "arena/crash_point.hpp"

namespace shoal {

bool Batch::set_up() {
    if (buffer_ == nullptr) {
        buffer_.reset(static_cast<std::byte*>(std::aligned_alloc(kBufferUnit, kBufferBytes)));
        if (buffer_ == nullptr) return false;
    }
    return journal_.set_up();
}

bool Batch::begin(std::uint32_t file, std::uint64_t file_offset) noexcept {
    epoch_ = slot_.enter();
    if (epoch_ == 0) return false;
    file_ = file;
    file_offset_ = file_offset;
    used_ = 0;
    items_.clear();
    extent_begins_ = 0;
    block_bytes_ = 0;
    stored_bytes_ = 0;
    bundle_.forget();
    return true;
}

ExtentOrigin Batch::origin(const Chain& chain, std::uint64_t generation, std::uint64_t ordinal) const {
    return {context_.mapping.header().store_id, chain.key(), generation, static_cast<std::uint32_t>(ordinal)};
}

void Batch::begin_extent(const Chain& chain, std::uint64_t generation, std::uint64_t ordinal) {
    builder_.begin(origin(chain, generation, ordinal));
    extent_begins_ = items_.size();
    extent_hash_ = chain.hash;
}

// In hand, settled and journalled; or nothing has changed.
bool Batch::take(Segment& segment, ArenaOffset offset, const SegmentExtent& extent) {
    if (!take_in_hand(segment, context_.slots, *slot_)) return false;
    if (!settle(context_.mapping, segment, context_.slots)) {
        let_go(segment);
        return false;
    }
    const auto units = static_cast<std::uint32_t>(segment.data_units);
    const auto written = static_cast<std::uint32_t>(std::min(extent.units + 1, segment.data_units));
    journal_.add({raw(offset), extent.block, units, extent.exact ? written : units});
    block_bytes_ += segment.data_units * kUnitBytes;
    return true;
}

// Room for one more, so that what is taken in hand is in items_ at once, and abandon() lets go of it.
void Batch::reserve_item() {
    if (items_.size() == items_.capacity()) items_.reserve(std::max<std::size_t>(64, 2 * items_.size()));
}

Batch::Added Batch::add(Segment& segment, ArenaOffset offset) {
    const SegmentExtent extent = extent_of(segment);
    if (extent.stored()) return Added::kNotNow;
    // No claim is counted twice in a reserve word: what a dead writer left only makes it too much.
    const std::uint64_t bytes = extent.units * kUnitBytes;
    const std::uint64_t records = extent.exact ? extent.reserve.records : extent.units;
    const bool extent_full = builder_.segments() != 0 && builder_.payload_bytes() + bytes > kFullExtentPayloadBytes;
    // By itself, or in a bundle that it begins.
    const std::uint64_t needed = std::max<std::uint64_t>(builder_.bytes_needed_with(records, bytes), kBundleBytes);
    if (extent_full || !has_place() || !builder_.has_room(records, bytes) || journal_.is_full() ||
        used_with_bundle() + needed > kBufferBytes) {
        return Added::kNoRoom;
    }
    reserve_item();
    if (!take(segment, offset, extent)) return Added::kNotNow;
    Item& item = items_.emplace_back(Item{&segment, {}, 0, extent_hash_});
    builder_.begin_segment();
    const AtomicWord* frames = frames_of(context_.mapping, extent);
    const auto gather = [&](const std::byte* payload, std::uint64_t length) {
        builder_.add({payload, length});
        item.counts.records += 1;
        item.counts.payload_bytes += length;
    };
    static_cast<void>(walk(frames, extent.units, gather));  // settle() has been through it
    return Added::kYes;
}

void Batch::place_extent(const StoredAt& at) noexcept {
    const std::uint64_t place = pack(at);
    if (!at.in_bundle) stored_bytes_ += stored_at(place).bytes;
    for (; extent_begins_ < items_.size(); ++extent_begins_) {
        items_[extent_begins_].place = place;
        if (at.in_bundle) stored_bytes_ += bundled_bytes(items_[extent_begins_].counts);
    }
}

void Batch::add_to_bundle() {
    if (!bundle_.has_room(builder_)) {
        end_bundle();
        bundle_.begin(buffer_.get() + used_, file_offset_ + used_);
        bundle_is_passed_ = false;
    }
    bundle_.add(builder_);
    place_extent(bundle_.place(file_));
}

void Batch::end_bundle() noexcept {
    if (!bundle_.is_open()) return;
    const std::size_t bytes = bundle_.seal(context_.mapping.header().store_id, bundle_is_passed_);
    if (!bundle_is_passed_) used_ += bytes;
}

void Batch::end_extent(const Codec& codec, Compressor& compressor) {
    if (builder_.segments() == 0) return;
    if (belongs_in_bundle(builder_, codec)) {
        add_to_bundle();
    } else {
        used_ = used_with_bundle();
        bundle_is_passed_ = true;
        const std::size_t bytes = builder_.finish(codec, compressor, {buffer_.get() + used_, kBufferBytes - used_});
        place_extent({file_, file_offset_ + used_, bytes});
        used_ += bytes;
    }
    builder_.begin({});
    crash_point(CrashPoint::kSpillGathered);
}

Batch::Added Batch::add_parts(const Chain& chain, std::uint64_t generation, std::uint64_t ordinal, Segment& segment,
                              ArenaOffset offset, const Codec& codec, Compressor& compressor,
                              const std::function<bool(Batch&)>& write) {
    const SegmentExtent extent = extent_of(segment);
    const std::uint64_t record_bytes = extent.reserve.payload_bytes();
    if (extent.stored() || segment.data_units > std::numeric_limits<std::uint32_t>::max()) return Added::kNotNow;
    if (!has_place() || journal_.is_full()) return Added::kNoRoom;
    const AtomicWord* frames = frames_of(context_.mapping, extent);
    reserve_item();
    if (frames == nullptr || !take(segment, offset, extent)) return Added::kNotNow;
    const ExtentOrigin origin = this->origin(chain, generation, ordinal);
    const ByteView record(reinterpret_cast<const std::byte*>(frames + 1), record_bytes);
    end_bundle();  // it may be written before the parts are
    extent_begins_ = items_.size();
    items_.push_back({&segment, {1, record_bytes}, 0, chain.hash});
    const std::uint64_t begin = file_offset_ + used_;
    for (std::uint32_t part = 0; part < parts_of(record_bytes); ++part) {
        if (used_ + part_bytes_needed(origin.key.size(), record_bytes, part) > kBufferBytes) {
            if (!write(*this)) return Added::kNoRoom;
            drop_written();
        }
        used_ += write_part(origin, record, part, codec, compressor, {buffer_.get() + used_, kBufferBytes - used_});
    }
    place_extent({file_, begin, file_offset_ + used_ - begin});
    return Added::kYes;
}

std::span<const std::byte> Batch::bytes() const noexcept {
    const std::size_t whole = used_ / kBufferUnit * kBufferUnit;
    // What is left behind a full unit is written with what comes next, or, padded by zeroes, last.
    return {buffer_.get(), whole};
}

void Batch::pad() noexcept {
    end_bundle();
    const std::size_t padded = (used_ + kBufferUnit - 1) / kBufferUnit * kBufferUnit;
    std::memset(buffer_.get() + used_, 0, padded - used_);
    used_ = padded;
}

void Batch::drop_written() noexcept {
    const std::size_t whole = bytes().size();
    std::memmove(buffer_.get(), buffer_.get() + whole, used_ - whole);
    file_offset_ += whole;
    used_ -= whole;
}

void Batch::publish() noexcept {
    SpillFile& file = context_.files.entry(file_);
    // relaxed: before the segments name it, by whose release it is seen (I3 of spill/file_table.hpp)
    file.live_bytes.fetch_add(stored_bytes_, std::memory_order_relaxed);
    crash_point(CrashPoint::kSpillWritten);
    std::uint64_t logged = 0;  // neighbours in the batch are segments of one key
    for (const Item& item : items_) {
        // The next checkpoint names these places, not the copies that the one before has.
        if (&item == items_.data() || item.hash != logged) log_change(context_.mapping, item.hash);
        logged = item.hash;
        publish_spilled(*item.segment, item.counts, item.place);
    }
    journal_.publish();
    leave();
}

void Batch::abandon() noexcept {
    journal_.abandon();
    for (const Item& item : items_) let_go(*item.segment);
    leave();
}

void Batch::leave() noexcept {
    items_.clear();
    bundle_.forget();
    builder_.begin({});
    slot_.leave(epoch_);
}

}  // namespace shoal
