// A key that remembers where its chain is, and what a batch is made of.
#pragma once

#include <cstdint>
#include <string>

#include <shoal/bytes.hpp>

namespace shoal {

inline constexpr std::size_t kMaxKeyBytes = 64 * 1024;

// A key whose hash is computed and whose chain is found once; later calls go straight to the chain. It stays
// right when the key is erased and made again, by any process: then the next call looks it up anew; and when it is
// used with another store than the one that made it (Store::key). Not thread-safe: one per thread.
class Key {
public:
    Key() = default;
    [[nodiscard]] ByteView bytes() const noexcept { return bytes_; }

private:
    friend class Store;
    friend class StoreImpl;
    std::string bytes_;
    std::uint64_t hash_ = 0;
    std::uint64_t seed_ = 0;         // of the store whose hash that is
    std::uint64_t chain_ = 0;        // offset of the chain, 0 while unknown
    std::uint64_t tree_ = 0;         // offset of the index that it was found in
    std::uint64_t retirements_ = 0;  // the store's count of retired chains when the chain was found
};

// One record for append(batch): the key by its bytes, or by handle, which saves the look-up.
struct Pair {
    Pair(ByteView key_bytes, ByteView record) noexcept : key(key_bytes), value(record) {}
    Pair(Key& key_handle, ByteView record) noexcept : handle(&key_handle), value(record) {}

    Key* handle = nullptr;  // takes precedence over key
    ByteView key;
    ByteView value;
};

}  // namespace shoal
