// Reading extents back, many at once: long ones past the page cache, short ones straight to where the caller wants
// the bytes. The memory that all threads of a process together read into has a bound.
//
// Thread safety: Loader may be used by any number of threads. A crash leaves nothing.
// Invariant: I1 nothing is returned that was not checked: the store's id, the chain's generation, the key (in a
//               bundle the generation tells it), which segments, and the checksums.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/queue.hpp"
#include "spill/extent.hpp"
#include "spill/files.hpp"

namespace shoal {

// Neighbouring segments of a chain that are in one extent, or the one of a large record: what is asked for, and
// what became of it.
struct StoredPart {
    std::uint64_t place = 0;  // a packed StoredAt
    std::uint64_t generation = 0;
    std::uint32_t first_segment = 0;  // ordinal in the chain
    std::uint32_t segments = 0;
    ByteView key;             // valid during load()
    std::byte* to = nullptr;  // room for `bytes`
    std::uint64_t bytes = 0;  // of payload, of those segments
    bool wants_lengths = false;

    std::vector<std::uint32_t> lengths;  // of the records, if wanted and not is_in_parts
    std::optional<Error> error;          // kDamaged, or of the file; then `to` is undefined
};

// Whether it is a record that was stored part by part, which has no list of lengths.
[[nodiscard]] inline bool is_in_parts(const StoredPart& part) noexcept {
    return part.segments == 1 && part.bytes > kPartBytes;
}

// `follows`: the last of `stored` is of the segment before. Where both are in one extent they are one part; true
// when it became a part of its own.
[[nodiscard]] inline bool add_part(std::vector<StoredPart>& stored, bool follows, StoredPart&& part) {
    if (follows && stored.back().place == part.place) {
        stored.back().segments += 1;
        stored.back().bytes += part.bytes;
        return false;
    }
    stored.push_back(std::move(part));
    return true;
}

class Loader {
public:
    Loader(SpillFiles& files, Slots& slots, const SpillStoreId& store_id);
    ~Loader();
    // Tells the files what it finds in bundles (spill/dead_room.hpp): for who is to give their segments up.
    void note_bundles() noexcept { notes_bundles_ = true; }
    Loader(const Loader&) = delete;
    Loader& operator=(const Loader&) = delete;

    // Blocks until all are there or have failed. Large loads are shared out to several threads, for their
    // decompression.
    void load(std::span<StoredPart> parts);

private:
    class Run;
    void read(std::span<StoredPart> parts) noexcept;

    // What one thread reads with, kept for the next.
    struct Reader;
    [[nodiscard]] std::unique_ptr<Reader> take_reader();
    void give_back(std::unique_ptr<Reader> reader) noexcept;

    // Frees what take_memory gives.
    struct ReturnMemory {
        std::size_t mapped_bytes = 0;  // 0: of malloc's
        void operator()(std::byte* memory) const noexcept;
    };
    using Memory = std::unique_ptr<std::byte[], ReturnMemory>;
    [[nodiscard]] Memory take_memory(std::uint64_t bytes);
    // Before a read of an extent of so many bytes, and behind it. False: others have what there may be.
    [[nodiscard]] bool count_memory(std::uint64_t bytes, bool always);
    void end_memory(std::uint64_t bytes, Memory&& memory) noexcept;
    // How many of that many threads may be started.
    [[nodiscard]] std::size_t count_helpers(std::size_t wanted);
    void end_helpers(std::size_t count) noexcept;
    void own_counts() noexcept;

    SpillFiles* files_;
    bool notes_bundles_ = false;
    Slots* slots_;
    SpillStoreId store_id_;
    // Guarded by slots_->mutex(), which survives a fork:
    std::vector<std::unique_ptr<Reader>> readers_;
    std::vector<Memory> buffers_;
    std::uint64_t attachment_ = 0;    // whose the counts are
    std::uint64_t memory_bytes_ = 0;  // of extents that are being read
    std::size_t helpers_ = 0;
};

}  // namespace shoal
