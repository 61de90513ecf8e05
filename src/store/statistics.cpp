#include "store/statistics.hpp"

#include "spill/checkpoint_reader.hpp"
#include "spill/codec_word.hpp"
#include "spill/sync_turns.hpp"

namespace shoal {

bool count_chain(const Mapping& mapping, const Chain& chain, const WrittenSegments& written, std::uint64_t& room,
                 Stats& stats) noexcept {
    const Cut cut = take_cut(mapping, chain);
    if (is_null(cut.root)) return true;
    const std::optional<Reserve> total = measure(mapping, cut, written, room);
    if (!total) return false;
    stats.keys += 1;
    stats.records += total->records;
    stats.payload_bytes += total->payload_bytes();
    static_cast<void>(each_segment(mapping, cut, [&](const Segment&, const SegmentExtent& extent) {
        stats.segments += 1;
        if (!extent.stored()) return true;
        stats.spilled_segments += 1;
        stats.spilled_bytes += extent.reserve.payload_bytes();
        return true;
    }));
    return true;
}

void count_files(const Mapping& mapping, SpillFiles& files, Stats& stats) {
    const SpillFiles::Usage usage = files.usage();
    stats.spill_dir = files.folder();
    stats.codec = shoal::name(codec_of_said(static_cast<std::uint32_t>(mapping.header().codec)));
    stats.spill_files = usage.files;
    stats.stored_bytes = usage.live_bytes;
    stats.disk_bytes = usage.disk_bytes;
    const SyncTurns turns(mapping.header());
    for (std::uint64_t number = turns.checkpoint();; number = turns.checkpoint()) {
        const auto path = files.checkpoint_path(number);
        const auto checkpoint = CheckpointReader::open(path, mapping.header().store_id);
        stats.synced_unix_s = checkpoint ? checkpoint->header().written_unix_s : 0;
        if (checkpoint || turns.checkpoint() == number) break;  // else a later one has replaced it
    }
}

}  // namespace shoal
