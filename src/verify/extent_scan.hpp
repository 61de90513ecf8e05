// Checks many extents at little cost each: they are gathered, and read in the order of their places, so that one
// read has all that lie near each other. A small extent costs well below a microsecond then, where the loader,
// which reads each by itself, takes ten.
//
// An extent that is not what it should be is only doubtful: the caller reads it by the loader, which says what is
// wrong with it, or finds it right by then. So does the caller with an extent that is long or stored part by part.
//
// Thread safety: none; one verification has one. A crash leaves nothing.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "spill/bundle.hpp"
#include "spill/load.hpp"

namespace shoal {

class ExtentScan {
public:
    ExtentScan(SpillFiles& files, const SpillStoreId& store_id) : files_(&files), store_id_(store_id) {}

    // Of each key, as StoredPart, without a place to read to. The key, of that hash, is copied.
    void add(const StoredPart& part, std::uint64_t hash);
    // Enough is gathered: the next call is to be run().
    [[nodiscard]] bool is_full() const noexcept {
        return waiting_.size() >= kMostParts || keys_.size() >= kMostKeyBytes;
    }

    struct Part {
        StoredPart part;         // without its key
        std::uint64_t hash = 0;  // of the key
        std::size_t key_begins = 0;
        std::size_t key_bytes = 0;
    };
    // Reads all that is gathered, calls `doubtful` for each part that has to be read by the loader, and forgets
    // them. `step` is called before each read, and ends the work where it returns false.
    void run(const std::function<bool()>& step, const std::function<void(StoredPart& part)>& doubtful);

private:
    static constexpr std::size_t kMostParts = 64 * 1024;
    static constexpr std::size_t kMostKeyBytes = 16 << 20;
    static constexpr std::uint64_t kWindowBytes = 1 << 20;  // of one read
    static constexpr std::uint64_t kGapBytes = 16 << 10;    // between neighbours of one read: cheaper than another

    [[nodiscard]] std::size_t end_of_window(std::size_t first) const noexcept;
    // Whether the window, or what the file has of it, is in memory_ now.
    [[nodiscard]] bool read_window(std::size_t first, std::size_t end);
    [[nodiscard]] bool is_right(const StoredPart& part, ByteView extent);
    [[nodiscard]] bool is_in_bundle(const StoredPart& part, ByteView bundle);

    SpillFiles* files_;
    SpillStoreId store_id_;
    std::vector<Part> waiting_;
    std::string keys_;
    std::vector<std::byte> memory_;
    std::uint64_t window_at_ = 0;     // in the file
    std::uint64_t window_bytes_ = 0;  // that were read
    std::vector<std::byte> payload_;
    Decompressor decompressor_;
    std::optional<BundleView> bundle_;  // the one that was looked at last, of this window
    std::uint64_t bundle_place_ = 0;
    BundleView::Cursor bundle_cursor_;
};

}  // namespace shoal
