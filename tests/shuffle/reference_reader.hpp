// What the rows of a text are, read in the most obvious way: one byte after the other, the whole text in memory.
// What shuffle finds by bit masks, in ranges, in parallel, is compared with this.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "shuffle/row_scanner.hpp"

namespace shoal::shuffling::test {

struct GoodRow {
    std::string bytes;  // with its terminator
    std::string key;
    friend auto operator<=>(const GoodRow&, const GoodRow&) = default;
};

struct BadRowAt {
    std::uint64_t offset = 0;
    BadRow reason{};
    friend auto operator<=>(const BadRowAt&, const BadRowAt&) = default;
};

struct Reading {
    std::vector<GoodRow> rows;  // in the text's order
    std::vector<BadRowAt> bad;
    std::uint64_t blank_lines = 0;
    friend bool operator==(const Reading&, const Reading&) = default;
};

// CSV from `offset` on, that is behind the header.
[[nodiscard]] Reading read_csv(std::string text, std::size_t offset, const RowShape& shape,
                               const std::string& terminator);

// TSV, and lines with a delimiter or with blanks.
[[nodiscard]] Reading read_lines(std::string text, std::size_t offset, const RowShape& shape,
                                 const std::string& terminator);

}  // namespace shoal::shuffling::test
