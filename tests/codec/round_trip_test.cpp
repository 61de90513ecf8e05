// Each codec there and back, and on bytes that were spoiled on the way.
#include <algorithm>
#include <string>
#include <vector>

#include "../store/scale.hpp"
#include "catch.hpp"
#include "codec/codec.hpp"
#include "guarded_bytes.hpp"
#include "samples.hpp"

using shoal::ByteView;
using shoal::Codec;
using shoal::CodecId;
using shoal_test::GuardedBytes;

namespace {

constexpr std::size_t kMiB = 1 << 20;

std::vector<std::string> inputs(std::size_t bytes) {
    return {std::string(bytes, '\0'), shoal_test::pattern(bytes, bytes), shoal_test::text_like(bytes, 1),
            shoal_test::growing_numbers(bytes, 1)};
}

std::string compressed(const Codec& codec, ByteView in) {
    shoal::Compressor compressor;
    std::string out(in.size(), '\0');
    out.resize(compressor.compress(codec, in, {reinterpret_cast<std::byte*>(out.data()), out.size()}));
    return out;
}

}  // namespace

TEST_CASE("What a codec compresses comes back, of any size and kind") {
    shoal::Compressor compressor;
    shoal::Decompressor decompressor;
    for (const std::string& text : shoal_test::codec_names()) {
        const Codec codec = shoal::parse_codec(text).value();
        for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{127},
                                        std::size_t{1000}, std::size_t{65'537}, kMiB - 1, kMiB}) {
            for (const std::string& input : inputs(bytes)) {
                INFO(text << " on " << bytes << " bytes");
                const GuardedBytes in{ByteView(input)};
                const GuardedBytes room(bytes);
                const std::size_t written = compressor.compress(codec, in, room.span());
                REQUIRE(written * 10 <= bytes * 9);
                if (written == 0) continue;
                const GuardedBytes stored(ByteView(room.data(), written));
                const GuardedBytes out(bytes);
                REQUIRE(decompressor.decompress(codec.id, stored, out.span()));
                REQUIRE((ByteView(out) == ByteView(input)));
            }
        }
    }
}

TEST_CASE("Every codec makes a MiB of zeroes and of text smaller, and leaves random bytes plain") {
    for (const std::string& text : shoal_test::codec_names()) {
        const Codec codec = shoal::parse_codec(text).value();
        INFO(text);
        CHECK(compressed(codec, shoal_test::pattern(kMiB, 1)).empty());
        if (codec.id == CodecId::kNone) continue;
        CHECK_FALSE(compressed(codec, std::string(kMiB, '\0')).empty());
        if (codec.id != CodecId::kBlosc || codec.type_size == 1)
            CHECK_FALSE(compressed(codec, shoal_test::text_like(kMiB, 1)).empty());
    }
}

