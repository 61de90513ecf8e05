#include "verify/extent_scan.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <utility>

namespace shoal {

void ExtentScan::add(const StoredPart& part, std::uint64_t hash) {
    Part& added = waiting_.emplace_back(Part{part, hash, keys_.size(), part.key.size()});
    keys_.append(part.key.text());
    added.part.key = {};
}

void ExtentScan::run(const std::function<bool()>& step, const std::function<void(StoredPart& part)>& doubtful) {
    const auto order = [](const Part& part) {  // by hashes, as a sync puts them into a bundle
        const StoredAt at = stored_at(part.part.place);
        return std::tuple(at.file, at.offset, part.hash);
    };
    std::sort(waiting_.begin(), waiting_.end(),
              [&](const Part& one, const Part& other) { return order(one) < order(other); });
    bool goes_on = true;
    for (std::size_t first = 0; first < waiting_.size() && goes_on;) {
        goes_on = step();
        const std::size_t end = goes_on ? end_of_window(first) : first;
        const bool has_window = end != first && read_window(first, end);
        for (std::size_t index = first; index < std::max(end, first + 1) && goes_on; ++index) {
            Part& waiting = waiting_[index];
            waiting.part.key = {keys_.data() + waiting.key_begins, waiting.key_bytes};
            const StoredAt at = stored_at(waiting.part.place);
            const std::uint64_t skipped = at.offset - window_at_;
            if (has_window && skipped < window_bytes_ &&
                is_right(waiting.part,
                         {memory_.data() + skipped, std::min<std::uint64_t>(at.bytes, window_bytes_ - skipped)})) {
                continue;
            }
            doubtful(waiting.part);
        }
        first = std::max(end, first + 1);
    }
    waiting_.clear();
    keys_.clear();
}

// The part behind the last that is read together with that one; `first` itself where that is none to be read here.
std::size_t ExtentScan::end_of_window(std::size_t first) const noexcept {
    const StoredAt begin = stored_at(waiting_[first].part.place);
    std::uint64_t window_end = begin.offset;
    std::size_t end = first;
    for (; end < waiting_.size(); ++end) {
        const StoredAt at = stored_at(waiting_[end].part.place);
        const std::uint64_t extent_end = at.offset + at.bytes;
        if (is_in_parts(waiting_[end].part) || at.file != begin.file || extent_end - begin.offset > kWindowBytes ||
            (at.offset > window_end && at.offset - window_end > kGapBytes)) {
            break;
        }
        window_end = std::max(window_end, extent_end);
    }
    return end;
}

bool ExtentScan::read_window(std::size_t first, std::size_t end) {
    const StoredAt begin = stored_at(waiting_[first].part.place);
    std::uint64_t wanted = 0;
    for (std::size_t index = first; index < end; ++index) {
        const StoredAt at = stored_at(waiting_[index].part.place);
        wanted = std::max(wanted, at.offset + at.bytes - begin.offset);
    }
    window_at_ = begin.offset;
    window_bytes_ = 0;
    bundle_.reset();
    const auto file = files_->open(begin.file);
    if (!file) return false;
    memory_.resize(std::max<std::size_t>(memory_.size(), wanted));
    while (window_bytes_ < wanted) {
        const ssize_t count = ::pread((*file)->descriptor(), memory_.data() + window_bytes_, wanted - window_bytes_,
                                      static_cast<off_t>(window_at_ + window_bytes_));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;  // the extents behind are doubtful
        window_bytes_ += static_cast<std::uint64_t>(count);
    }
    return true;
}

// As I1 of spill/load.hpp.
bool ExtentScan::is_right(const StoredPart& part, ByteView extent) {
    if (stored_at(part.place).in_bundle) return is_in_bundle(part, extent);
    const auto view = parse_extent(extent);
    if (!view) return false;
    const ExtentHeader& header = view->header();
    if (header.kind != ExtentKind::kData || header.store_id != store_id_ || header.generation != part.generation ||
        !(view->key() == part.key)) {
        return false;
    }
    const bool has_all = header.first_segment == part.first_segment && header.segments == part.segments;
    std::uint64_t bytes = has_all ? header.payload_bytes : 0;
    for (std::uint32_t at = 0; at < part.segments && !has_all; ++at) {
        const std::optional<ExtentPiece> piece = view->piece(part.first_segment + at);
        if (!piece) return false;
        bytes += piece->bytes;
    }
    const std::uint64_t prefix = prefix_bytes(header);
    if (bytes != part.bytes || extent.size() - prefix < header.stored_bytes) return false;
    const ByteView stored(extent.data() + prefix, header.stored_bytes);
    if (header.codec == CodecId::kNone) return check_stored(header, stored).has_value();
    payload_.resize(header.payload_bytes);
    return unpack_payload(header, stored, payload_, decompressor_).has_value();
}

bool ExtentScan::is_in_bundle(const StoredPart& part, ByteView bundle) {
    if (!bundle_ || bundle_place_ != part.place) {
        bundle_.reset();
        auto parsed = parse_bundle(bundle);
        if (!parsed) return false;
        bundle_.emplace(*parsed);
        bundle_place_ = part.place;
        bundle_cursor_ = {};
    }
    if (bundle_->store_id() != store_id_) return false;
    const auto found = bundle_->find(part.generation, part.first_segment, part.segments, bundle_cursor_);
    return found && *found && (*found)->payload.size() == part.bytes;
}

}  // namespace shoal
