// A hash map of strings to byte vectors in shared memory under one mutex, as users of Boost.Interprocess write it.
//
// The table is reserved and a look-up builds no string in shared memory.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <boost/container_hash/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>

namespace bench::boost_map {

namespace ipc = boost::interprocess;

using Manager = ipc::managed_external_buffer::segment_manager;
using Text = ipc::basic_string<char, std::char_traits<char>, ipc::allocator<char, Manager>>;
using Value = ipc::vector<std::byte, ipc::allocator<std::byte, Manager>>;

inline std::string_view text(const Text& key) { return {key.data(), key.size()}; }
inline std::string_view text(std::string_view key) { return key; }
struct Hash {
    template <class Key>
    std::size_t operator()(const Key& key) const {
        const std::string_view bytes = text(key);
        return boost::hash_range(bytes.begin(), bytes.end());
    }
};
struct Equal {
    template <class Left, class Right>
    bool operator()(const Left& left, const Right& right) const {
        return text(left) == text(right);
    }
};
using Map = boost::unordered_map<Text, Value, Hash, Equal, ipc::allocator<std::pair<const Text, Value>, Manager>>;

struct Root {
    Root(std::size_t keys, Manager* manager) : map(keys, Hash(), Equal(), manager) {}
    ipc::interprocess_mutex mutex;
    Map map;
};

// With the mutex held.
inline void append_one(Root& root, Manager* manager, std::string_view key, const std::byte* record,
                       std::size_t bytes) {
    auto at = root.map.find(key, Hash(), Equal());
    if (at == root.map.end()) {
        at = root.map.emplace(Text(key.data(), key.size(), manager), Value(manager)).first;
    }
    at->second.insert(at->second.end(), record, record + bytes);
}

}  // namespace bench::boost_map
