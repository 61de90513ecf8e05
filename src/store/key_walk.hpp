// Walks over all keys (Store::next_keys, for_each_key, keys), for a store that is used and for one that is only
// read.
//
// A walk goes through the hashes from 0 up. A batch is the keys of one leaf of the index or of several leaves that
// follow each other, read inside one epoch, or in one glance; the walk's place between two batches is the hash at
// which the next leaf begins. A leaf is read as a whole, since its slots are not in the order of their hashes.
//
// Why each key comes once: a key's hash never changes while the store lives. A batch gives keys of hashes from the
// walk's place up to the hash at which the next batch begins (Index::visit_leaf leaves out smaller ones), so a key
// that is erased and made again, or a leaf that is split or dropped with its tree, comes behind the place or before
// it, not in both. Within one leaf all words are read before the first chain is looked at; of two chains of one key
// the elder was marked erased before the younger was linked (index I3).
//
// Thread safety: a cursor is one thread's. A crash leaves the epoch, if any, as any reader's.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>
#include <shoal/key_cursor.hpp>

#include "index/index.hpp"

namespace shoal {

class KeyWalk {
public:
    // Reads from the tree of this moment; may be called again for the same batch, as where a glance did not hold.
    using Read = std::function<Result<void>(ArenaOffset tree)>;
    // Calls it where the arena may be read.
    using Inside = std::function<Result<void>(const Read& read)>;
    using Next = std::function<Result<bool>(KeyCursor& cursor)>;

    // Store::next_keys.
    [[nodiscard]] static Result<bool> next(KeyCursor& cursor, const Mapping& mapping, const Index& index,
                                           const Error& damaged, const Inside& inside);

    // Store::for_each_key and Store::keys, by `next`.
    [[nodiscard]] static Result<void> for_each(ByteView prefix, const std::function<bool(ByteView)>& take,
                                               const Next& next);
    // `arena_bytes`: more keys than have room there are those of a damaged arena.
    [[nodiscard]] static Result<std::vector<Bytes>> list(std::uint64_t arena_bytes, const Error& damaged,
                                                         const Next& next);

private:
    struct Batch;
    [[nodiscard]] static bool read_batch(const KeyCursor& cursor, const Mapping& mapping, const Index& index,
                                         ArenaOffset tree, Batch& batch);
};

}  // namespace shoal
