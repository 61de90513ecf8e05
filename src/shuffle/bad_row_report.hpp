// Malformed rows as the mappers left them on their desks, made into what a person reads.
#pragma once

#include <vector>

#include "shuffle/input.hpp"
#include "shuffle/job_board.hpp"

namespace shoal::shuffling {

// Counts lines up to the row, so it costs a pass over the file's part before it.
[[nodiscard]] Outcome<BadRowReport> describe(const BadSpot& spot, const std::vector<InputFile>& files,
                                             const RowShape& shape);

// The first malformed row in input order that ended a mapper, as the failure "flights.csv:17: ..."; nothing when
// none did.
[[nodiscard]] std::optional<ShuffleError> fatal_row(SharedArray<Desk>& desks, const std::vector<InputFile>& files,
                                                    const RowShape& shape);

// Counts and the first few into the summary.
[[nodiscard]] Outcome<void> report_skipped(SharedArray<Desk>& desks, const std::vector<InputFile>& files,
                                           const RowShape& shape, ShuffleSummary& summary);

}  // namespace shoal::shuffling
