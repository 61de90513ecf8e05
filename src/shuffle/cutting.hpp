// Cuts inputs into ranges that mappers read independently, and finds out what a reader's state is at each cut.
//
// What is no CSV has no quotes: a row starts behind any LF, which a mapper sees for itself. For CSV the pieces are
// surveyed in parallel (quote_survey.hpp); then the states follow from piece to piece by the parity of quotes,
// which takes no time. A piece with irregular quotes is read again, byte by byte, by the state machine: the answer
// never depends on parity where parity could be wrong.
#pragma once

#include <functional>
#include <vector>

#include "shuffle/job_board.hpp"
#include "shuffle/quote_survey.hpp"
#include "shuffle/range_reader.hpp"

namespace shoal::shuffling {

// Every file's rows in ranges of at most `range_bytes`; the states of all but the first of each file still to be
// found.
[[nodiscard]] std::vector<Range> cut_evenly(const std::vector<InputFile>& files, std::uint64_t range_bytes);

// Reads one range for its quotes. `buffer` is scratch.
[[nodiscard]] Outcome<QuoteSurvey> survey(const InputFile& file, const Range& range, char delimiter,
                                          std::vector<char>& buffer);

// Fills in every range's state. For CSV surveys[i] is of ranges[i]; otherwise they are not looked at. `go_on` is
// asked between pieces that must be read again; false ends it, and the states are then worth nothing.
[[nodiscard]] Outcome<void> find_states(const std::vector<InputFile>& files, std::vector<Range>& ranges,
                                        const RowShape& shape, const SharedArray<QuoteSurvey>& surveys,
                                        const std::function<bool()>& go_on);

}  // namespace shoal::shuffling
