// Where rows begin, and what ends them.
#include "shuffle/input.hpp"
#include "temporary_folder.hpp"

namespace shoal::shuffling::test {
namespace {

InputFile opened(const TemporaryFolder& folder, const std::string& text, Format format = Format::kCsv) {
    const auto interruption = Interruption::guard();
    REQUIRE(interruption.has_value());
    auto file = open_input(folder.write("input", text), folder / "", **interruption);
    REQUIRE(file.has_value());
    REQUIRE(read_header(*file, format, ',').has_value());
    return std::move(*file);
}

}  // namespace

TEST_CASE("a header may be quoted, span lines, follow a byte order mark and blank lines, and lack its newline") {
    const TemporaryFolder folder;
    const auto file = opened(folder, "\xEF\xBB\xBF\r\n\"a\nb\",c\r\n1,2\r\n");
    REQUIRE(file.header == "\"a\nb\",c\r\n");
    REQUIRE(file.terminator == "\r\n");
    REQUIRE(file.rows_begin == 3 + 2 + file.header.size());
    REQUIRE(file.blank_lines == 1);
    REQUIRE(opened(folder, "a,b").header == "a,b\n");
    REQUIRE(opened(folder, "a,b\r").header == "a,b\r\n");
    const std::string wide(300'000, 'x');
    REQUIRE(opened(folder, wide + ",k\n1,2\n").header == wide + ",k\n");
}

TEST_CASE("what has no header begins behind the byte order mark") {
    const TemporaryFolder folder;
    const auto file = opened(folder, "\xEF\xBB\xBFx\r\ny", Format::kLines);
    REQUIRE(file.rows_begin == 3);
    REQUIRE(file.header.empty());
    REQUIRE(file.terminator == "\r\n");
}

TEST_CASE("a column is found by its unquoted name and must be there once") {
    const TemporaryFolder folder;
    std::vector<InputFile> files;
    files.push_back(opened(folder, "a,\"b \"\"x\"\"\",c,c\n"));
    const auto shape = shape_of(files, Format::kCsv, ',', "b \"x\"");
    REQUIRE(shape.has_value());
    REQUIRE(shape->column == 1);
    REQUIRE(shape->columns == 4);
    REQUIRE(shape_of(files, Format::kCsv, ',', "c").error().cause == ShuffleCause::kUsage);
    REQUIRE(shape_of(files, Format::kCsv, ',', "d").error().cause == ShuffleCause::kUsage);
}

TEST_CASE("a line number counts physical lines") {
    const TemporaryFolder folder;
    const auto file = opened(folder, "a\n\"x\ny\"\nz\n");
    REQUIRE(line_of(file, 0).value() == 1);
    REQUIRE(line_of(file, 2).value() == 2);
    REQUIRE(line_of(file, 8).value() == 4);
}

}  // namespace shoal::shuffling::test
