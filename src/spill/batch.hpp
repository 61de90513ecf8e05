// A batch of a spiller: segments in hand, their extents gathered into one buffer, the write of it, and the
// hand-over when the file has it (segment/hand_over.hpp).
//
// Thread safety: none; one thread at a time. A crash leaves what finish_spilling (recovery/finish.hpp) undoes.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "arena/epoch.hpp"
#include "chain/chain.hpp"
#include "segment/hand_over.hpp"
#include "spill/batch_journal.hpp"
#include "spill/bundle.hpp"
#include "spill/extent_builder.hpp"
#include "spill/files.hpp"
#include "spill/spiller_slot.hpp"

namespace shoal {

struct SpillContext {
    const Mapping& mapping;
    Blocks& blocks;
    Slots& slots;
    Epochs& epochs;
    SpillFiles& files;
};

class Batch {
public:
    static constexpr std::size_t kBufferBytes = 2 << 20;  // any extent of one segment fits, and most of several
    static constexpr std::size_t kBufferUnit = 4096;      // where it is written, and how much, are multiples

    Batch(const SpillContext& context, SpillerSlot& slot) noexcept
        : context_(context),
          slot_(slot),
          journal_(context.mapping, context.blocks, context.epochs, slot),
          buffer_(nullptr, &std::free) {}
    ~Batch() = default;  // after publish() or abandon()
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    // Takes what a batch needs beside the slot, which is there: a buffer, a journal. False where one is not to be
    // had.
    [[nodiscard]] bool set_up();
    // Of the last one's journal.
    [[nodiscard]] bool is_free() noexcept { return journal_.is_free(); }
    bool hand_on() noexcept { return journal_.hand_on(); }

    // After is_free(); inside an epoch from here on. False: the store is destroyed.
    [[nodiscard]] bool begin(std::uint32_t file, std::uint64_t file_offset) noexcept;

    // --- gathering: extents of neighbours ---
    void begin_extent(const Chain& chain, std::uint64_t generation, std::uint64_t ordinal);
    enum class Added : std::uint8_t { kYes, kNotNow, kNoRoom };
    // Takes a closed segment into the extent. kNotNow: somebody else has it in hand, or has not written all of it
    // yet. kNoRoom: in the extent, after end_extent() perhaps in the next; or in the batch.
    [[nodiscard]] Added add(Segment& segment, ArenaOffset offset);
    void end_extent(const Codec& codec, Compressor& compressor);
    // No extent may be under way. A record over kPartBytes; `write` is called when the buffer is full, writes
    // bytes() at file_offset() and returns whether that went well.
    [[nodiscard]] Added add_parts(const Chain& chain, std::uint64_t generation, std::uint64_t ordinal,
                                  Segment& segment, ArenaOffset offset, const Codec& codec, Compressor& compressor,
                                  const std::function<bool(Batch&)>& write);

    [[nodiscard]] bool is_empty() const noexcept { return items_.empty(); }
    [[nodiscard]] std::uint64_t block_bytes() const noexcept { return block_bytes_; }  // to be free in the end
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept;                   // to be written
    [[nodiscard]] std::uint64_t file_offset() const noexcept { return file_offset_; }  // there
    [[nodiscard]] std::uint32_t file() const noexcept { return file_; }

    // Behind the last extent: ends the bundle, and zeroes up to where the next batch begins.
    void pad() noexcept;

    // The file has the bytes: hands over, and leaves the epoch.
    void publish() noexcept;
    // It has not: all stays resident; leaves the epoch.
    void abandon() noexcept;

private:
    struct Item {
        Segment* segment;
        SpilledCounts counts;
        std::uint64_t place;  // 0 until its extent is ended
        std::uint64_t hash;   // of the key
    };

    [[nodiscard]] ExtentOrigin origin(const Chain& chain, std::uint64_t generation, std::uint64_t ordinal) const;
    [[nodiscard]] bool take(Segment& segment, ArenaOffset offset, const SegmentExtent& extent);
    void reserve_item();
    // Of the buffer, once the bundle has all that it may take.
    [[nodiscard]] std::size_t used_with_bundle() const noexcept {
        return used_ + (bundle_.is_open() && !bundle_is_passed_ ? kBundleBytes : 0);
    }
    // Whether the file is not yet so long that an extent that begins now had no place.
    [[nodiscard]] bool has_place() const noexcept { return file_offset_ + used_with_bundle() < kSpillFileBytes; }
    void place_extent(const StoredAt& at) noexcept;
    void add_to_bundle();
    void end_bundle() noexcept;
    void drop_written() noexcept;
    void leave() noexcept;

    SpillContext context_;
    SpillerSlot& slot_;
    std::uint64_t epoch_ = 0;  // that it is inside
    BatchJournal journal_;
    std::unique_ptr<std::byte[], void (*)(void*)> buffer_;
    std::size_t used_ = 0;
    std::uint64_t file_offset_ = 0;
    std::uint32_t file_ = 0;
    ExtentBuilder builder_;
    BundleBuilder bundle_;           // in the buffer, at used_
    bool bundle_is_passed_ = false;  // no more: extents follow it, behind kBundleBytes that are its own
    std::vector<Item> items_;
    std::size_t extent_begins_ = 0;  // index of its first item
    std::uint64_t extent_hash_ = 0;  // of its key
    std::uint64_t block_bytes_ = 0;
    std::uint64_t stored_bytes_ = 0;  // of extents that are ended, as their places have them
};

}  // namespace shoal
