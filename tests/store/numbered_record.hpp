// A record that carries who wrote it, its number, a checksum over all of it, and what its writer knew to be
// acknowledged before it was begun: what a reader needs to see that an order or an acknowledgement was broken.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "pattern.hpp"

namespace shoal_test {

struct NumberedRecord {
    std::uint64_t checksum;  // over the rest, filler included
    std::uint32_t bytes;     // of the whole record
    std::uint32_t writer;
    std::uint64_t number;            // of this writer's records on this key, from 0
    std::uint64_t own_acknowledged;  // of those, acknowledged before this one was begun
    std::uint32_t seen_writer;       // some writer (perhaps this one) and some key (perhaps this one), of
    std::uint32_t seen_key;          // which this many records were acknowledged before this one was begun
    std::uint64_t seen_acknowledged;
};
static_assert(sizeof(NumberedRecord) == 48, "checked as bytes: no padding");

inline std::uint64_t checksum_of(std::string_view bytes) {
    std::uint64_t sum = 0xCBF29CE484222325ULL;
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data() + at, 8);
        sum = (sum ^ word) * 0x100000001B3ULL;
        sum ^= sum >> 29;
    }
    for (; at < bytes.size(); ++at) sum = (sum ^ static_cast<unsigned char>(bytes[at])) * 0x100000001B3ULL;
    return sum;
}

// The record with `filler_bytes` after its head.
inline std::string make_record(NumberedRecord head, std::size_t filler_bytes) {
    std::string bytes(sizeof head + filler_bytes, '\0');
    head.bytes = static_cast<std::uint32_t>(bytes.size());
    fill_pattern(bytes.data() + sizeof head, filler_bytes, head.number * 1000 + head.writer);
    std::memcpy(bytes.data(), &head, sizeof head);
    head.checksum = checksum_of(std::string_view(bytes).substr(sizeof head.checksum));
    std::memcpy(bytes.data(), &head, sizeof head);
    return bytes;
}

// Takes the first record off `value`; "" or what is wrong with it.
inline std::string take_record(std::string_view& value, NumberedRecord& head) {
    if (value.size() < sizeof head) return "torn record: " + std::to_string(value.size()) + " bytes are left";
    std::memcpy(&head, value.data(), sizeof head);
    if (head.bytes < sizeof head || head.bytes > value.size())
        return "torn record: it says " + std::to_string(head.bytes) + " bytes of " + std::to_string(value.size());
    const std::string_view record = value.substr(0, head.bytes);
    if (checksum_of(record.substr(sizeof head.checksum)) != head.checksum)
        return "torn record: checksum, writer " + std::to_string(head.writer) + " number " +
               std::to_string(head.number);
    value.remove_prefix(head.bytes);
    return {};
}

}  // namespace shoal_test
