// Where each table of an arena of a given size lies. Both who makes an arena and who checks one compute it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "arena/layout.hpp"

namespace shoal {

struct ArenaPlan {
    std::uint64_t page_count = 0;
    std::uint64_t slots_at = 0;
    std::uint64_t used_at = 0;
    std::uint64_t real_at = 0;
    std::uint64_t tables_at = 0;
    std::uint64_t owners_at = 0;
    std::uint64_t partial_at = 0;
    std::uint64_t block_bits_at = 0;  // the tables before this are made real at creation
    std::uint64_t pages_at = 0;
};

// `arena_bytes`: a multiple of kPieceBytes, kMinimumArenaBytes at least.
[[nodiscard]] ArenaPlan plan_arena(std::uint64_t arena_bytes) noexcept;

// The sizes that two builds must agree on to share an arena, in words and as a hash of them.
[[nodiscard]] std::array<char, 64> layout_words() noexcept;
[[nodiscard]] std::uint64_t layout_signature() noexcept;

// Whether the words and their hash belong together; where they do not, they are no other build's: they are damaged.
[[nodiscard]] bool has_layout_of_some_build(const ArenaHeader& header) noexcept;

// What is wrong with a header of a file of `file_bytes`, in words; empty when nothing is. Incompatible layouts are
// told by check_layout, which comes first.
[[nodiscard]] std::string check_layout(const ArenaHeader& header);
[[nodiscard]] std::string check_header(const ArenaHeader& header, std::uint64_t file_bytes);

}  // namespace shoal
