#include "check.hpp"

#include <cstring>
#include <map>

namespace bench {

namespace {

std::string check_records(const shoal::Store& store, const std::string& key, const Workload& shape) {
    const auto source = make_records(shape.record_bytes);
    std::map<std::string_view, bool> known;
    for (std::size_t number = 0; number < kDistinctRecords; ++number) {
        const std::byte* at = source.data() + number * shape.record_bytes;
        known[{reinterpret_cast<const char*>(at), shape.record_bytes}] = true;
    }
    const auto records = store.records(key);
    if (!records) return records.error().message;
    for (const shoal::ByteView record : *records) {
        if (!known.contains(record.text())) return "a record of " + key + " is not one that was appended";
    }
    return {};
}

}  // namespace

std::string check_and_drop(shoal::Store& store, const Workload& shape) {
    const auto keys = make_keys(shape.keys);
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    for (const std::string& key : keys) {
        const auto size = store.size(key);
        if (!size) return key + ": " + size.error().message;
        records += size->records;
        bytes += size->bytes;
    }
    const std::uint64_t expected = std::uint64_t{shape.records} * shape.workers;
    if (records != expected || bytes != expected * shape.record_bytes) {
        return "the store holds " + std::to_string(records) + " records in " + std::to_string(bytes) +
               " bytes, not " + std::to_string(expected) + " of " + std::to_string(shape.record_bytes);
    }
    std::string error = check_records(store, keys.front(), shape);
    if (const auto dropped = store.drop(); !dropped && error.empty()) error = dropped.error().message;
    return error;
}

}  // namespace bench
