// Codecs in words, and in one word.
#include <string>
#include <vector>

#include <shoal/codec.hpp>

#include "catch.hpp"
#include "codec/settings.hpp"
#include "samples.hpp"

using shoal::Codec;
using shoal::CodecId;

TEST_CASE("A codec's name is parsed to the same codec, and its word is of the same codec") {
    for (const std::string& text : shoal_test::codec_names()) {
        INFO(text);
        const auto codec = shoal::parse_codec(text);
        REQUIRE(codec.has_value());
        const auto again = shoal::parse_codec(shoal::name(*codec));
        REQUIRE(again.has_value());
        CHECK(*again == *codec);
        const auto unpacked = shoal::codec_of_word(shoal::codec_word(*codec));
        REQUIRE(unpacked.has_value());
        CHECK(*unpacked == *codec);
    }
}

TEST_CASE("Settings that are not given have their defaults") {
    CHECK(shoal::parse_codec("none").value() == Codec{});
    CHECK(shoal::parse_codec("lz4").value() == Codec{.id = CodecId::kLz4});
    CHECK(shoal::name(shoal::parse_codec("zstd").value()) == "zstd:1");
    CHECK(shoal::name(shoal::parse_codec("zstd:-20").value()) == "zstd:-20");
    CHECK(shoal::name(shoal::parse_codec("blosc:8").value()) == "blosc:type_size=8,shuffle=byte,inner=lz4,level=5");
    CHECK(shoal::name(shoal::parse_codec("blosc:level=1,type_size=4").value()) ==
          "blosc:type_size=4,shuffle=byte,inner=lz4,level=1");
}

TEST_CASE("What is no codec is refused by a message that lists what there is") {
    for (const std::string text : {"",
                                   "LZ4",
                                   "lz4 ",
                                   "lz4:1",
                                   "none:",
                                   "gzip",
                                   "zstd:",
                                   "zstd:23",
                                   "zstd:-21",
                                   "zstd:3x",
                                   "zstd:999999999999",
                                   "blosc",
                                   "blosc:",
                                   "blosc:0",
                                   "blosc:256",
                                   "blosc:level=5",
                                   "blosc:type_size=8,",
                                   "blosc:type_size=8,,level=1",
                                   "blosc:type_size=8,type_size=8",
                                   "blosc:type_size=8,shuffle=bits",
                                   "blosc:type_size=8,inner=snappy",
                                   "blosc:type_size=8,level=0",
                                   "blosc:type_size=8,level=10",
                                   "blosc:type_size=8,threads=2",
                                   "blosc:8,level=3"}) {
        INFO(text);
        const auto codec = shoal::parse_codec(text);
        REQUIRE_FALSE(codec.has_value());
        CHECK(codec.error().code == shoal::Code::kInvalidArgument);
        for (const char* word :
             {"none", "lz4", "zstd[:LEVEL]", "-20 to 22", "blosc:TYPE_SIZE", "byte|bit", "lz4hc|zlib"})
            CHECK(codec.error().message.find(word) != std::string::npos);
    }
}

TEST_CASE("Only words that a codec packs to are unpacked") {
    CHECK(shoal::codec_word(Codec{}) == 0);
    std::size_t codecs = 0;
    for (std::uint32_t word = 0; word < 1U << 22; ++word) {
        const auto codec = shoal::codec_of_word(word);
        if (!codec) continue;
        ++codecs;
        if (shoal::codec_word(*codec) != word || shoal::parse_codec(shoal::name(*codec)).value() != *codec)
            FAIL("word " << word << " is " << shoal::name(*codec));
    }
    CHECK(codecs == 1 + 1 + 43 + 9 * 255 * 3 * 5);
}
