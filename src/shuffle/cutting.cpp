#include "shuffle/cutting.hpp"

#include <algorithm>

namespace shoal::shuffling {
namespace {

constexpr std::size_t kReadBytes = 256 << 10;

struct BytesBefore {
    char before_previous = '\n';
    char previous = '\n';
};

// The two bytes before `offset`, LF where the file's rows begin.
[[nodiscard]] Outcome<BytesBefore> bytes_before(const InputFile& file, std::uint64_t offset) {
    BytesBefore bytes;
    char pair[2] = {'\n', '\n'};
    const std::uint64_t there = std::min<std::uint64_t>(2, offset - file.rows_begin);
    const auto got = file.read_at(offset - there, pair + 2 - there, static_cast<std::size_t>(there));
    if (!got) return passed_on(got.error());
    bytes.before_previous = pair[0];
    bytes.previous = pair[1];
    return bytes;
}

// Calls take(data, bytes) for all of the range's bytes, in order.
template <class Take>
[[nodiscard]] Outcome<void> for_all_bytes(const InputFile& file, const Range& range, std::vector<char>& buffer,
                                          Take&& take) {
    buffer.resize(kReadBytes + kWindowPadding);
    for (std::uint64_t at = range.begin; at < range.end;) {
        const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, range.end - at));
        const auto got = file.read_at(at, buffer.data(), want);
        if (!got) return passed_on(got.error());
        if (*got < want) {
            return failure(ShuffleCause::kSystem, fmt::format("{} became shorter while it was read", file.name));
        }
        take(buffer.data(), *got);
        at += *got;
    }
    return {};
}

}  // namespace

std::vector<Range> cut_evenly(const std::vector<InputFile>& files, std::uint64_t range_bytes) {
    std::vector<Range> ranges;
    for (std::uint32_t file = 0; file < files.size(); ++file) {
        for (std::uint64_t at = files[file].rows_begin; at < files[file].size; at += range_bytes) {
            ranges.push_back({file, at, std::min(files[file].size, at + range_bytes), CsvState::kRowStart});
        }
    }
    return ranges;
}

Outcome<QuoteSurvey> survey(const InputFile& file, const Range& range, char delimiter, std::vector<char>& buffer) {
    const auto before = bytes_before(file, range.begin);
    if (!before) return passed_on(before.error());
    QuoteSurveyor surveyor(before->before_previous, before->previous, delimiter);
    const auto read = for_all_bytes(file, range, buffer,
                                    [&](const char* data, std::size_t bytes) { surveyor.take(data, bytes); });
    if (!read) return passed_on(read.error());
    return surveyor.result();
}

Outcome<void> find_states(const std::vector<InputFile>& files, std::vector<Range>& ranges, const RowShape& shape,
                          const SharedArray<QuoteSurvey>& surveys, const std::function<bool()>& go_on) {
    std::vector<char> buffer;
    CsvState state = CsvState::kRowStart;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        Range& range = ranges[i];
        const InputFile& file = files[range.file];
        const auto before = bytes_before(file, range.begin);
        if (!before) return passed_on(before.error());
        if (shape.format != Format::kCsv) {
            range.state = before->previous == '\n' ? CsvState::kRowStart : CsvState::kPlain;
            continue;
        }
        if (range.begin == file.rows_begin) state = CsvState::kRowStart;
        range.state = state;
        const QuoteSurvey& quotes = surveys[i];
        const bool within = state == CsvState::kQuoted;
        // The survey took the bytes before the range for regular too; where they were not, it does not apply.
        const bool applies =
            within || state == state_outside(before->before_previous, before->previous, shape.delimiter);
        if (applies && !(within ? quotes.irregular_in : quotes.irregular_out)) {
            const auto after = bytes_before(file, range.end);
            if (!after) return passed_on(after.error());
            state = within != quotes.odd ? CsvState::kQuoted
                                         : state_outside(after->before_previous, after->previous, shape.delimiter);
            continue;
        }
        if (!go_on()) return {};
        const auto read = for_all_bytes(file, range, buffer, [&](const char* data, std::size_t bytes) {
            for (std::size_t b = 0; b < bytes; ++b) state = next_state(state, data[b], shape.delimiter);
        });
        if (!read) return read;
    }
    return {};
}

}  // namespace shoal::shuffling
