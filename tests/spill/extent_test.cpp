// Extents of each kind, and what is said of those that were damaged.
#include <algorithm>
#include <string>
#include <vector>

#include <xxhash.h>

#include "../codec/guarded_bytes.hpp"
#include "../codec/samples.hpp"
#include "catch.hpp"
#include "extents.hpp"
#include "spill/varint.hpp"

using shoal::ByteView;
using shoal::ExtentHeader;
using shoal::ExtentKind;
using shoal_test::GuardedBytes;
using namespace shoal_test;

namespace {

const Segments kFruit = {{"red,", "green,"}, {}, {"", "a pear"}};

// The extent with a changed header, whose checksum is right again.
template <class Change>
std::string resealed(std::string bytes, Change&& change) {
    ExtentHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const auto prefix = static_cast<std::size_t>(shoal::prefix_bytes(header));
    change(header, bytes);
    std::memcpy(bytes.data(), &header, sizeof header);
    header.header_checksum = XXH3_64bits(bytes.data() + 16, prefix - 16);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

std::string fault_of(const std::string& bytes) {
    const GuardedBytes guarded{ByteView(bytes)};
    return read_extent(guarded).error;
}

bool says(const std::string& fault, const std::string& words) {
    INFO(fault);
    CHECK(fault.find(words) != std::string::npos);
    return fault.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("An extent of segments gives back key, segments and records") {
    for (const std::string& codec : codec_names()) {
        INFO(codec);
        const Segments segments = {{text_like(5000, 1), "", "a"}, {}, {text_like(300, 2)}};
        const std::string key = "a key";
        const std::string bytes = data_extent(origin(key, 1ULL << 40, 12), segments, codec, true);
        CHECK(bytes.size() % 64 == 0);
        const Reading reading = read_extent(bytes);
        REQUIRE(reading.error.empty());
        const ExtentHeader& header = reading.view->header();
        CHECK(header.kind == ExtentKind::kData);
        CHECK((header.store_id == kStoreId));
        CHECK(header.generation == 1ULL << 40);
        CHECK(header.first_segment == 12);
        CHECK(header.flags == shoal::kMayGrowFlag);
        CHECK(shoal::extent_bytes(header) == bytes.size());
        CHECK(reading.view->key().text() == key);
        CHECK((segments_of(reading) == segments));
        CHECK_FALSE(reading.view->piece(11).has_value());
        CHECK_FALSE(reading.view->piece(15).has_value());
    }
}

TEST_CASE("Records of one length are not listed, and others are") {
    const std::string key = "k";
    const auto lengths_bytes = [&](const Segments& segments) {
        const Reading reading = read_extent(data_extent(origin(key), segments, "none"));
        REQUIRE(reading.error.empty());
        CHECK((segments_of(reading) == segments));
        return reading.view->header().lengths_bytes;
    };
    CHECK(lengths_bytes({{"abc", "def"}, {"ghi"}, {}}) == 0);
    CHECK(lengths_bytes({{"", "", ""}}) == 0);
    CHECK(lengths_bytes({{}}) == 0);
    CHECK(lengths_bytes({{"abc", "def"}, {"gh"}}) == 3);
    CHECK(lengths_bytes({{std::string(127, 'x'), std::string(128, 'x'), std::string(16'384, 'x')}}) == 1 + 2 + 3);
}

TEST_CASE("A large record comes back from its parts") {
    const std::string record = text_like((2 << 20) + 12'345, 5);
    const std::string key = "large";
    for (const std::string codec : {"none", "lz4"}) {
        REQUIRE(shoal::parts_of(record.size()) == 3);
        std::string value;
        for (std::uint32_t part = 0; part < 3; ++part) {
            const Reading reading = read_extent(part_extent(origin(key, 7, 4), record, part, codec));
            REQUIRE(reading.error.empty());
            const ExtentHeader& header = reading.view->header();
            CHECK(header.kind == ExtentKind::kPart);
            CHECK(header.part == part);
            CHECK(header.parts == 3);
            CHECK(header.record_bytes == record.size());
            CHECK(header.records == (part == 0 ? 1 : 0));
            CHECK(reading.view->key().text() == key);
            CHECK(reading.view->piece(4)->bytes == reading.payload.size());
            value += reading.payload;
        }
        CHECK((value == record));
    }
    CHECK(shoal::parts_of(shoal::kPartBytes + 1) == 2);
    CHECK(shoal::parts_of(2 * shoal::kPartBytes) == 2);
}

TEST_CASE("A tombstone bears key and generation, and nothing else") {
    const std::string key(shoal::kMaxKeyBytes, 'k');
    const Reading reading = read_extent(tombstone_extent(origin(key, 99, 5)));
    REQUIRE(reading.error.empty());
    CHECK(reading.view->header().kind == ExtentKind::kTombstone);
    CHECK(reading.view->header().generation == 99);
    CHECK(reading.view->key() == ByteView(key));
    CHECK(reading.payload.empty());
    CHECK_FALSE(reading.view->piece(0).has_value());
}

TEST_CASE("Bytes that a codec does not make smaller by a tenth are stored plain") {
    const std::string key = "k";
    const std::string noise = pattern(10'000, 1);
    CHECK((data_extent(origin(key), {{noise, "x"}}, "zstd") == data_extent(origin(key), {{noise, "x"}}, "none")));
    const std::string record = pattern((1 << 20) + 5000, 1);
    CHECK((part_extent(origin(key), record, 1, "lz4") == part_extent(origin(key), record, 1, "none")));
}

TEST_CASE("A builder tells how much has room, and needs no more bytes than it says") {
    shoal::ExtentBuilder builder;
    const std::string key = "k";
    builder.begin(origin(key));
    CHECK(builder.has_room(shoal::kMostExtentRecords, shoal::kMostExtentPayloadBytes));
    CHECK_FALSE(builder.has_room(shoal::kMostExtentRecords + 1, 0));
    CHECK_FALSE(builder.has_room(1, shoal::kMostExtentPayloadBytes + 1));
    builder.begin_segment();
    const std::string record(1000, 'r');
    builder.add(record);
    CHECK(builder.has_room(shoal::kMostExtentRecords - 1, shoal::kMostExtentPayloadBytes - 1000));
    CHECK_FALSE(builder.has_room(shoal::kMostExtentRecords, 0));
    CHECK_FALSE(builder.has_room(0, shoal::kMostExtentPayloadBytes - 999));
    for (std::uint32_t segment = 1; segment < shoal::kMostExtentSegments; ++segment) builder.begin_segment();
    CHECK_FALSE(builder.has_room(0, 0));

    shoal::Compressor compressor;
    const GuardedBytes out(builder.bytes_needed());
    CHECK(builder.finish({}, compressor, out.span()) == builder.bytes_needed());
    CHECK(read_extent(out).error.empty());
    builder.begin(origin(key));
    CHECK(builder.segments() == 0);
    CHECK(builder.records() == 0);
    CHECK(builder.payload_bytes() == 0);
}

TEST_CASE("An extent as large as any may be is read") {
    const std::string key(shoal::kMaxKeyBytes, 'k');
    Segments segments(shoal::kMostExtentSegments);
    // Lengths of 7 and 9 bytes: every record is listed.
    for (std::uint32_t record = 0; record < shoal::kMostExtentRecords; ++record)
        segments[record % segments.size()].push_back(std::string(record % 2 == 0 ? 7 : 9, 'x'));
    const std::string bytes = data_extent(origin(key), segments, "none");
    CHECK(bytes.size() <= shoal::kMostExtentBytes);
    const Reading reading = read_extent(bytes);
    CHECK(reading.error.empty());
    CHECK((segments_of(reading) == segments));
}

TEST_CASE("Zeroes are a hole and no error") {
    const std::string zeroes(4096, '\0');
    const auto header = shoal::parse_extent_header(zeroes);
    REQUIRE(header.has_value());
    CHECK_FALSE(header->has_value());
    const auto view = shoal::parse_extent(zeroes);
    REQUIRE_FALSE(view.has_value());
    CHECK(view.error().code == shoal::Code::kDamaged);
    std::string almost(4096, '\0');
    almost[103] = 1;
    CHECK_FALSE(shoal::parse_extent_header(almost).has_value());
}

TEST_CASE("Every flipped bit of an extent is found") {
    const std::string key = "a key";
    std::vector<std::string> extents = {tombstone_extent(origin(key))};
    for (const std::string& codec : codec_names()) extents.push_back(data_extent(origin(key), kFruit, codec));
    for (const std::string codec : {"lz4", "zstd", "blosc:8"})
        extents.push_back(data_extent(origin(key), {{std::string(500, 'x'), "y"}}, codec));
    for (const std::string& good : extents) {
        const Reading reading = read_extent(good);
        REQUIRE(reading.error.empty());
        const ExtentHeader& header = reading.view->header();
        // All but the zeroes behind the payload, which nobody reads.
        const std::size_t used = shoal::prefix_bytes(header) + header.stored_bytes;
        for (std::size_t bit = 0; bit < used * 8; ++bit) {
            std::string bad = good;
            bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
            if (fault_of(bad).empty()) FAIL("bit " << bit % 8 << " of byte " << bit / 8);
        }
    }
}

TEST_CASE("Every truncation of an extent is found, and nothing behind the end is read") {
    const std::string key = "a key";
    for (const std::string& good : {data_extent(origin(key), kFruit, "none"), tombstone_extent(origin(key)),
                                    data_extent(origin(key), {{std::string(500, 'x'), "y"}}, "lz4")}) {
        const ExtentHeader header = *shoal::parse_extent_header(good).value();
        const auto prefix = static_cast<std::size_t>(shoal::prefix_bytes(header));
        for (std::size_t kept = 0; kept < good.size(); ++kept) {
            INFO(kept << " bytes kept");
            const GuardedBytes cut(ByteView(good.data(), kept));
            REQUIRE(shoal::parse_extent_header(cut).has_value() == (kept >= sizeof(ExtentHeader)));
            REQUIRE(shoal::parse_extent(cut).has_value() == (kept >= prefix));
            if (kept < prefix || kept >= prefix + header.stored_bytes) continue;
            REQUIRE_FALSE(shoal::check_stored(header, ByteView(cut.data() + prefix, kept - prefix)).has_value());
        }
    }
}

TEST_CASE("Numbers that cannot be are refused, though the checksums are right") {
    const std::string key = "a key";
    const std::string data = data_extent(origin(key), kFruit, "none");
    const auto with = [&](auto&& change) { return fault_of(resealed(data, change)); };
    using Header = ExtentHeader;
    using Bytes = std::string;
    says(with([](Header& h, Bytes&) { h.magic += 1; }), "of version 2 of its format");
    says(with([](Header& h, Bytes&) { h.magic += 1 << 8; }), "no extent begins");
    says(with([](Header& h, Bytes&) { h.kind = ExtentKind{3}; }), "no kind 3");
    says(with([](Header& h, Bytes&) { h.codec = shoal::CodecId{4}; }), "codec 4");
    says(with([](Header& h, Bytes&) { h.flags = 2; }), "flags 02");
    says(with([](Header& h, Bytes&) { h.reserved = 1; }), "flags 00 01");
    says(with([](Header& h, Bytes&) { h.key_bytes = shoal::kMaxKeyBytes + 1; }), "key would have 65537");
    says(with([](Header& h, Bytes&) { h.segments = shoal::kMostExtentSegments + 1; }), "4097 segments");
    says(with([](Header& h, Bytes&) { h.segments = 0; }), "no segment");
    says(with([](Header& h, Bytes&) { h.records = shoal::kMostExtentRecords + 1; }), "1048577 records");
    says(with([](Header& h, Bytes&) { h.lengths_bytes = 17; }), "too many for 4 records");
    says(with([](Header& h, Bytes&) { h.lengths_bytes = 3; }), "too few for 4 records");
    says(with([](Header& h, Bytes&) { h.stored_bytes += 1; }), "cannot be stored in 17");
    says(with([](Header& h, Bytes&) { h.codec = shoal::CodecId::kLz4; }), "cannot be stored in 16");
    says(with([](Header& h, Bytes&) { h.stored_bytes = h.payload_bytes = UINT64_MAX; }), "bytes of payload");
    says(with([](Header& h, Bytes&) { h.stored_bytes = h.payload_bytes = shoal::kMostExtentPayloadBytes + 1; }),
         "it would hold 8388609 bytes");
    says(with([](Header& h, Bytes&) { h.first_segment = UINT32_MAX; }), "no chain has");
    says(with([](Header& h, Bytes&) { h.parts = 1; }), "no part of a record");
    says(with([](Header& h, Bytes&) { h.record_bytes = 1; }), "no part of a record");
    says(with([](Header& h, Bytes&) { h.kind = ExtentKind::kTombstone; }), "not empty");
    says(with([](Header& h, Bytes&) { h.kind = ExtentKind::kPart; }), "part 0 of 0");
    // In the prefix: the table stands behind a key of 5 bytes, the lengths behind three entries.
    constexpr std::size_t kTable = 104 + 5, kLengths = kTable + 24;
    says(with([](Header&, Bytes& b) { b[kTable] = 3; }), "5 records of 16 bytes in all");
    says(with([](Header&, Bytes& b) { b[kTable + 4] = 9; }), "4 records of 15 bytes in all");
    says(with([](Header&, Bytes& b) { b[kTable + 4] = 9, b[kTable + 20] = 7; }), "of its segment 0 have 10 bytes");
    says(with([](Header&, Bytes& b) { b[kLengths] = 3; }), "of its segment 0 have 9 bytes");
    says(with([](Header&, Bytes& b) { b[kLengths + 3] = '\x86'; }), "cannot be read");
    says(with([](Header& h, Bytes&) { h.lengths_bytes = 5; }), "more lengths than records");
    says(with([](Header&, Bytes& b) { b[kLengths + 4] = 1; }), "filled up with zeroes");
    says(with([](Header& h, Bytes& b) {
             h.lengths_bytes = 4, b[kTable + 4] = 8, b[kTable + 20] = 8;
             std::fill_n(b.begin() + kLengths, 4, '\4');
         }),
         "all the same");
    says(with([](Header& h, Bytes& b) { h.lengths_bytes = 0, std::fill_n(b.begin() + kLengths, 4, '\0'); }),
         "of its segment 0 have 8 bytes");
    says(with([](Header& h, Bytes& b) {
             h.lengths_bytes = 0, h.records = 3, b[kTable + 16] = 1;
             std::fill_n(b.begin() + kLengths, 4, '\0');
         }),
         "are not 3 records of one length");
}

TEST_CASE("A part's numbers must be those of its record") {
    const std::string key = "k";
    const std::string record(shoal::kPartBytes + 100, 'x');
    const std::string last = part_extent(origin(key), record, 1, "none");
    const auto with = [&](auto&& change) { return fault_of(resealed(last, change)); };
    using Header = ExtentHeader;
    using Bytes = std::string;
    says(with([](Header& h, Bytes&) { h.part = 2; }), "a part 2 of 2");
    says(with([](Header& h, Bytes&) { h.parts = 3; }), "a part 1 of 3");
    says(with([](Header& h, Bytes&) { h.record_bytes = shoal::kPartBytes; }), "bytes of record");
    says(with([](Header& h, Bytes&) { h.record_bytes = UINT64_MAX; }), "bytes of record");
    says(with([](Header& h, Bytes&) { h.part = 0; }), "numbers are not those of part 0");
    says(with([](Header& h, Bytes&) { h.record_bytes += 1; }), "numbers are not those of part 1");
    says(with([](Header& h, Bytes&) { h.records = 1; }), "numbers are not those of part 1");
    says(with([](Header& h, Bytes&) { h.flags = 1; }), "numbers are not those of part 1");
    says(with([](Header& h, Bytes&) { h.segments = 2; }), "numbers are not those of part 1");
}

TEST_CASE("A payload that is not what its codec makes of it is damaged, though the checksums are right") {
    const std::string key = "k";
    const std::string bytes = data_extent(origin(key), {{std::string(500, 'x'), "y"}}, "lz4");
    const std::string other =
        resealed(bytes, [](ExtentHeader& header, std::string&) { header.codec = shoal::CodecId::kZstd; });
    says(fault_of(other), "are not 501 bytes of payload");
    const Reading reading = read_extent(bytes);
    const ExtentHeader& header = reading.view->header();
    shoal::Decompressor decompressor;
    std::vector<std::byte> small(500);
    CHECK_FALSE(shoal::unpack_payload(header,
                                      ByteView(bytes.data() + shoal::prefix_bytes(header), header.stored_bytes),
                                      small, decompressor)
                    .has_value());
}

TEST_CASE("A varint is read in its shortest form only, and not beyond its end") {
    for (const std::uint32_t value :
         {0U, 1U, 127U, 128U, 16'383U, 16'384U, (1U << 21) - 1, 1U << 21, (1U << 28) - 1}) {
        std::byte bytes[8];
        const std::byte* const end = shoal::write_varint(bytes, value);
        CHECK(static_cast<std::size_t>(end - bytes) == shoal::varint_bytes(value));
        const std::byte* at = bytes;
        std::uint32_t read = 1234;
        REQUIRE(shoal::read_varint(&at, end, &read));
        CHECK(read == value);
        CHECK(at == end);
        at = bytes;
        CHECK_FALSE(shoal::read_varint(&at, end - 1, &read));
        CHECK(at == bytes);
    }
    for (const std::string& text :
         {std::string("\x80\0", 2), std::string("\xff\x80\0", 3), std::string("\x80\x80\x80\x80\1")}) {
        const GuardedBytes bytes{ByteView(text)};
        const std::byte* at = bytes.data();
        std::uint32_t read = 0;
        CHECK_FALSE(shoal::read_varint(&at, bytes.data() + text.size(), &read));
    }
}
