// Arrow IPC streams: those of pyarrow are read (make_golden.py), and no bytes whatever do harm.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "catch.hpp"
#include "memory_rows.hpp"

using namespace shoal_test;

namespace {

std::string golden(const std::string& name) {
    std::ifstream file(SHOAL_GOLDEN_FOLDER "/" + name + ".arrow", std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
}

const Rows kRows = {{"a", "1"},
                    {"b", ""},
                    {"a", "zwei: \xC3\x9F"},
                    {"", "a record that is longer than twelve bytes"},
                    {"a key of more than twelve bytes", "x"}};

std::string repeated(const std::string& text) {
    std::string all;
    for (int time = 0; time < 40; ++time) all += text;
    return all;
}

}  // namespace

TEST_CASE("Streams and files of pyarrow are read, in each type of column that bytes or text may have") {
    for (const char* name :
         {"binary", "string", "large_binary", "large_string", "binary_view", "string_view", "swapped"}) {
        INFO(name);
        REQUIRE(!golden(name).empty());
        for (const std::size_t at_once : {std::size_t{7}, ~std::size_t{0}}) {
            const Read result = read(kArrow, golden(name), at_once);
            CHECK(result.error == "");
            CHECK(result.rows == kRows);
        }
    }
    const Read empty = read(kArrow, golden("empty"));
    CHECK(empty.error == "");
    CHECK(empty.rows.empty());
}

TEST_CASE("Streams of pyarrow that are compressed are read") {
    Rows rows;
    for (const auto& [key, record] : kRows) rows.emplace_back(repeated(key), repeated(record));
    for (const char* name : {"lz4", "zstd"}) {
        INFO(name);
        const Read result = read(kArrow, golden(name));
        CHECK(result.error == "");
        CHECK(result.rows == rows);
    }
}

TEST_CASE("What is no row is refused, by the row or the column, after the rows before it") {
    const auto check = [](const char* name, const std::string& expected, std::size_t rows) {
        INFO(name);
        const Read result = read(kArrow, golden(name));
        CHECK(result.error == expected);
        CHECK(result.code == shoal::Code::kInvalidArgument);
        CHECK(result.rows.size() == rows);
    };
    check("null_key", "row 4: its key is null", 3);
    check("null_record", "row 2: its record is null", 1);
    const std::string stream = "the Arrow stream behind row 0: ";
    check("three_columns", stream + "it has the columns 'key', 'record', 'more', and not 'key' and 'record'", 0);
    check("one_column", stream + "it has the columns 'key', and not 'key' and 'record'", 0);
    check("numbers", stream + "the column 'record' is of Arrow's type 2, and not of binary or utf8", 0);
    check("file", stream + "this is an Arrow file, which a pipe cannot have: write it as an IPC stream", 0);
    check("dictionary", stream + "the column 'key' is dictionary-encoded: write it as binary", 0);
}

TEST_CASE("What is no Arrow stream is refused, and says so") {
    CHECK(read(kArrow, "{\"key\":\"a\"}").error ==
          "the Arrow stream behind row 0: this looks like JSON lines: give --jsonl");
    CHECK(read(kArrow, "").error == "the Arrow stream behind row 0: it is cut off");
    CHECK(read(kArrow, "key,record\na,b\n").error == "the Arrow stream behind row 0: this is no Arrow IPC stream");
}

TEST_CASE("Streams one after the other are read as one") {
    Rows twice = kRows;
    twice.insert(twice.end(), kRows.begin(), kRows.end());
    const Read result = read(kArrow, golden("binary") + golden("string_view"));
    CHECK(result.error == "");
    CHECK(result.rows == twice);
}

TEST_CASE("A stream that is cut off anywhere gives rows from its beginning, and then says so") {
    for (const char* name : {"binary", "string_view", "zstd"}) {
        const std::string whole = golden(name);
        const Rows rows = read(kArrow, whole).rows;
        for (std::size_t length = 0; length < whole.size(); ++length) {
            const Read result = read(kArrow, std::string_view(whole).substr(0, length));
            if (result.error.find("cut off") == std::string::npos) FAIL(name << " of " << length << " bytes");
            if (!std::equal(result.rows.begin(), result.rows.end(), rows.begin())) FAIL(name << " " << length);
        }
    }
}

TEST_CASE("No change of a stream's bytes does harm") {
    std::mt19937_64 random(3);
    for (const auto& entry : std::filesystem::directory_iterator(SHOAL_GOLDEN_FOLDER)) {
        const std::string whole = golden(entry.path().stem());
        for (std::size_t at = 0; at < whole.size(); ++at) {
            for (const int to : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
                std::string changed = whole;
                changed[at] = static_cast<char>(to);
                static_cast<void>(read(kArrow, changed));
            }
        }
        for (int round = 0; round < 500; ++round) {
            std::string changed = whole;
            for (auto times = 1 + random() % 8; times > 0; --times) {
                changed[random() % changed.size()] = static_cast<char>(random());
            }
            static_cast<void>(read(kArrow, changed));
        }
    }
    SUCCEED("no sanitizer and no signal ended it");
}
