// However a file is cut, its ranges together have the rows that the whole file has.
#include <sys/mman.h>
#include <unistd.h>

#include <rapidcheck.h>

#include "catch.hpp"
#include "reference_reader.hpp"
#include "shuffle/cutting.hpp"

namespace shoal::shuffling::test {
namespace {

InputFile file_of(const std::string& text) {
    InputFile file;
    file.name = "in memory";
    file.fd = FileDescriptor(memfd_create("input", MFD_CLOEXEC));
    REQUIRE(write(file.fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    file.size = text.size();
    return file;
}

class Collector final : public RangeSink {
public:
    bool row(std::string_view row, std::string_view key) override {
        reading.rows.push_back({std::string(row), std::string(key)});
        return true;
    }
    bool bad(std::size_t offset, BadRow reason, std::uint64_t) override {
        reading.bad.push_back({window_ + offset, reason});
        return true;
    }
    void blank() override { ++reading.blank_lines; }
    void window(std::uint64_t offset, const char*) override { window_ = offset; }
    bool release(std::uint64_t done) override {
        bytes += done;
        return true;
    }

    Reading reading;
    std::uint64_t bytes = 0;

private:
    std::uint64_t window_ = 0;
};

// The rows as shuffle's mappers would find them, with ranges and read buffers of these sizes.
Reading read_in_ranges(const InputFile& file, const RowShape& shape, std::uint64_t range_bytes,
                       std::size_t buffer_bytes) {
    std::vector<InputFile> files(1);
    files[0].fd = FileDescriptor(dup(file.fd.get()));
    files[0].size = file.size;
    files[0].rows_begin = file.rows_begin;
    files[0].terminator = file.terminator;
    auto ranges = cut_evenly(files, range_bytes);
    auto surveys = SharedArray<QuoteSurvey>::make(ranges.size());
    REQUIRE(surveys.has_value());
    std::vector<char> buffer;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const auto found = survey(files[0], ranges[i], shape.delimiter, buffer);
        REQUIRE(found.has_value());
        (*surveys)[i] = *found;
    }
    REQUIRE(find_states(files, ranges, shape, *surveys, [] { return true; }).has_value());
    Collector collector;
    RangeReader reader(shape, buffer_bytes);
    for (const Range& range : ranges) REQUIRE(reader.read(files[0], range, collector).value());
    REQUIRE(collector.bytes == file.size - file.rows_begin);
    return collector.reading;
}

RowShape shape_for(Format format, char delimiter, std::size_t columns, std::size_t column) {
    RowShape shape;
    shape.format = format;
    shape.delimiter = delimiter;
    shape.columns = columns;
    shape.column = column;
    return shape;
}

// Text of the bytes that matter, `regular` of it in well-formed rows.
std::string some_csv(bool regular, std::size_t columns) {
    const auto piece = rc::gen::element<std::string>("a", "bc", ",", "\n", "\r\n", "\r", "\"\"", "\"", "x,y", "",
                                                     "\"q\"", ",\"", "\",", "\"\n", std::string(70, 'z'));
    if (!regular) {
        std::string text;
        for (const auto& part : *rc::gen::container<std::vector<std::string>>(piece)) text += part;
        return text;
    }
    const auto inner = rc::gen::element<std::string>("a", "\"\"", ",", "\n", "\r\n", "\r", std::string(65, 'k'));
    const auto plain = rc::gen::element<std::string>("", "a", "bcd", std::string(80, 'p'));
    std::string text;
    const auto rows = *rc::gen::inRange<std::size_t>(0, 40);
    const std::string ending = *rc::gen::element<std::string>("\n", "\r\n");
    for (std::size_t row = 0; row < rows; ++row) {
        if (*rc::gen::weightedElement<bool>({{9, false}, {1, true}})) text += ending;
        for (std::size_t field = 0; field < columns; ++field) {
            if (field > 0) text += ',';
            if (*rc::gen::arbitrary<bool>()) {
                text += *plain;
                continue;
            }
            text += '"';
            for (const auto& part : *rc::gen::container<std::vector<std::string>>(inner)) text += part;
            text += '"';
        }
        text += ending;
    }
    if (!text.empty() && *rc::gen::arbitrary<bool>()) text.erase(text.size() - ending.size());
    return text;
}

}  // namespace

TEST_CASE("the rows of a CSV file do not depend on ranges, buffers or irregular quotes") {
    REQUIRE(rc::check([] {
        const auto columns = *rc::gen::inRange<std::size_t>(1, 4);
        const auto shape = shape_for(Format::kCsv, ',', columns, *rc::gen::inRange<std::size_t>(0, columns));
        std::string text = some_csv(*rc::gen::arbitrary<bool>(), columns);
        if (*rc::gen::weightedElement<bool>({{2, false}, {1, true}})) text += some_csv(false, columns);
        InputFile file = file_of(text);
        file.terminator = *rc::gen::element<std::string>("\n", "\r\n");
        const auto range_bytes = *rc::gen::element<std::uint64_t>(1, 2, 3, 7, 63, 64, 65, 1000, 1 << 20);
        const auto buffer_bytes = *rc::gen::element<std::size_t>(1, 2, 5, 64, 100, 1 << 16);
        const Reading expected = read_csv(text, 0, shape, file.terminator);
        RC_TAG(expected.bad.empty() ? "regular" : "irregular");
        RC_ASSERT(read_in_ranges(file, shape, range_bytes, buffer_bytes) == expected);
    }));
}

TEST_CASE("the rows of TSV and of lines do not depend on ranges or buffers") {
    REQUIRE(rc::check([] {
        const auto columns = *rc::gen::inRange<std::size_t>(1, 4);
        const auto column = *rc::gen::inRange<std::size_t>(0, columns);
        const auto shape = *rc::gen::element<RowShape>(shape_for(Format::kTsv, '\t', columns, column),
                                                       shape_for(Format::kLines, '\0', 0, column),
                                                       shape_for(Format::kLines, ':', 0, column));
        const auto piece = rc::gen::element<std::string>("a", "bc", "\t", ":", " ", "\n", "\r\n", "\r", "\"",
                                                         std::string(70, 'z'));
        std::string text;
        for (const auto& part : *rc::gen::container<std::vector<std::string>>(piece)) text += part;
        InputFile file = file_of(text);
        const auto range_bytes = *rc::gen::element<std::uint64_t>(1, 2, 3, 64, 65, 1000);
        const auto buffer_bytes = *rc::gen::element<std::size_t>(1, 2, 5, 64, 1 << 16);
        RC_ASSERT(read_in_ranges(file, shape, range_bytes, buffer_bytes) ==
                  read_lines(text, 0, shape, file.terminator));
    }));
}

TEST_CASE("a long row, quoted or not, is one row whatever the buffer") {
    const auto shape = shape_for(Format::kCsv, ',', 2, 1);
    const std::string quoted = "\"" + std::string(300'000, '\n') + "\",k1\n";
    const std::string plain = std::string(200'000, 'x') + ",k2\n";
    const InputFile file = file_of(quoted + plain + quoted);
    const auto reading = read_in_ranges(file, shape, 4096, 1000);
    REQUIRE(reading.rows == std::vector<GoodRow>{{quoted, "k1"}, {plain, "k2"}, {quoted, "k1"}});
}

TEST_CASE("the bit masks find the same bytes with and without vector instructions") {
    REQUIRE(rc::check([](const std::string& seed) {
        std::string block = seed;
        block.resize(kBlockBytes, ',');
        const char byte = *rc::gen::element<char>(',', '\0', '\n', '\x80', '\xff');
        std::uint64_t expected = 0;
        for (std::size_t i = 0; i < kBlockBytes; ++i) {
            if (block[i] == byte) expected |= 1ULL << i;
        }
        RC_ASSERT(find_byte(block.data(), byte) == expected);
        RC_ASSERT(find_byte_portable(block.data(), byte) == expected);
        StructuralMasks masks;
        find_structure(block.data(), 1, byte, true, masks);
        RC_ASSERT(masks.delimiters[0] == expected);
    }));
}

}  // namespace shoal::shuffling::test
