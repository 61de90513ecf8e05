// The reader of a living arena: every look at the arena is a glance (arena/glance.hpp), made anew where it did not
// hold.
//
// A value is copied in pieces of 256 KiB. Before each the glance is renewed, if the epoch has moved and the key's
// chain is in the index still: so a long value can be read beside epochs that move, as long as no more than one
// moves per piece. What is in files is read outside of every glance, and checked as any reader does
// (spill/load.hpp).
//
// Invariants: I1 nothing is returned that was read in a glance that did not hold behind the last read;
//             I2 memory is taken for what the arena says only behind a look at whether the glance holds.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arena/glance.hpp"
#include "spill/load.hpp"
#include "store/reader.hpp"

namespace shoal {

class LiveReader final : public StoreReader {
public:
    LiveReader(OpenedArena&& opened, const Options& options);

    [[nodiscard]] Result<Bytes> get(ByteView key) override;
    [[nodiscard]] std::vector<Result<Bytes>> get(std::span<const ByteView> keys) override;
    [[nodiscard]] Result<std::size_t> get_into(ByteView key, std::span<std::byte> buffer) override;
    [[nodiscard]] Result<View> view(ByteView key) override;
    [[nodiscard]] Result<Records> records(ByteView key) override;
    [[nodiscard]] Result<void> records(ByteView key, std::size_t part_bytes,
                                       const std::function<bool(const Records&)>& take) override;
    [[nodiscard]] Result<ValueSize> size(ByteView key) override;
    [[nodiscard]] Result<bool> contains(ByteView key) override;
    [[nodiscard]] Result<bool> next_keys(KeyCursor& cursor) override;
    [[nodiscard]] Result<void> for_each_key(ByteView prefix, const std::function<bool(ByteView)>& take) override;
    [[nodiscard]] Result<std::vector<Bytes>> keys() override;
    [[nodiscard]] Result<Stats> stats() override;

private:
    struct Found {
        ArenaOffset chain = ArenaOffset::kNull;
        Cut cut;
        std::uint64_t generation = 0;
    };
    struct Piece {
        std::size_t at = 0;  // in the copy
        std::size_t bytes = 0;
        std::size_t part = 0;  // 1 + its index in Copied::stored, where it is stored; 0: it is copied
    };
    // A value, with room for what is still to be loaded.
    struct Copied {
        std::size_t bytes = 0;
        std::uint64_t generation = 0;
        std::vector<StoredPart> stored;
        std::vector<Piece> pieces;  // where they are wanted
    };
    enum class Pieces : std::uint8_t { kNone, kRecords, kBytes };
    // Gives room for a value of up to so many bytes; what does not fit into it is counted and left out.
    using Room = std::function<std::span<std::byte>(std::size_t most)>;

    // Calls `use` with a glance until one holds to its end; its result. kDestroyed; kInUse where none does for so
    // long.
    template <class Use>
    [[nodiscard]] auto look(Use&& use) -> decltype(use(std::declval<Glance&>()));
    [[nodiscard]] std::uint64_t hash(ByteView key) const noexcept;

    // In a glance:
    [[nodiscard]] std::optional<Found> find(ByteView key, std::uint64_t key_hash) const noexcept;
    [[nodiscard]] Result<Copied> copy_resident(Glance& glance, ByteView key, const Room& room, Pieces pieces) const;

    // The whole value. kNotFound, kDamaged, those of look() and of files.
    [[nodiscard]] Result<Copied> copy(ByteView key, const Room& room, Pieces pieces);
    template <class Made>
    [[nodiscard]] Result<Made> copied_view(ByteView key, Pieces pieces);
    // False: the value is to be read anew.
    [[nodiscard]] Result<bool> load(ByteView key, std::span<StoredPart> stored);
    void read_files(std::span<StoredPart> stored);

    [[nodiscard]] Error destroyed() const;
    [[nodiscard]] Error never_held() const;
    [[nodiscard]] Error damaged(ByteView key) const;
    [[nodiscard]] Error damaged_index() const;

    std::string path_;
    std::string arena_path_;
    ArenaLock lock_;  // until all below is gone
    Mapping mapping_;
    Blocks blocks_;
    Slots slots_;  // takes none: for its mutex, which survives a fork
    Index index_;
    SpillFiles files_;
    Loader loader_;
    std::chrono::milliseconds patience_;
    WaitHooks wait_hooks_;
};

}  // namespace shoal
