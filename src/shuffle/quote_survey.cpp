#include "shuffle/quote_survey.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace shoal::shuffling {

QuoteSurveyor::QuoteSurveyor(char before_previous, char previous, char delimiter) noexcept
    : delimiter_(delimiter), previous_(previous), outside_(before_previous, previous), within_(true) {}

void QuoteSurveyor::take(const char* data, std::size_t bytes) noexcept {
    constexpr std::size_t kStripBytes = StructuralMasks::kBlocks * kBlockBytes;
    for (std::size_t strip = 0; strip < bytes; strip += kStripBytes) {
        const std::size_t strip_bytes = std::min(kStripBytes, bytes - strip);
        const bool pending = outside_.needs_check() || within_.needs_check();
        if (!pending && std::memchr(data + strip, '"', strip_bytes) == nullptr) continue;
        const std::size_t blocks = (strip_bytes + kBlockBytes - 1) / kBlockBytes;
        find_structure(data + strip, blocks, delimiter_, true, masks_);
        for (std::size_t b = 0; b < blocks; ++b) {
            const std::size_t at = strip + b * kBlockBytes;
            const std::uint64_t valid = bytes - at >= kBlockBytes ? ~0ULL : (1ULL << (bytes - at)) - 1;
            const std::uint64_t quotes = masks_.quotes[b] & valid;
            if (quotes == 0 && !outside_.needs_check() && !within_.needs_check()) continue;
            const char previous = at == 0 ? previous_ : data[at - 1];
            const std::uint64_t delimiters = masks_.delimiters[b] & valid;
            const std::uint64_t newlines = masks_.newlines[b] & valid;
            const auto out = outside_.step(data + at, previous, delimiter_, delimiters, newlines, quotes);
            const auto in = within_.step(data + at, previous, delimiter_, delimiters, newlines, quotes);
            survey_.odd ^= (std::popcount(quotes) & 1) != 0;
            survey_.irregular_out |= (out.irregular & valid) != 0;
            survey_.irregular_in |= (in.irregular & valid) != 0;
        }
    }
    if (bytes > 0) previous_ = data[bytes - 1];
}

CsvState state_outside(char before_previous, char previous, char delimiter) noexcept {
    if (previous == '\n') return CsvState::kRowStart;
    if (previous == delimiter) return CsvState::kFieldStart;
    if (previous == '"') return CsvState::kQuoteSeen;
    if (previous == '\r' && before_previous == '"') return CsvState::kReturnSeen;
    return CsvState::kPlain;
}

}  // namespace shoal::shuffling
