#include "shuffle/row_scanner.hpp"

#include "shuffle/blank_separated_rows.hpp"
#include "shuffle/delimited_rows.hpp"
#include "shuffle/json_rows.hpp"

namespace shoal::shuffling {

std::string_view reason_text(BadRow reason) noexcept {
    switch (reason) {
        case BadRow::kStrayQuote:
            return "stray quote in an unquoted field";
        case BadRow::kTextAfterQuote:
            return "text after a closing quote";
        case BadRow::kUnterminatedQuote:
            return "quote that is never closed";
        case BadRow::kFieldCount:
            return "wrong number of fields";
        case BadRow::kTooFewFields:
            return "too few fields";
        case BadRow::kJsonSyntax:
            return "invalid JSON";
        case BadRow::kJsonNotObject:
            return "JSON that is not an object";
        case BadRow::kJsonKeyMissing:
            return "object without the key";
        case BadRow::kKeyTooLong:
            return "value too long to name a partition";
        case BadRow::kRowTooLong:
            return "row longer than 1 GiB";
    }
    return "";
}

std::unique_ptr<RowScanner> make_scanner(const RowShape& shape) {
    if (shape.format == Format::kJsonLines) return std::make_unique<JsonRows>(shape);
    if (shape.format == Format::kLines && shape.delimiter == '\0') {
        return std::make_unique<BlankSeparatedRows>(shape);
    }
    return std::make_unique<DelimitedRows>(shape);
}

}  // namespace shoal::shuffling
