// Files that were written once: each must be read for ever, and those that no compressor has a hand in must be
// written the same for ever. A change of the format gets a new version and new files beside these.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "../codec/samples.hpp"
#include "../store/temporary_store.hpp"
#include "arena/location.hpp"
#include "catch.hpp"
#include "chain/layout.hpp"
#include "extents.hpp"
#include "segment/layout.hpp"
#include "spill/bundle.hpp"
#include "spill/checkpoint_reader.hpp"
#include "spill/checkpoint_writer.hpp"
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

std::string bundle() {
    return written(shoal::kBundleBytes, [](std::span<std::byte> out) {
        shoal::BundleBuilder bundle;
        bundle.begin(out.data(), 4096);
        for (const auto& [generation, segments] : {std::pair(7, kPlain), std::pair(300, Segments{{"12", "34"}})}) {
            shoal::ExtentBuilder extent;
            extent.begin(origin(kKey, static_cast<std::uint64_t>(generation), 2));
            for (const auto& records : segments) {
                extent.begin_segment();
                for (const std::string& record : records) extent.add(record);
            }
            bundle.add(extent);
        }
        return bundle.seal(kStoreId, false);
    });
}

std::string written_file_header() {
    return written(shoal::kSpillFileHeaderBytes, [](std::span<std::byte> out) {
        shoal::write_file_header({kStoreId, 3, 1'790'000'000}, out.first<shoal::kSpillFileHeaderBytes>());
        return out.size();
    });
}

// Of two keys: the one spilled, then copied while its tail was open, the other one large record.
const std::vector<shoal::CheckpointSegment> kAppleSegments = {
    {shoal::pack(shoal::StoredAt{0, 4096, 256}), shoal::pack(shoal::SpilledCounts{2, 10}), 8, 0},
    {shoal::pack(shoal::StoredAt{3, 8192, 192}), shoal::pack(shoal::SpilledCounts{1, 6}), 32, 0x2000004000002}};
const std::vector<shoal::CheckpointSegment> kLargeSegments = {{shoal::pack(shoal::StoredAt{1, 4096, 3 << 20}),
                                                               shoal::pack(shoal::SpilledCounts{1, 2 << 20}),
                                                               (1 << 18) + 1 | shoal::kSingleBit, 1}};

shoal::CheckpointHeader checkpoint_header() {
    shoal::CheckpointHeader header{};
    header.store_id = kStoreId;
    header.written_unix_s = 1'790'000'000;
    header.hash_seed = 11;
    header.generations = 12;
    header.codec = 1;
    header.arena_bytes = 16 << 20;
    header.first_segment_bytes = 64;
    header.max_segment_bytes = 1 << 20;
    return header;
}

void write_base(const std::string& path) {
    shoal::CheckpointWriter writer(path);
    REQUIRE(writer.begin({}).has_value());
    writer.add(5, shoal::identity_of(7, 0), kKey, kAppleSegments);
    writer.add(6, shoal::identity_of(2, 3), "large", kLargeSegments);
    shoal::CheckpointTail tail{};
    tail.changes = 17;
    tail.files[0] = 0b1011;
    REQUIRE(writer.finish(checkpoint_header(), tail).has_value());
    writer.keep();
    REQUIRE(shoal::name_checkpoint(path) == 0);
}

// Of checkpoint 1: "apple" was erased, and "pear" is new.
void write_delta(const std::string& path) {
    shoal::CheckpointWriter writer(path);
    REQUIRE(writer.begin({}).has_value());
    writer.add_none(5);
    writer.add(9, shoal::identity_of(8, 0), "pear", kAppleSegments);
    shoal::CheckpointTail tail{};
    tail.before = 1;
    tail.deltas = 1;
    tail.changes = 19;
    tail.files[0] = 0b1011;
    shoal::CheckpointHeader header = checkpoint_header();
    header.chains = 2;
    REQUIRE(writer.finish(header, tail, std::vector{kAppleSegments[0].place}).has_value());
    writer.keep();
    REQUIRE(shoal::name_checkpoint(path) == 0);
}

std::string checkpoint(void (*write)(const std::string& path)) {
    const TemporaryDirectory folder;
    write(folder / "checkpoint");
    std::ifstream file(folder / "checkpoint", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// What this build writes.
std::map<std::string, std::string> written_today() {
    return {
        {"plain", data_extent(origin(kKey, 7, 2), kPlain, "none")},
        {"open", data_extent(origin(kKey, 7, 2), {{"1234", "5678"}}, "none", true)},
        {"part", part_extent(origin(kKey, 7, 2), large_record(), 1, "none")},
        {"tombstone", tombstone_extent(origin(kKey))},
        {"file_header", written_file_header()},
        {"bundle", bundle()},
        {"checkpoint_4", checkpoint(write_base)},
        {"checkpoint_4_delta", checkpoint(write_delta)},
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
    const std::string bundle = golden("bundle");
    const auto view = shoal::parse_bundle(bundle);
    REQUIRE(view.has_value());
    CHECK((view->store_id() == kStoreId));
    auto found = view->find(7, 4, 1);
    REQUIRE((found && *found));
    CHECK((*found)->payload.text() == "a pear");
    CHECK((*found)->records == 2);
    CHECK((*found)->lengths.next() == 0);
    CHECK((*found)->lengths.next() == 6);
    found = view->find(300, 2, 1);
    REQUIRE((found && *found));
    CHECK((*found)->payload.text() == "1234");
    CHECK((*found)->lengths.next() == 2);
    const auto file = shoal::parse_file_header(golden("file_header"));
    REQUIRE(file.has_value());
    CHECK(*file == shoal::SpillFileIdentity{kStoreId, 3, 1'790'000'000});
}

TEST_CASE("A checkpoint that was written once is read") {
    const char* const name = GENERATE("checkpoint", "checkpoint_4");  // of version 1, and this one
    auto reader = shoal::CheckpointReader::open(path_of(name), kStoreId);
    REQUIRE(reader.has_value());
    CHECK(reader->tail().changes == (name == std::string("checkpoint") ? 0 : 17));
    CHECK(reader->header().written_unix_s == 1'790'000'000);
    CHECK(reader->header().generations == 12);
    CHECK(reader->header().records == 4);
    CHECK(reader->header().payload_bytes == 16 + (2 << 20));
    shoal::CheckpointedChain chain;
    const auto same = [&](const std::vector<shoal::CheckpointSegment>& segments) {
        return chain.segments.size() == segments.size() &&
               std::memcmp(chain.segments.data(), segments.data(), segments.size() * sizeof segments[0]) == 0;
    };
    REQUIRE(reader->next(chain).value());
    CHECK(chain.key == kKey);
    CHECK(chain.hash == 5);
    CHECK(chain.identity == shoal::identity_of(7, 0));
    CHECK(same(kAppleSegments));
    REQUIRE(reader->next(chain).value());
    CHECK(chain.key == "large");
    CHECK(same(kLargeSegments));
    CHECK_FALSE(reader->next(chain).value());
}

TEST_CASE("Of each hash that a delta speaks of it says all; the rest is as in the checkpoint before") {
    const TemporaryDirectory folder;
    std::filesystem::copy_file(path_of("checkpoint_4"), folder / "checkpoint-1");
    std::filesystem::copy_file(path_of("checkpoint_4_delta"), folder / "checkpoint-2");
    auto reader = shoal::CheckpointReader::open(folder / "checkpoint-2", kStoreId, {}, 2);
    REQUIRE(reader.has_value());
    CHECK(reader->numbers() == std::vector<std::uint64_t>{2, 1});
    CHECK(reader->header().chains == 2);
    CHECK(reader->newest().freed().value() == std::vector{kAppleSegments[0].place});
    shoal::CheckpointedChain chain;
    SECTION("chain by chain") {
        REQUIRE(reader->next(chain).value());
        CHECK(chain.key == "large");
    }
    SECTION("from a hash on") { REQUIRE(reader->skip_to(7).has_value()); }
    REQUIRE(reader->next(chain).value());
    CHECK(chain.key == "pear");
    CHECK(chain.hash == 9);
    CHECK_FALSE(reader->next(chain).value());
}

TEST_CASE(
    "A delta without the checkpoint before is damaged, and so is one that goes on from itself or a later one") {
    const TemporaryDirectory folder;
    std::filesystem::copy_file(path_of("checkpoint_4_delta"), folder / "checkpoint-2");
    auto reader = shoal::CheckpointReader::open(folder / "checkpoint-2", kStoreId);
    REQUIRE_FALSE(reader.has_value());
    CHECK(reader.error().code == shoal::Code::kDamaged);
    CHECK_THAT(reader.error().message, Catch::Contains("checkpoint-1, which is not there"));
    std::filesystem::copy_file(path_of("checkpoint_4_delta"), folder / "checkpoint-1");
    reader = shoal::CheckpointReader::open(folder / "checkpoint-1", kStoreId);
    REQUIRE_FALSE(reader.has_value());
    CHECK(reader.error().code == shoal::Code::kDamaged);
}

TEST_CASE("What no compressor has a hand in is written as it was") {
    const auto today = written_today();
    for (const char* name :
         {"plain", "open", "part", "tombstone", "file_header", "bundle", "checkpoint_4", "checkpoint_4_delta"}) {
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
