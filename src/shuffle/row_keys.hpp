// Under which key a partition's rows lie in the store.
//
// Rows of even and of odd generations (early_output.hpp) have a byte before the partition's own key, so that one
// can be written while the other is read. In a store that is kept rows lie under the partition's own key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <shoal/key.hpp>

namespace shoal::shuffling {

enum class RowKeys : std::uint8_t { kOwn, kByGeneration };

// The longest key of a partition.
inline constexpr std::size_t kMaxPartitionKeyBytes = kMaxKeyBytes - 1;

[[nodiscard]] inline std::string_view row_key_prefix(RowKeys keys, std::uint64_t generation) noexcept {
    if (keys == RowKeys::kOwn) return "";
    return generation % 2 == 0 ? "0" : "1";
}

[[nodiscard]] inline std::string row_key(RowKeys keys, std::uint64_t generation, std::string_view partition) {
    return std::string(row_key_prefix(keys, generation)).append(partition);
}

}  // namespace shoal::shuffling
