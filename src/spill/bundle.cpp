#include "spill/bundle.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/format_version.hpp"
#include "segment/layout.hpp"
#include "spill/varint.hpp"

namespace shoal {
namespace {

template <class... Values>
tl::unexpected<Error> wrong_bundle(fmt::format_string<Values...> what, Values&&... values) {
    return tl::unexpected(Error{Code::kDamaged, fmt::format(what, std::forward<Values>(values)...)});
}

std::uint64_t bundle_checksum(const std::byte* bundle, std::size_t bytes) noexcept {
    constexpr std::size_t kFrom = offsetof(BundleHeader, store_id);
    return XXH3_64bits(bundle + kFrom, bytes - kFrom);
}

// One chain's entry, as far as it has been read.
struct BundledRun {
    std::uint64_t generation = 0;
    std::uint64_t first_segment = 0;
    std::uint64_t segments = 0;
    bool lists_lengths = false;
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;

    // Of the segments that are looked for.
    std::uint64_t records_before = 0;
    std::uint64_t bytes_before = 0;
    std::uint64_t records_in = 0;
    std::uint64_t bytes_in = 0;

    [[nodiscard]] bool has(std::uint64_t first, std::uint64_t count) const noexcept {
        return first >= first_segment && first + count <= first_segment + segments;
    }
};

bool read_head(const std::byte** at, const std::byte* end, BundledRun* entry) noexcept {
    std::uint64_t head = 0;
    if (!read_long_varint(at, end, &entry->generation) || !read_long_varint(at, end, &entry->first_segment) ||
        !read_long_varint(at, end, &head)) {
        return false;
    }
    entry->segments = head >> 1;
    entry->lists_lengths = (head & 1) != 0;
    return entry->segments != 0 && entry->segments <= kBundleBytes &&
           entry->first_segment + entry->segments <= UINT32_MAX;
}

bool read_table(const std::byte** at, const std::byte* end, std::uint64_t first, std::uint64_t count,
                BundledRun* entry) noexcept {
    for (std::uint64_t index = 0; index < entry->segments; ++index) {
        std::uint64_t records = 0;
        std::uint64_t bytes = 0;
        if (!read_long_varint(at, end, &records) || !read_long_varint(at, end, &bytes) ||
            records > kMostExtentRecords || bytes > kBundleBytes) {
            return false;
        }
        const std::uint64_t ordinal = entry->first_segment + index;
        if (ordinal < first) {
            entry->records_before += records;
            entry->bytes_before += bytes;
        } else if (ordinal < first + count) {
            entry->records_in += records;
            entry->bytes_in += bytes;
        }
        entry->records += records;
        entry->bytes += bytes;
    }
    return true;
}

}  // namespace

void BundleBuilder::begin(std::byte* out, std::uint64_t file_offset) noexcept {
    out_ = out;
    file_offset_ = file_offset;
    used_ = sizeof(BundleHeader);
    generations_.clear();
}

bool BundleBuilder::has_room(const ExtentBuilder& extent) const noexcept {
    return is_open() && used_ + extent.bundled_bytes() <= kBundleBytes &&
           std::find(generations_.begin(), generations_.end(), extent.generation()) == generations_.end();  // I1
}

void BundleBuilder::add(const ExtentBuilder& extent) {
    assert(has_room(extent));
    generations_.push_back(extent.generation());
    used_ = static_cast<std::size_t>(extent.write_bundled(out_ + used_) - out_);
}

std::size_t BundleBuilder::seal(const SpillStoreId& store_id, bool all) noexcept {
    const std::size_t bytes = all ? kBundleBytes : padded_to_extent(used_);
    std::memset(out_ + used_, 0, bytes - used_);
    BundleHeader header{};
    header.magic = kBundleMagic;
    header.store_id = store_id;
    header.bytes = static_cast<std::uint32_t>(used_);
    header.entries = static_cast<std::uint32_t>(generations_.size());
    std::memcpy(out_, &header, sizeof header);
    header.checksum = bundle_checksum(out_, used_);
    std::memcpy(out_, &header, sizeof header);
    out_ = nullptr;
    return bytes;
}

Result<BundleView> parse_bundle(ByteView bytes) {
    if (bytes.size() < sizeof(BundleHeader))
        return wrong_bundle("the bundle is cut off after {} bytes", bytes.size());
    BundleHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (((header.magic ^ kBundleMagic) & ~kVersionMask) == 0 && header.magic != kBundleMagic)
        return is_of_later_version("it", header.magic & kVersionMask, kBundleMagic & kVersionMask);
    if (header.magic != kBundleMagic) return wrong_bundle("no bundle begins with {:016x}", header.magic);
    if (header.bytes < sizeof header || header.bytes > kBundleBytes)
        return wrong_bundle("a bundle cannot have {} bytes", header.bytes);
    if (header.bytes > bytes.size())
        return wrong_bundle("the bundle of {} bytes is cut off after {}", header.bytes, bytes.size());
    if (bundle_checksum(bytes.data(), header.bytes) != header.checksum)
        return wrong_bundle("the checksum of the bundle does not match");
    return BundleView(header, bytes.data());
}

Result<std::optional<BundleView::Found>> BundleView::find(std::uint64_t generation, std::uint32_t first_segment,
                                                          std::uint32_t segments, Cursor& cursor) const {
    const std::byte* at = bytes_ + cursor.offset;
    const std::byte* const end = bytes_ + header_.bytes;
    const auto unreadable = [] { return wrong_bundle("the entries of the bundle cannot be read"); };
    for (std::uint32_t looked = 0; looked < header_.entries; ++looked, ++cursor.number) {
        if (cursor.number == header_.entries) {
            cursor.number = 0;
            at = bytes_ + sizeof(BundleHeader);
        }
        BundledRun entry;
        if (!read_head(&at, end, &entry) || !read_table(&at, end, first_segment, segments, &entry))
            return unreadable();
        if (entry.records == 0 ? entry.bytes != 0 || entry.lists_lengths
                               : !entry.lists_lengths && entry.bytes % entry.records != 0) {
            return unreadable();
        }
        const std::uint64_t same = entry.records == 0 ? 0 : entry.bytes / entry.records;
        const bool is_it = entry.generation == generation && entry.has(first_segment, segments);
        const std::byte* lengths = at;
        std::uint64_t total = 0;
        std::uint64_t of_found = entry.lists_lengths ? 0 : same * entry.records_in;
        for (std::uint64_t record = 0; entry.lists_lengths && record < entry.records; ++record) {
            if (record == entry.records_before) lengths = at;
            std::uint32_t length = 0;
            if (!read_varint(&at, end, &length)) return unreadable();
            total += length;
            if (record >= entry.records_before && record < entry.records_before + entry.records_in)
                of_found += length;
        }
        if ((entry.lists_lengths && total != entry.bytes) || entry.bytes > static_cast<std::uint64_t>(end - at))
            return unreadable();
        if (is_it) {
            if (of_found != entry.bytes_in) return unreadable();
            cursor = {cursor.number + 1, static_cast<std::uint64_t>(at - bytes_) + entry.bytes};
            return Found{{at + entry.bytes_before, entry.bytes_in},
                         static_cast<std::uint32_t>(entry.records_in),
                         entry.lists_lengths ? RecordLengths(lengths, end, 0)
                                             : RecordLengths(nullptr, nullptr, static_cast<std::uint32_t>(same))};
        }
        at += entry.bytes;
    }
    return std::optional<Found>{};
}

Result<std::uint64_t> BundleView::live_bytes() const {
    const std::byte* at = bytes_ + sizeof(BundleHeader);
    const std::byte* const end = bytes_ + header_.bytes;
    const auto unreadable = [] { return wrong_bundle("the entries of the bundle cannot be read"); };
    std::uint64_t live = 0;
    for (std::uint32_t number = 0; number < header_.entries; ++number) {
        BundledRun entry;
        if (!read_head(&at, end, &entry) || !read_table(&at, end, 0, 0, &entry)) return unreadable();
        for (std::uint64_t record = 0; entry.lists_lengths && record < entry.records; ++record) {
            std::uint32_t length = 0;
            if (!read_varint(&at, end, &length)) return unreadable();
        }
        if (entry.bytes > static_cast<std::uint64_t>(end - at)) return unreadable();
        at += entry.bytes;
        live += entry.bytes + entry.segments * kBundledSegmentBytes;
    }
    return live;
}

}  // namespace shoal
