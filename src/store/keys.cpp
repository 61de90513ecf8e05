// Walks over all keys (Store::next_keys, for_each_key, keys).
//
// A walk goes through the hashes from 0 up. A batch is the keys of one leaf of the index or of several leaves that
// follow each other, read inside one epoch; the walk's place between two batches is the hash at which the next leaf
// begins. A leaf is read as a whole, since its slots are not in the order of their hashes.
//
// Why each key comes once: a key's hash never changes while the store lives. A batch gives keys of hashes from the
// walk's place up to the hash at which the next batch begins (Index::visit_leaf leaves out smaller ones), so a key
// that is erased and made again, or a leaf that is split or dropped with its tree, comes behind the place or before
// it, not in both. Within one leaf all words are read before the first chain is looked at; of two chains of one key
// the elder was marked erased before the younger was linked (index I3).
//
// Thread safety: as Store. A crash inside an epoch leaves that epoch, as any reader's.
#include <cstring>

#include "store/impl.hpp"

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

// Reads one batch into the cursor's bytes, and where each key of it ends into `ends`. Returns the hash at which the
// next batch begins, 0 behind the last; the cursor stays where it is.
Result<std::uint64_t> StoreImpl::read_batch(KeyCursor& cursor, std::vector<std::size_t>& ends) {
    const LookSlot look(slots_);
    auto inside = enter_to_look(look);
    if (!inside) return tl::unexpected(std::move(inside.error()));
    const ArenaOffset tree = index_.tree();
    // relaxed: compared with itself. Another count is progress of others, which explains that a walk is long.
    const std::uint64_t retirements = mapping_.header().retirements.load(std::memory_order_relaxed);
    if (cursor.tree_ != raw(tree) || cursor.retirements_ != retirements) {
        cursor.tree_ = raw(tree);
        cursor.retirements_ = retirements;
        cursor.leaves_left_ = mapping_.bytes() / sizeof(Leaf);  // no arena has room for more
    }
    std::uint64_t from = cursor.from_;
    for (std::size_t leaves = 0; leaves < kBatchLeaves && cursor.bytes_.size() < kBatchBytes; ++leaves) {
        if (cursor.leaves_left_ == 0) return tl::unexpected(damaged_index());
        cursor.leaves_left_ -= 1;
        const auto next = index_.visit_leaf(tree, from, [&](ArenaOffset chain) {
            const ByteView key = mapping_.at<Chain>(chain)->key();
            if (!key.text().starts_with(cursor.prefix_)) return true;
            const std::size_t end = cursor.bytes_.size();
            cursor.bytes_.resize(end + key.size());
            if (!key.empty()) std::memcpy(cursor.bytes_.data() + end, key.data(), key.size());
            ends.push_back(cursor.bytes_.size());
            return true;
        });
        if (!next) return tl::unexpected(damaged_index());
        from = *next;
        if (from == 0) break;
    }
    crash_point(CrashPoint::kKeysRead);
    return from;
}

Result<bool> StoreImpl::next_keys(KeyCursor& cursor) {
    const std::uint64_t seed = mapping_.header().hash_seed;
    if (cursor.begun_ && cursor.hash_seed_ != seed) return tl::unexpected(of_another_store());
    cursor.begun_ = true;
    cursor.hash_seed_ = seed;
    std::vector<std::size_t> ends;
    while (!cursor.ended_) {
        cursor.keys_.clear();
        cursor.bytes_.clear();
        ends.clear();
        const Result<std::uint64_t> next = read_batch(cursor, ends);
        if (!next) return tl::unexpected(next.error());
        cursor.keys_.reserve(ends.size());  // may throw: the batch is not given then, so the place is not moved yet
        cursor.from_ = *next;
        cursor.ended_ = *next == 0;
        std::size_t begin = 0;
        for (const std::size_t end : ends) {
            cursor.keys_.emplace_back(cursor.bytes_.data() + begin, end - begin);
            begin = end;
        }
        if (!cursor.keys_.empty()) return true;
    }
    cursor.keys_.clear();
    return false;
}

Result<void> StoreImpl::for_each_key(ByteView prefix, const std::function<bool(ByteView)>& take) {
    KeyCursor cursor(prefix);
    for (;;) {
        const Result<bool> some = next_keys(cursor);
        if (!some) return tl::unexpected(some.error());
        if (!*some) return {};
        for (const ByteView key : cursor.keys_) {
            if (!take(key)) return {};
        }
    }
}

Result<std::vector<Bytes>> StoreImpl::keys() {
    std::vector<Bytes> keys;
    std::uint64_t room = 0;         // that all keys together may take, as long as none is retired
    std::uint64_t retirements = 0;  // as they were counted then
    KeyCursor cursor;
    for (;;) {
        const Result<bool> some = next_keys(cursor);
        if (!some) return tl::unexpected(some.error());
        if (!*some) return keys;
        if (room == 0 || cursor.retirements_ != retirements) {
            retirements = cursor.retirements_;
            room = mapping_.bytes();
        }
        for (const ByteView key : cursor.keys_) {
            if (room <= Chain::bytes_for(key.size())) return tl::unexpected(damaged_index());
            room -= Chain::bytes_for(key.size());
            keys.emplace_back(key.size());
            if (!key.empty()) std::memcpy(keys.back().data(), key.data(), key.size());
        }
    }
}

}  // namespace shoal
