#include <cstring>
#include <utility>

#include "arena/crash_point.hpp"
#include "store/impl.hpp"
#include "store/key_walk.hpp"

namespace shoal {
namespace {

// What a batch holds the epoch for: some 8,000 looks at keys at most, a millisecond where each is a cache miss.
constexpr std::size_t kBatchLeaves = 16;
constexpr std::size_t kBatchBytes = 64 << 10;

Error of_another_store() {
    return {Code::kInvalidArgument, "the cursor has begun a walk over another store: give each store its own", 0,
            0};
}

}  // namespace

// What the cursor gets once all of it is there.
struct KeyWalk::Batch {
    std::uint64_t next = 0;  // the hash at which the next batch begins, 0 behind the last
    std::uint64_t tree = 0;
    std::uint64_t retirements = 0;
    std::uint64_t leaves_left = 0;
    std::vector<std::byte> bytes;
    std::vector<std::size_t> ends;  // of each key, in bytes
};

// False where the arena is damaged.
bool KeyWalk::read_batch(const KeyCursor& cursor, const Mapping& mapping, const Index& index, ArenaOffset tree,
                         Batch& batch) {
    batch.bytes.clear();
    batch.ends.clear();
    batch.next = cursor.from_;
    batch.tree = raw(tree);
    // relaxed: compared with itself. Another count is progress of others, which explains that a walk is long.
    batch.retirements = mapping.header().retirements.load(std::memory_order_relaxed);
    const bool same = cursor.tree_ == batch.tree && cursor.retirements_ == batch.retirements;
    batch.leaves_left = same ? cursor.leaves_left_ : mapping.bytes() / sizeof(Leaf);  // no arena has room for more
    for (std::size_t leaves = 0; leaves < kBatchLeaves && batch.bytes.size() < kBatchBytes; ++leaves) {
        if (batch.leaves_left == 0) return false;
        batch.leaves_left -= 1;
        const auto next = index.visit_leaf(tree, batch.next, [&](ArenaOffset chain) {
            const ByteView key = mapping.at<Chain>(chain)->key();
            if (!key.text().starts_with(cursor.prefix_)) return true;
            const std::size_t end = batch.bytes.size();
            batch.bytes.resize(end + key.size());
            if (!key.empty()) std::memcpy(batch.bytes.data() + end, key.data(), key.size());
            batch.ends.push_back(batch.bytes.size());
            return true;
        });
        if (!next) return false;
        batch.next = *next;
        if (*next == 0) break;
    }
    crash_point(CrashPoint::kKeysRead);
    return true;
}

Result<bool> KeyWalk::next(KeyCursor& cursor, const Mapping& mapping, const Index& index, const Error& damaged,
                           const Inside& inside) {
    const std::uint64_t seed = mapping.header().hash_seed;
    if (cursor.begun_ && cursor.hash_seed_ != seed) return tl::unexpected(of_another_store());
    cursor.begun_ = true;
    cursor.hash_seed_ = seed;
    cursor.keys_.clear();
    Batch batch;
    batch.bytes.swap(cursor.bytes_);  // memory that is there already
    while (!cursor.ended_) {
        const Result<void> read = inside([&](ArenaOffset tree) -> Result<void> {
            if (!read_batch(cursor, mapping, index, tree, batch)) return tl::unexpected(damaged);
            return {};
        });
        if (!read) return tl::unexpected(read.error());
        cursor.keys_.reserve(batch.ends.size());  // may throw: then the place is not moved yet
        cursor.from_ = batch.next;
        cursor.ended_ = batch.next == 0;
        cursor.tree_ = batch.tree;
        cursor.retirements_ = batch.retirements;
        cursor.leaves_left_ = batch.leaves_left;
        if (batch.ends.empty()) continue;
        cursor.bytes_.swap(batch.bytes);
        std::size_t begin = 0;
        for (const std::size_t end : batch.ends) {
            cursor.keys_.emplace_back(cursor.bytes_.data() + begin, end - begin);
            begin = end;
        }
        return true;
    }
    return false;
}

Result<void> KeyWalk::for_each(ByteView prefix, const std::function<bool(ByteView)>& take, const Next& next) {
    KeyCursor cursor(prefix);
    for (;;) {
        const Result<bool> some = next(cursor);
        if (!some) return tl::unexpected(some.error());
        if (!*some) return {};
        for (const ByteView key : cursor.keys_) {
            if (!take(key)) return {};
        }
    }
}

Result<std::vector<Bytes>> KeyWalk::list(std::uint64_t arena_bytes, const Error& damaged, const Next& next) {
    std::vector<Bytes> keys;
    std::uint64_t room = 0;         // that all keys together may take, as long as none is retired
    std::uint64_t retirements = 0;  // as they were counted then
    KeyCursor cursor;
    for (;;) {
        const Result<bool> some = next(cursor);
        if (!some) return tl::unexpected(some.error());
        if (!*some) return keys;
        if (room == 0 || cursor.retirements_ != retirements) {
            retirements = cursor.retirements_;
            room = arena_bytes;
        }
        for (const ByteView key : cursor.keys_) {
            if (room <= Chain::bytes_for(key.size())) return tl::unexpected(damaged);
            room -= Chain::bytes_for(key.size());
            keys.emplace_back(key.size());
            if (!key.empty()) std::memcpy(keys.back().data(), key.data(), key.size());
        }
    }
}

Result<bool> StoreImpl::next_keys(KeyCursor& cursor) {
    return KeyWalk::next(cursor, mapping_, index_, damaged_index(), [&](const KeyWalk::Read& read) -> Result<void> {
        const LookSlot look(slots_);
        auto inside = enter_to_look(look);
        if (!inside) return tl::unexpected(std::move(inside.error()));
        return read(index_.tree());
    });
}

Result<void> StoreImpl::for_each_key(ByteView prefix, const std::function<bool(ByteView)>& take) {
    return KeyWalk::for_each(prefix, take, [this](KeyCursor& cursor) { return next_keys(cursor); });
}

Result<std::vector<Bytes>> StoreImpl::keys() {
    return KeyWalk::list(mapping_.bytes(), damaged_index(),
                         [this](KeyCursor& cursor) { return next_keys(cursor); });
}

}  // namespace shoal
