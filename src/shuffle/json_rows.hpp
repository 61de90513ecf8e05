// JSON lines: one object a line, its key's value found by simdjson. A line of nothing but blanks is blank. Of a key
// that an object has twice the first one counts.
#pragma once

#include <simdjson.h>

#include "shuffle/row_scanner.hpp"

namespace shoal::shuffling {

class JsonRows final : public RowScanner {
public:
    explicit JsonRows(const RowShape& shape) : key_(shape.json_key) {}

    [[nodiscard]] std::size_t scan(const Window& window, RowSink& sink) override;

private:
    [[nodiscard]] bool scan_line(const Window& window, std::size_t start, std::size_t end, RowSink& sink);

    std::string key_;
    simdjson::dom::parser parser_;
};

// The raw text of the `member`th value (from 0) of the object in `text`, which must be valid JSON that starts with
// '{'.
[[nodiscard]] std::string_view raw_member(std::string_view text, std::size_t member) noexcept;

}  // namespace shoal::shuffling
