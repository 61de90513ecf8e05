// One backup under way: copies each key's value out of the store, chunk by chunk. See store/backup.cpp.
//
// Thread safety: none; each backup has its own.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "backup/writer.hpp"
#include "store/impl.hpp"

namespace shoal {

class BackupRun {
public:
    // Goes on at the writer's position.
    BackupRun(StoreImpl& store, BackupWriter& writer, const BackupCallback& progress);
    ~BackupRun();
    BackupRun(const BackupRun&) = delete;
    BackupRun& operator=(const BackupRun&) = delete;

    // Errors: kDamaged, kDestroyed, kTooManyThreads, the sink's; kSystem with ECANCELED by the callback.
    [[nodiscard]] Result<void> run();

private:
    class Draft;
    struct LongValue;
    enum class Copied : std::uint8_t { kWhole, kNoRoom, kTooLong };
    // kMore: the epoch is to be left before the next step. kChanged: what was read is not as it was, or is gone.
    enum class Step : std::uint8_t { kEnded, kMore, kChunkFull, kChanged };

    [[nodiscard]] Result<void> copy_batch(std::span<const KeyRef> batch, std::optional<std::uint64_t> next);
    [[nodiscard]] Result<Copied> copy_value(const KeyRef& key);
    [[nodiscard]] Result<void> copy_long(const KeyRef& key, std::uint64_t next);
    [[nodiscard]] Result<bool> copy_parts(const KeyRef& key, std::uint64_t next, LongValue& value);
    [[nodiscard]] Result<Step> copy_part(const KeyRef& key, LongValue& value);
    [[nodiscard]] Result<bool> take_cut_of(const KeyRef& key, LongValue& value);
    [[nodiscard]] Result<Step> copy_segments(const KeyRef& key, const Chain& chain, LongValue& value);
    [[nodiscard]] Result<Step> copy_segment(const KeyRef& key, const Segment& segment, const SegmentExtent& extent,
                                            LongValue& value);

    // Writes what is drafted, reads those keys again whose values could not be loaded, and writes them too.
    [[nodiscard]] Result<void> flush(std::optional<std::uint64_t> resume_at);
    [[nodiscard]] Result<void> copy_again(const std::string& name);
    // Writes what is drafted; keys whose values could not be loaded, since they were erased or moved meanwhile, are
    // left out of it, and in again_.
    [[nodiscard]] Result<void> write_chunk(std::optional<std::uint64_t> resume_at);
    [[nodiscard]] Result<void> tell_progress();

    StoreImpl& store_;
    BackupWriter& writer_;
    const BackupCallback& progress_;
    std::unique_ptr<Draft> draft_;
    std::deque<std::string> again_;
    double fraction_ = 0;  // of the hashes, behind what is written
};

}  // namespace shoal
