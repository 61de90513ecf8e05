// What must be known of a piece of a CSV file before anybody may read from its middle: how many quotes it has, and
// whether they are regular. Neither is known of what comes before the piece, so both possibilities are tried at
// once: that it starts outside quotes, and within. Thread safety: none; one surveyor a piece.
#pragma once

#include <cstdint>

#include "shuffle/csv_grammar.hpp"
#include "shuffle/quote_tracker.hpp"

namespace shoal::shuffling {

struct QuoteSurvey {
    bool odd = false;            // the number of quotes
    bool irregular_out = false;  // a quote is irregular (quote_tracker.hpp) when the piece starts outside quotes
    bool irregular_in = false;   // the same when it starts within
};

class QuoteSurveyor {
public:
    // The two bytes before the piece; LF and LF where it starts with a file's first row.
    QuoteSurveyor(char before_previous, char previous, char delimiter) noexcept;

    // The next bytes of the piece. A multiple of kBlockBytes but at its end; kWindowPadding readable bytes behind.
    void take(const char* data, std::size_t bytes) noexcept;

    [[nodiscard]] const QuoteSurvey& result() const noexcept { return survey_; }

private:
    char delimiter_;
    char previous_;
    QuoteSurvey survey_;
    StructuralMasks masks_;
    QuoteTracker outside_;
    QuoteTracker within_;
};

// Where a reader is that lies outside quotes by parity, after these two bytes, all quotes being regular.
[[nodiscard]] CsvState state_outside(char before_previous, char previous, char delimiter) noexcept;

}  // namespace shoal::shuffling
