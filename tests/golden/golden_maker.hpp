// Stores as a build of shoal leaves them at rest, to be read by every later build: tests/golden/N.
//
// Each folder N has stores and the file `contents`, which says what is in each of them, a line per key:
//
//   records repeat key        record i of the key is "<key> <i>;", `repeat` times; the key is the rest of the line
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace shoal_golden {

struct Key {
    std::string name;
    std::size_t records;
    std::size_t repeat;  // 0: empty records
    std::string codec;   // "": the store's. Not in `contents`: whatever it is, the value is read
};

[[nodiscard]] std::string record(const Key& key, std::size_t number);
[[nodiscard]] std::string contents(const std::vector<Key>& keys);
[[nodiscard]] std::vector<Key> parse_contents(const std::string& text);

// Writes stores and `contents` of this build into the empty folder. "" or what failed.
[[nodiscard]] std::string make_stores(const std::string& folder);

}  // namespace shoal_golden
