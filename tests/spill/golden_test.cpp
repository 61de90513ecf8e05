// Files that were written once: each must be read for ever, and those that no compressor has a hand in must be
// written the same for ever. A change of the format gets a new version and new files beside these.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "../codec/samples.hpp"
#include "catch.hpp"
#include "extents.hpp"
#include "spill/file_header.hpp"

using namespace shoal_test;

namespace {

const std::string kKey = "apple";
const Segments kPlain = {{"red,", "green,"}, {}, {"", "a pear"}};

Segments numbers() {
    Segments segments(2);
    for (int record = 0; record < 64; ++record)
        segments[record < 40 ? 0 : 1].push_back("record " + std::to_string(record * record * record) + "\n");
    return segments;
}

std::string large_record() { return std::string(shoal::kPartBytes, 'x') + "the last part"; }

std::string file_header() {
    return written(shoal::kSpillFileHeaderBytes, [](std::span<std::byte> out) {
        shoal::write_file_header({kStoreId, 3, 1'790'000'000}, out.first<shoal::kSpillFileHeaderBytes>());
        return out.size();
    });
}

// What this build writes.
std::map<std::string, std::string> written_today() {
    return {
        {"plain", data_extent(origin(kKey, 7, 2), kPlain, "none")},
        {"open", data_extent(origin(kKey, 7, 2), {{"1234", "5678"}}, "none", true)},
        {"part", part_extent(origin(kKey, 7, 2), large_record(), 1, "none")},
        {"tombstone", tombstone_extent(origin(kKey))},
        {"file_header", file_header()},
        {"lz4", data_extent(origin(kKey, 7, 2), numbers(), "lz4")},
        {"zstd", data_extent(origin(kKey, 7, 2), numbers(), "zstd:9")},
        {"blosc", data_extent(origin(kKey, 7, 2), numbers(), "blosc:type_size=1,shuffle=none,inner=blosclz")},
        {"blosc_bit_zstd", data_extent(origin(kKey, 7, 2), numbers(), "blosc:type_size=4,shuffle=bit,inner=zstd")},
        {"blosc_byte_lz4", data_extent(origin(kKey, 7, 2), {{growing_numbers(1024, 1)}}, "blosc:8")},
        {"blosc_byte_zlib",
         data_extent(origin(kKey, 7, 2), {{growing_numbers(1024, 1)}}, "blosc:type_size=8,inner=zlib")}};
}

std::filesystem::path path_of(const std::string& name) {
    return std::filesystem::path(SHOAL_GOLDEN_FOLDER) / (name + ".bin");
}

std::string golden(const std::string& name) {
    INFO(name);
    std::ifstream file(path_of(name), std::ios::binary);
    REQUIRE(file.is_open());
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("Files that were written once are read") {
    const std::map<std::string, std::pair<Segments, shoal::CodecId>> expected = {
        {"plain", {kPlain, shoal::CodecId::kNone}},
        {"open", {{{"1234", "5678"}}, shoal::CodecId::kNone}},
        {"lz4", {numbers(), shoal::CodecId::kLz4}},
        {"zstd", {numbers(), shoal::CodecId::kZstd}},
        {"blosc", {numbers(), shoal::CodecId::kBlosc}},
        {"blosc_bit_zstd", {numbers(), shoal::CodecId::kBlosc}},
        {"blosc_byte_lz4", {{{growing_numbers(1024, 1)}}, shoal::CodecId::kBlosc}},
        {"blosc_byte_zlib", {{{growing_numbers(1024, 1)}}, shoal::CodecId::kBlosc}}};
    for (const auto& [name, content] : expected) {
        INFO(name);
        const Reading reading = read_extent(golden(name));
        REQUIRE(reading.error == "");
        CHECK(reading.view->key().text() == kKey);
        CHECK((reading.view->header().store_id == kStoreId));
        CHECK(reading.view->header().generation == 7);
        CHECK(reading.view->header().first_segment == 2);
        CHECK(reading.view->header().codec == content.second);
        CHECK(reading.view->header().flags == (name == "open" ? shoal::kMayGrowFlag : 0));
        CHECK((segments_of(reading) == content.first));
    }
    const Reading part = read_extent(golden("part"));
    REQUIRE(part.error == "");
    CHECK(part.view->header().part == 1);
    CHECK(part.view->header().record_bytes == shoal::kPartBytes + 13);
    CHECK(part.payload == "the last part");
    const Reading tombstone = read_extent(golden("tombstone"));
    REQUIRE(tombstone.error == "");
    CHECK(tombstone.view->header().kind == shoal::ExtentKind::kTombstone);
    CHECK(tombstone.view->key().text() == kKey);
    const auto file = shoal::parse_file_header(golden("file_header"));
    REQUIRE(file.has_value());
    CHECK(*file == shoal::SpillFileIdentity{kStoreId, 3, 1'790'000'000});
}

TEST_CASE("What no compressor has a hand in is written as it was") {
    const auto today = written_today();
    for (const char* name : {"plain", "open", "part", "tombstone", "file_header"}) {
        INFO(name);
        CHECK((today.at(name) == golden(name)));
    }
}

// For a new file beside the others; one that is there stays as it is.
TEST_CASE("Golden files that are missing are written", "[.write]") {
    for (const auto& [name, bytes] : written_today()) {
        if (std::filesystem::exists(path_of(name))) continue;
        std::ofstream(path_of(name), std::ios::binary) << bytes;
        CHECK(golden(name) == bytes);
    }
}
