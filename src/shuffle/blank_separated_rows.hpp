// Lines whose fields are separated by blanks, as awk has them: any run of spaces and tabs separates, leading and
// trailing ones do not count. A line without any field is blank.
#pragma once

#include "shuffle/row_scanner.hpp"

namespace shoal::shuffling {

class BlankSeparatedRows final : public RowScanner {
public:
    explicit BlankSeparatedRows(const RowShape& shape) : column_(shape.column) {}

    [[nodiscard]] std::size_t scan(const Window& window, RowSink& sink) override;

private:
    std::size_t column_;
};

}  // namespace shoal::shuffling
