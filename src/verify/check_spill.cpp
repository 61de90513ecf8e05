#include "verify/check_spill.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "arena/location.hpp"
#include "arena/spilled_blocks.hpp"
#include "segment/reserve.hpp"
#include "spill/files.hpp"
#include "spill/layout.hpp"

namespace shoal {
namespace {

bool can_be_in_hand(std::uint64_t word) noexcept {
    return is_in_hand(word) && (word & 0xfc) == 0 && (word >> 8 & 0xff'ffff) < kSlots;
}

// What an extent takes up at least, of which the place says so many bytes, rounded up.
std::uint64_t least_stored_bytes(std::uint64_t rounded) noexcept {
    const std::uint64_t step = kStoredUnitBytes << stored_exponent(rounded / kStoredUnitBytes);
    return rounded - std::min(rounded, step - kStoredUnitBytes);
}

void check_file(Inspection& inspection, std::uint32_t number, std::uint64_t at) {
    const SpillFile& file = (*inspection.spill_files)[number];
    // relaxed, here and below: of one moment, or at rest
    const std::uint64_t owner = file.owner.load(std::memory_order_relaxed);
    const std::uint64_t live_bytes = file.live_bytes.load(std::memory_order_relaxed);
    if (owner != kNoFile && owner != kIdleFile && !can_be_in_hand(owner)) {
        inspection.damage("file_table I1", at + offsetof(SpillFile, owner),
                          fmt::format("{:#x} is no owner of a spill file", owner));
    } else if (inspection.at_rest() && owner == kNoFile && live_bytes != 0) {
        inspection.damage("file_table I3", at + offsetof(SpillFile, live_bytes),
                          fmt::format("spill file {} is not there, and {} bytes of it count", number, live_bytes));
    }
}

// Whether there can be an extent; it counts towards its file then.
bool check_place(Inspection& inspection, const SpillWords& words) {
    const StoredAt place = stored_at(words.block);
    const std::uint64_t at = words.at + offsetof(Segment, block);
    if (inspection.spill_files == nullptr || (place.in_bundle && place.bytes != kBundleBytes)) {
        inspection.damage("segment I6", at,
                          fmt::format("names {} bytes of spill file {}, which cannot be", place.bytes, place.file));
        return false;
    }
    const SpillFile& file = (*inspection.spill_files)[place.file];
    const std::uint64_t end = file.end.load(std::memory_order_relaxed) & ~kAdoptedBit;
    const SpilledCounts counts = spilled_counts(words.spill);
    const std::uint64_t least_bytes =
        place.in_bundle ? sizeof(BundleHeader) + counts.payload_bytes : least_stored_bytes(place.bytes);
    if (file.owner.load(std::memory_order_relaxed) == kNoFile || place.offset < kSpillFileHeaderBytes ||
        place.bytes == 0 || least_bytes > end - std::min(place.offset, end)) {
        inspection.damage("file_table I2", at,
                          fmt::format("names {} bytes at {} of spill file {}, which ends at {}", place.bytes,
                                      place.offset, place.file, end));
        return false;
    }
    if (inspection.at_rest() && (words.spill & kCheckpointedBit) != 0 &&
        file.kept_until.load(std::memory_order_relaxed) == 0) {
        inspection.damage("file_table I4", at,
                          fmt::format("is named by a checkpoint, for which spill file {} is not kept", place.file));
        return false;
    }
    // Neighbours that were spilled together share their extent, but no two chains do; of a bundle each has a share.
    if (place.in_bundle) {
        inspection.named_bytes[place.file] += bundled_bytes(counts);
    } else if (inspection.last_place != words.block) {
        inspection.named_bytes[place.file] += place.bytes;
    }
    inspection.last_place = words.block;
    return true;
}

}  // namespace

void check_spill_files(Inspection& inspection) {
    const std::uint64_t at = snapshot(inspection.header().spill_files_at);
    if (at == 0) return;
    if (inspection.reach(at, sizeof(SpillFileTable), offsetof(ArenaHeader, spill_files_at),
                         "the table of spill files", Holder::kIndex) != Reached::kNew) {
        return;
    }
    const std::uint64_t log_bytes = snapshot(inspection.header().changes_most) * sizeof(std::uint64_t);
    static_cast<void>(inspection.reach(snapshot(inspection.header().changes_at), log_bytes,
                                       offsetof(ArenaHeader, changes_at), "the log of changes", Holder::kIndex));
    inspection.spill_files = inspection.mapping().at<SpillFileTable>(at);
    inspection.named_bytes.assign(kSpillFiles, 0);
    for (std::uint32_t number = 0; number < kSpillFiles; ++number) {
        check_file(inspection, number, at + number * sizeof(SpillFile));
    }
    // relaxed: at rest. Beside others it may be in use by now.
    const std::uint64_t spare = inspection.header().spare_journal.load(std::memory_order_relaxed);
    if (spare != 0 && inspection.at_rest()) {
        check_spilled_blocks(inspection, spare, offsetof(ArenaHeader, spare_journal), Holder::kIndex);
    }
}

SpilledCounts check_stored(Inspection& inspection, const SpillWords& words) {
    if (!words.closed) {
        inspection.damage("hand_over I2", words.at, "is in a file, and takes records yet");
    }
    const SpilledCounts counts = spilled_counts(words.spill);
    const std::uint64_t units = (counts.payload_bytes + kUnitBytes - 1) / kUnitBytes;
    const bool single = words.single_bytes != 0;
    if ((words.spill & 3) != 2 || counts.records + units > words.data_units ||
        (counts.records == 0 && counts.payload_bytes != 0) ||
        (single && (counts.records != 1 || counts.payload_bytes != words.single_bytes))) {
        inspection.damage("hand_over I3", words.at + offsetof(Segment, spill),
                          fmt::format("{:#x}: {} records of {} bytes cannot have been spilled of {} units",
                                      words.spill, counts.records, counts.payload_bytes, words.data_units));
        return {};
    }
    return check_place(inspection, words) ? counts : SpilledCounts{};
}

void check_in_hand(Inspection& inspection, const SpillWords& words) {
    if (words.spill == 0 || !inspection.at_rest()) return;  // beside others it may be another's by now
    if ((words.spill & 3) == 2) {                           // its spiller died there: its journal says so
        inspection.counted.insert(words.at);
    } else if (!can_be_in_hand(words.spill) || !words.closed) {
        inspection.damage("hand_over I1", words.at + offsetof(Segment, spill),
                          fmt::format("{:#x}: in no spiller's hand, or not closed", words.spill));
    }
}

void check_spilled_blocks(Inspection& inspection, std::uint64_t at, std::uint64_t from, Holder holder) {
    constexpr std::string_view kWhat = "a journal of what is spilled";
    if (!inspection.readable(at, SpilledBlocks::bytes_for(1), from, kWhat)) return;
    const SpilledBlocks& journal = *inspection.mapping().at<SpilledBlocks>(at);
    const std::uint64_t bytes = snapshot(journal.bytes);
    const std::uint64_t count = journal.count.load(std::memory_order_relaxed);  // relaxed, all: at rest
    if (bytes > sizeof(SpilledBlocks) || count > kSpilledBlocksEntries ||
        SpilledBlocks::bytes_for(std::max(count, std::uint64_t{1})) > bytes) {
        inspection.damage("spilled_blocks I1", at, fmt::format("{} entries in {} bytes", count, bytes));
        return;
    }
    if (inspection.reach(at, bytes, from, kWhat, holder) != Reached::kNew) return;
    // Until it is published, or retired, its segments stand, and some name their blocks still.
    const bool theirs = holder == Holder::kDead && journal.published_in.load(std::memory_order_relaxed) == 0;
    bool is_replaced = true;  // the run whose entries come next
    for (std::uint64_t number = 0; number < count; ++number) {
        const SpilledBlocks::Entry& entry = journal.entries[number];
        const std::uint64_t entry_at = inspection.offset_of(&entry);
        if (entry.written == SpilledBlocks::kMerged) {
            is_replaced =
                entry.block == 0 ||
                (inspection.readable(entry.segment, sizeof(Segment), entry_at, "a segment before a run") &&
                 inspection.mapping().at<Segment>(entry.segment)->next.load(std::memory_order_relaxed) ==
                     entry.block);
            if (!is_replaced)
                static_cast<void>(
                    inspection.reach(entry.block, sizeof(Segment), entry_at, "a merged segment", holder));
            continue;
        }
        if (entry.block == 0) continue;
        if (is_stored(entry.block)) {
            if (!is_replaced) continue;  // the chain's
            const Reached segment =
                inspection.reach(entry.segment, sizeof(Segment), entry_at, "a segment that was merged", holder);
            if (segment == Reached::kAgain) {
                inspection.damage("spilled_blocks I2", entry_at,
                                  fmt::format("frees a segment at {:#x} that something else names", entry.segment));
            }
            continue;
        }
        if (theirs) {
            if (!inspection.readable(entry.segment, sizeof(Segment), entry_at, "a segment in hand")) continue;
            const Segment& segment = *inspection.mapping().at<Segment>(entry.segment);
            inspection.counted.erase(entry.segment);
            if (segment.block.load(std::memory_order_relaxed) == entry.block) continue;
        }
        const Reached block =
            inspection.reach(entry.block, entry.units * kUnitBytes, entry_at, "a spilled segment's block", holder);
        if (block == Reached::kAgain || entry.written > entry.units) {
            inspection.damage("spilled_blocks I2", entry_at,
                              fmt::format("names a block at {:#x} that something else names, or {} of {} units",
                                          entry.block, entry.written, entry.units));
        }
    }
}

void check_spill_totals(Inspection& inspection) {
    for (const std::uint64_t segment : inspection.counted) {
        inspection.damage("hand_over I3", segment + offsetof(Segment, spill),
                          "counts what is spilled, and is in memory, and in no journal");
    }
    if (inspection.spill_files == nullptr) return;
    for (std::uint32_t number = 0; number < kSpillFiles; ++number) {
        const SpillFile& file = (*inspection.spill_files)[number];
        const std::uint64_t live_bytes = file.live_bytes.load(std::memory_order_relaxed);  // relaxed: at rest
        if (live_bytes >= inspection.named_bytes[number]) continue;
        inspection.damage("file_table I3", inspection.offset_of(&file.live_bytes),
                          fmt::format("of spill file {} {} bytes count, and segments name {}", number, live_bytes,
                                      inspection.named_bytes[number]));
    }
}

}  // namespace shoal
