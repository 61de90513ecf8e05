// A record of the storm: who wrote it, which entry of the ledger it is, and a checksum over all of it, filler
// included; so a record that is torn, mixed with another, doubled or of another round shows.
#pragma once

#include <xxhash.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace storm {

struct RecordHead {
    std::uint64_t checksum;  // over the rest
    std::uint32_t bytes;     // of the whole record
    std::uint32_t round;
    std::uint32_t entry;
    std::uint32_t lane;
    std::uint32_t key;
    std::uint32_t filler_seed;
};
static_assert(sizeof(RecordHead) == 32, "checked as bytes: no padding");

inline std::uint64_t checksum_of(std::string_view record) {
    return XXH3_64bits(record.data() + sizeof(std::uint64_t), record.size() - sizeof(std::uint64_t));
}

// Into `record`, whose size it becomes; head.bytes says which.
inline void make_record(RecordHead head, std::string& record) {
    static const std::string pool = [] {
        std::string bytes(1U << 16, '\0');
        std::uint64_t state = 1;
        for (char& byte : bytes) {
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            byte = static_cast<char>(state >> 56);
        }
        return bytes;
    }();
    record.resize(head.bytes);
    std::size_t from = head.filler_seed % pool.size();
    for (std::size_t at = sizeof head; at < record.size();) {
        const std::size_t piece = std::min(record.size() - at, pool.size() - from);
        std::memcpy(record.data() + at, pool.data() + from, piece);
        at += piece;
        from = 0;
    }
    std::memcpy(record.data(), &head, sizeof head);
    head.checksum = checksum_of(record);
    std::memcpy(record.data(), &head, sizeof head);
}

// The head of a whole record; false: it is none.
inline bool read_record(std::string_view record, RecordHead& head) {
    if (record.size() < sizeof head) return false;
    std::memcpy(&head, record.data(), sizeof head);
    return head.bytes == record.size() && checksum_of(record) == head.checksum;
}

// The first record of a value that many follow in; empty: what is there cannot be one.
inline std::string_view first_record(std::string_view value) {
    RecordHead head{};
    if (value.size() < sizeof head) return {};
    std::memcpy(&head, value.data(), sizeof head);
    if (head.bytes < sizeof head || head.bytes > value.size()) return {};
    return value.substr(0, head.bytes);
}

}  // namespace storm