TEST_CASE("Bytes that gain less than a tenth stay plain, and so do those that have no room") {
    shoal::Compressor compressor;
    for (const std::string text : {"lz4", "zstd", "blosc:type_size=1,shuffle=none"}) {
        INFO(text);
        const Codec codec = shoal::parse_codec(text).value();
        std::vector<std::byte> out(100'000);
        // Random but for an eleventh, which goes, and but for a ninth.
        std::string little = shoal_test::pattern(100'000, 1);
        std::fill_n(little.begin() + 1000, 9'000, 'x');
        CHECK(compressor.compress(codec, little, out) == 0);
        std::string enough = shoal_test::pattern(100'000, 1);
        std::fill_n(enough.begin() + 1000, 12'000, 'x');
        const std::size_t written = compressor.compress(codec, enough, out);
        CHECK(written > 0);
        CHECK(written <= 90'000);
        CHECK(compressor.compress(codec, enough, std::span(out).first(written / 2)) == 0);
    }
}

TEST_CASE("A compressor that was moved, and one that has met other codecs, gives the same bytes") {
    const std::string text = shoal_test::text_like(100'000, 3);
    for (const std::string& each : shoal_test::codec_names()) {
        const Codec codec = shoal::parse_codec(each).value();
        shoal::Compressor first;
        std::vector<std::byte> out(text.size());
        for (const std::string& other : shoal_test::codec_names())
            (void)first.compress(shoal::parse_codec(other).value(), shoal_test::growing_numbers(5000, 1), out);
        shoal::Compressor moved = std::move(first);
        const std::size_t written = moved.compress(codec, text, out);
        CHECK((ByteView(out.data(), written) == ByteView(compressed(codec, text))));
    }
}

TEST_CASE("Plain bytes come back only at their own size") {
    shoal::Decompressor decompressor;
    std::vector<std::byte> out(6);
    CHECK_FALSE(decompressor.decompress(CodecId::kNone, "seven!!", out));
    CHECK_FALSE(decompressor.decompress(CodecId::kNone, "five!", out));
    CHECK(decompressor.decompress(CodecId::kNone, "six!!!", out));
    CHECK(ByteView(out).text() == "six!!!");
    CHECK(decompressor.decompress(CodecId::kNone, "", {}));
}

// What decompressing gives is of no matter, since a checksum comes before it: only that it ends within its bounds,
// which pages without access watch. Both ends of stored bytes and of results lie at such a page in turn.
TEST_CASE("Damaged bytes make no codec read or write outside of what it was given") {
    shoal::Decompressor decompressor;
    const std::string inputs[] = {shoal_test::text_like(3000, 1), shoal_test::growing_numbers(3000, 1),
                                  std::string(70'000, 'z')};
    for (const std::string& text : shoal_test::codec_names()) {
        const Codec codec = shoal::parse_codec(text).value();
        for (const std::string& input : inputs) {
            const std::string good = compressed(codec, input);
            if (good.empty()) continue;
            INFO(text << " on " << input.size() << " bytes");
            for (const bool at_front : {false, true}) {
                const GuardedBytes stored(ByteView(good), at_front);
                const GuardedBytes out(input.size(), at_front);
                std::uint64_t state = 1;
                // The first bytes, which are headers, by each bit; then random places.
                const std::size_t random_damages = shoal_test::scaled(3000);
                for (std::size_t turn = 0; turn < 64 * 8 + random_damages; ++turn) {
                    std::copy(good.begin(), good.end(), reinterpret_cast<char*>(stored.data()));
                    if (turn < 64 * 8) {
                        stored.data()[turn / 8 % good.size()] ^= static_cast<std::byte>(1U << turn % 8);
                    } else {
                        for (std::uint64_t changes = 1 + turn % 5; changes != 0; --changes)
                            stored.data()[shoal_test::next_random(state) % good.size()] =
                                static_cast<std::byte>(shoal_test::next_random(state));
                    }
                    (void)decompressor.decompress(codec.id, stored, out.span());
                }
            }
            // Cut off, and into results of other sizes.
            for (std::size_t kept = 0; kept < good.size(); kept += 1 + kept / 60) {
                const GuardedBytes stored(ByteView(good.data(), kept));
                const GuardedBytes out(input.size());
                CHECK_FALSE(decompressor.decompress(codec.id, stored, out.span()));
            }
            for (const std::size_t size :
                 {std::size_t{0}, std::size_t{1}, input.size() / 2, input.size() - 1, input.size() + 1}) {
                const GuardedBytes stored{ByteView(good)};
                const GuardedBytes out(size);
                CHECK_FALSE(decompressor.decompress(codec.id, stored, out.span()));
            }
        }
    }
}

TEST_CASE("Bytes of one codec, or of none, are refused or bounded by every other") {
    shoal::Decompressor decompressor;
    for (const CodecId id : {CodecId::kLz4, CodecId::kZstd, CodecId::kBlosc}) {
        for (std::size_t seed = 0; seed < shoal_test::scaled(3000); ++seed) {
            const GuardedBytes stored{ByteView(shoal_test::pattern(1 + seed % 300, seed))};
            const GuardedBytes out(1 + seed * 7 % 1000);
            (void)decompressor.decompress(id, stored, out.span());
        }
        for (const std::string& text : shoal_test::codec_names()) {
            const Codec codec = shoal::parse_codec(text).value();
            if (codec.id == id || codec.id == CodecId::kNone) continue;
            const std::string good = compressed(codec, std::string(5000, 'y'));
            const GuardedBytes stored{ByteView(good)};
            const GuardedBytes out(5000);
            CHECK_FALSE(decompressor.decompress(id, stored, out.span()));
        }
    }
}
