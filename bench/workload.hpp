// What the benches append, and in which order: the same for shoal, for its rivals and for the limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

inline constexpr std::size_t kBatchPairs = 1024;     // pairs in one append(batch)
inline constexpr std::size_t kDistinctRecords = 64;  // contents that writers cycle through

// One round: each worker appends `records` records of `record_bytes` to keys picked at random.
struct Workload {
    std::size_t record_bytes;
    std::uint32_t keys;
    std::size_t records;
    unsigned workers;
};

// SplitMix64 (Steele, Lea, Flood 2014): reproducible on every machine.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }
    std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(((next() >> 32) * limit) >> 32); }

private:
    std::uint64_t state_;
};

// "key-00000042" and so on: 12 bytes a key.
inline std::string key_name(std::uint32_t key) {
    const std::string digits = std::to_string(key);
    return "key-" + std::string(8 - digits.size(), '0') + digits;
}
inline std::vector<std::string> make_keys(std::uint32_t count) {
    std::vector<std::string> keys;
    keys.reserve(count);
    for (std::uint32_t key = 0; key < count; ++key) keys.push_back(key_name(key));
    return keys;
}

// Keys at random, one after the other; the worker's number decides.
class Picks {
public:
    Picks(std::uint32_t keys, unsigned worker) : random_(0x5f0a1 + worker), keys_(keys) {}
    std::uint32_t next() { return random_.below(keys_); }

private:
    Random random_;
    std::uint32_t keys_;
};

inline std::vector<std::uint32_t> make_picks(std::size_t count, std::uint32_t keys, unsigned worker) {
    Picks all(keys, worker);
    std::vector<std::uint32_t> picks(count);
    for (std::uint32_t& pick : picks) pick = all.next();
    return picks;
}

// `count` records of random bytes, one after the other.
inline std::vector<std::byte> make_records(std::size_t record_bytes, std::size_t count = kDistinctRecords) {
    Random random(record_bytes);
    std::vector<std::byte> bytes(count * record_bytes);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    return bytes;
}

}  // namespace bench
