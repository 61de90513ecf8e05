// A walk over the keys of a store: Store::next_keys gives them a batch at a time, and there is no list of all.
//
//     shoal::KeyCursor cursor("user:");
//     while (store.next_keys(cursor).value())
//         for (const shoal::ByteView key : cursor.keys()) ...
//
// Store::for_each_key is this loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <shoal/bytes.hpp>

namespace shoal {

// Where a walk stands, and the keys of the batch that it read last. It belongs to one store, of which it holds
// nothing: neither memory, nor a slot, nor the store itself. So a walk may be left, and gone on with after any
// time, after a fork by both processes, and by another Store of the same path. One thread uses it at a time.
class KeyCursor {
public:
    // At the beginning of a walk over the keys that begin with `prefix`.
    explicit KeyCursor(ByteView prefix = "") : prefix_(prefix.text()) {}
    KeyCursor(KeyCursor&&) noexcept = default;
    KeyCursor& operator=(KeyCursor&&) noexcept = default;

    // Of the last batch, in no order. The bytes are the cursor's, until its next batch or its end.
    [[nodiscard]] std::span<const ByteView> keys() const noexcept { return keys_; }

private:
    friend class BackupRun;
    friend class KeyWalk;

    std::string prefix_;
    std::uint64_t from_ = 0;       // the least hash that is still to come
    std::uint64_t hash_seed_ = 0;  // of the store, once the walk has begun
    bool begun_ = false;
    bool ended_ = false;
    std::uint64_t tree_ = 0;         // in which the last batch was read
    std::uint64_t retirements_ = 0;  // as they were counted then
    std::uint64_t leaves_left_ = 0;  // that may come before either changes
    std::vector<std::byte> bytes_;
    std::vector<ByteView> keys_;
};

}  // namespace shoal
