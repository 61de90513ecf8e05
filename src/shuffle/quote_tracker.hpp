// Quotes by parity, 64 bytes at a time: what lies within quotes, and which quotes are irregular, that is where
// parity alone and the state machine of csv_grammar.hpp might disagree.
//
// Q1 While no quote is irregular, a byte lies within quotes exactly when an odd number of quotes precede it.
//    By induction over the quotes: one that opens is regular only where the machine would open one too (after a
//    delimiter, a newline, at the start, or right after a closing quote, which makes a doubled quote of the two);
//    one that closes, only where a delimiter, LF, CR LF or a quote follows.
// Q2 An irregular mark lies in the row that the machine calls malformed: never behind the newline that ends it.
#pragma once

#include <cstdint>

#include "shuffle/structural_masks.hpp"

namespace shoal::shuffling {

class QuoteTracker {
public:
    // Starts at a row's start, or (`within`) inside quotes.
    explicit QuoteTracker(bool within = false) noexcept : within_(within ? ~0ULL : 0) {}

    // Starts outside quotes in the middle of a file, after these two bytes.
    QuoteTracker(char before_previous, char previous) noexcept
        : closed_(previous == '"'), return_seen_(before_previous == '"' && previous == '\r') {}

    struct Block {
        std::uint64_t within;     // bytes within quotes, opening quotes included, closing ones not
        std::uint64_t irregular;  // marks; what lies behind the first one in `within` means nothing
    };

    // Whether a block without any quote must still be looked at.
    [[nodiscard]] bool needs_look() const noexcept { return (within_ | closed_ | return_seen_) != 0; }

    // The same where only irregular quotes are wanted.
    [[nodiscard]] bool needs_check() const noexcept { return (closed_ | return_seen_) != 0; }

    // `previous` is the byte before the block, LF at a file's start.
    [[nodiscard]] Block step(const char* block, char previous, char delimiter, std::uint64_t delimiters,
                             std::uint64_t newlines, std::uint64_t quotes) noexcept {
        const std::uint64_t within = prefix_xor(quotes) ^ within_;
        const std::uint64_t opening = quotes & within;
        const std::uint64_t closing = quotes & ~within;
        const std::uint64_t opens_here = previous == delimiter || previous == '\n' || closed_ != 0 ? 1 : 0;
        std::uint64_t irregular = opening & ~((delimiters | newlines | closing) << 1 | opens_here);
        const std::uint64_t after_closing = closing << 1 | closed_;
        const std::uint64_t doubtful = after_closing & ~(delimiters | newlines | quotes);
        std::uint64_t returns = 0;
        if ((doubtful | return_seen_) != 0) {
            returns = doubtful & find_byte(block, '\r');
            irregular |= doubtful & ~returns;
            irregular |= (returns << 1 | return_seen_) & ~newlines;
        }
        within_ = 0 - (within >> 63);
        closed_ = closing >> 63;
        return_seen_ = returns >> 63;
        return {within, irregular};
    }

private:
    std::uint64_t within_ = 0;       // all ones when the next block starts within quotes
    std::uint64_t closed_ = 0;       // 1 when the byte before it is a closing quote
    std::uint64_t return_seen_ = 0;  // 1 when that is a CR after a closing quote
};

}  // namespace shoal::shuffling
