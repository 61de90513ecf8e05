// What of a process's spill files nothing names any more, as far as this process gave it up: so that the room of
// small extents, and of bundles, goes back to the file system when all of a block is dead. The file system takes
// back whole blocks, and what is smaller shares them with its neighbours.
//
// A bundle is dead when the segments that were given up since it was noted come to all that it has in it. Each
// segment is given up once, by some process; so where another one gave up some of it, or what a checkpoint names,
// or where a sync has put copies into it, the sum is never reached, and its room comes back with the file.
//
// Thread safety: none; guarded by the lock of SpillFiles. A crash loses what it has gathered, as its end does.
// Invariants: I1 all that is remembered of a number is of one open file: of another, which was made anew under that
//                number, it would tell nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>

namespace shoal {

class OpenSpillFile;

class DeadRoom {
public:
    using File = std::shared_ptr<const OpenSpillFile>;
    struct Range {
        std::uint64_t begin = 0;  // bytes in the file
        std::uint64_t end = 0;
        [[nodiscard]] bool empty() const noexcept { return begin >= end; }
    };

    // A bundle that lies there, and the live bytes of all segments in it. Nothing new where it is known already.
    void note_bundle(std::uint32_t number, const File& file, Range bundle, std::uint64_t live_bytes);
    // A segment in it is given up. Where the bundle is dead by that: what to give to add().
    [[nodiscard]] Range leave_bundle(std::uint32_t number, std::uint64_t begin, std::uint64_t live_bytes,
                                     bool checkpointed) noexcept;
    // That range is dead. The whole blocks that are dead by that, of `block_bytes` each.
    [[nodiscard]] Range add(std::uint32_t number, const File& file, Range dead, std::uint64_t block_bytes);

private:
    static constexpr std::size_t kMostBundles = 1 << 17;  // of a file; the rest comes back with it
    static constexpr std::size_t kMostRanges = 1 << 16;

    struct Bundle {
        std::uint64_t end = 0;
        std::uint64_t left = 0;  // live bytes
    };
    struct OfFile {
        File file;
        std::unordered_map<std::uint64_t, Bundle> bundles;  // by where they begin
        std::map<std::uint64_t, std::uint64_t> ranges;      // dead ones, none next to another: end by begin
    };
    [[nodiscard]] OfFile& of_file(std::uint32_t number, const File& file);

    std::unordered_map<std::uint32_t, OfFile> files_;
};

}  // namespace shoal
