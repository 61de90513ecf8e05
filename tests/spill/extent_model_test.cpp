// RapidCheck: whatever segments go into an extent come out of it, by every codec. More runs:
// RC_PARAMS="max_success=10000".
#include <rapidcheck.h>

#include <string>
#include <vector>

#include "../codec/guarded_bytes.hpp"
#include "../codec/samples.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "extents.hpp"

using shoal::ByteView;
using namespace shoal_test;

namespace {

// Records by size and seed, so that a failing case prints and shrinks well.
using Shape = std::vector<std::vector<std::pair<std::size_t, int>>>;

std::string record_of(std::size_t bytes, int seed) {
    const auto number = static_cast<std::uint64_t>(seed);
    return seed % 3 == 0   ? pattern(bytes, number)
           : seed % 3 == 1 ? text_like(bytes, number)
                           : std::string(bytes, 'r');
}

Segments segments_of_shape(const Shape& shape) {
    Segments segments;
    for (const auto& records : shape) {
        segments.emplace_back();
        for (const auto& [bytes, seed] : records) segments.back().push_back(record_of(bytes, seed));
    }
    return segments;
}

rc::Gen<Shape> shapes() {
    const auto bytes = rc::gen::weightedOneOf<std::size_t>({{4, rc::gen::just<std::size_t>(16)},
                                                            {4, rc::gen::inRange<std::size_t>(0, 200)},
                                                            {1, rc::gen::inRange<std::size_t>(0, 20'000)}});
    const auto record = rc::gen::pair(bytes, rc::gen::inRange(0, 100));
    return rc::gen::suchThat(rc::gen::container<Shape>(rc::gen::container<Shape::value_type>(record)),
                             [](const Shape& shape) { return !shape.empty(); });
}

}  // namespace

TEST_CASE("What goes into an extent comes out of it") {
    const std::string runs = "max_success=" + std::to_string(scaled(300, 30));
    ::setenv("RC_PARAMS", runs.c_str(), 0);
    // One builder for all of them: what one leaves in it must not show in the next.
    shoal::ExtentBuilder builder;
    shoal::Compressor compressor;
    REQUIRE(rc::check("segments", [&] {
        const auto shape = *shapes();
        const auto key_bytes =
            *rc::gen::weightedOneOf<std::size_t>({{5, rc::gen::inRange<std::size_t>(0, 100)},
                                                  {1, rc::gen::inRange<std::size_t>(0, shoal::kMaxKeyBytes + 1)}});
        const auto codec = *rc::gen::elementOf(codec_names());
        const auto generation = *rc::gen::arbitrary<std::uint64_t>();
        const auto first = *rc::gen::inRange<std::uint32_t>(0, UINT32_MAX - shoal::kMostExtentSegments);
        const bool open = *rc::gen::arbitrary<bool>();

        const Segments segments = segments_of_shape(shape);
        const std::string key = pattern(key_bytes, generation);
        builder.begin({kStoreId, ByteView(key), generation, first});
        for (const auto& records : segments) {
            std::uint64_t bytes = 0;
            for (const std::string& record : records) bytes += record.size();
            const std::uint64_t most = builder.bytes_needed_with(records.size(), bytes);
            builder.begin_segment();
            for (const std::string& record : records) builder.add(record);
            RC_ASSERT(builder.bytes_needed() <= most);
        }
        if (open) builder.mark_open();
        const GuardedBytes out(builder.bytes_needed());
        std::memset(out.data(), '?', builder.bytes_needed());
        const std::size_t written = builder.finish(shoal::parse_codec(codec).value(), compressor, out.span());
        RC_ASSERT(written % 64 == 0);
        RC_ASSERT(written <= builder.bytes_needed());

        const GuardedBytes exact(ByteView(out.data(), written));
        const Reading reading = read_extent(exact);
        RC_ASSERT(reading.error == "");
        const shoal::ExtentHeader& header = reading.view->header();
        RC_ASSERT(shoal::extent_bytes(header) == written);
        RC_ASSERT((reading.view->key() == ByteView(key)));
        RC_ASSERT(header.generation == generation);
        RC_ASSERT(header.first_segment == first);
        RC_ASSERT(header.flags == (open ? 1 : 0));
        RC_ASSERT((segments_of(reading) == segments));
    }));
}
