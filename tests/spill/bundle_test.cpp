// A bundle gives back what was put into it, segment by segment, and nothing else, whatever its bytes say.
#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <xxhash.h>

#include "../codec/guarded_bytes.hpp"
#include "../store/pattern.hpp"
#include "catch.hpp"
#include "extents.hpp"
#include "spill/bundle.hpp"

using namespace shoal_test;
using shoal::ByteView;

namespace {

struct Chain {
    std::uint64_t generation;
    std::uint32_t first_segment;
    Segments segments;
};

shoal::ExtentBuilder built(const Chain& chain) {
    shoal::ExtentBuilder builder;
    builder.begin(origin("key", chain.generation, chain.first_segment));
    for (const auto& records : chain.segments) {
        builder.begin_segment();
        for (const std::string& record : records) builder.add(record);
    }
    return builder;
}

std::string bundle_of(const std::vector<Chain>& chains, bool all = false) {
    return written(shoal::kBundleBytes, [&](std::span<std::byte> out) {
        shoal::BundleBuilder bundle;
        bundle.begin(out.data(), 4096);
        for (const Chain& chain : chains) {
            REQUIRE(bundle.has_room(built(chain)));
            bundle.add(built(chain));
        }
        return bundle.seal(kStoreId, all);
    });
}

// The records of those segments, each ended by a comma, or what is wrong.
std::string found(const shoal::BundleView& bundle, std::uint64_t generation, std::uint32_t first,
                  std::uint32_t segments) {
    auto found = bundle.find(generation, first, segments);
    if (!found) return found.error().message;
    if (!*found) return "nothing";
    std::string text;
    std::size_t at = 0;
    for (std::uint32_t record = 0; record < (*found)->records; ++record) {
        const std::uint32_t bytes = (*found)->lengths.next();
        text += std::string((*found)->payload.text().substr(at, bytes)) + ",";
        at += bytes;
    }
    return at == (*found)->payload.size() ? text : "lengths that do not fill the payload";
}

const std::vector<Chain> kChains = {{7, 0, {{"red", "tan"}}},
                                    {1ULL << 39, 70'000, {{"a", ""}, {}, {"longer", std::string(200, 'x')}}},
                                    {8, 3, {{}}},
                                    {300, 1, {{"12", "34"}, {"56"}}}};

}  // namespace

TEST_CASE("Each run of segments is found in a bundle by its generation, and no other") {
    const std::string bytes = bundle_of(kChains);
    CHECK(bytes.size() % 64 == 0);
    CHECK(bytes.size() < 512);
    const auto bundle = shoal::parse_bundle(bytes);
    REQUIRE(bundle.has_value());
    CHECK((bundle->store_id() == kStoreId));
    CHECK(found(*bundle, 7, 0, 1) == "red,tan,");
    CHECK(found(*bundle, 1ULL << 39, 70'000, 3) == "a,,longer," + std::string(200, 'x') + ",");
    CHECK(found(*bundle, 1ULL << 39, 70'001, 2) == "longer," + std::string(200, 'x') + ",");
    CHECK(found(*bundle, 1ULL << 39, 70'001, 1).empty());
    CHECK(found(*bundle, 8, 3, 1).empty());
    CHECK(found(*bundle, 300, 2, 1) == "56,");
    CHECK(found(*bundle, 300, 1, 2) == "12,34,56,");
    for (const auto& [generation, first, segments] :
         {std::tuple(6, 0, 1), std::tuple(7, 1, 1), std::tuple(7, 0, 2), std::tuple(300, 0, 2)}) {
        CHECK(found(*bundle, static_cast<std::uint64_t>(generation), static_cast<std::uint32_t>(first),
                    static_cast<std::uint32_t>(segments)) == "nothing");
    }
    CHECK(bundle_of(kChains, true).size() == shoal::kBundleBytes);
    CHECK(shoal::parse_bundle(bundle_of(kChains, true) + "what follows").has_value());
}

TEST_CASE("A search that goes on where the one before it ended finds the same, in any order") {
    const std::string bytes = bundle_of(kChains);
    const auto bundle = shoal::parse_bundle(bytes);
    REQUIRE(bundle.has_value());
    shoal::BundleView::Cursor cursor;
    for (const std::uint64_t generation : {7ULL, 8ULL, 300ULL, 7ULL, 7ULL, 1ULL << 39, 6ULL, 300ULL, 6ULL, 8ULL}) {
        const auto chain = std::find_if(kChains.begin(), kChains.end(),
                                        [&](const Chain& one) { return one.generation == generation; });
        const std::uint32_t first = chain == kChains.end() ? 0 : chain->first_segment;
        const auto found = bundle->find(generation, first, 1, cursor);
        REQUIRE(found.has_value());
        CHECK(found->has_value() == (chain != kChains.end()));
        if (*found) CHECK((*found)->records == chain->segments[0].size());
    }
}

TEST_CASE("Keys of 60 bytes of payload take 1.3 times as much in a bundle, at most, and 192 bytes by themselves") {
    std::vector<Chain> chains;
    shoal::BundleBuilder bundle;
    std::string room(shoal::kBundleBytes, '?');
    bundle.begin(reinterpret_cast<std::byte*>(room.data()), 0);
    std::size_t count = 0;
    for (std::uint64_t generation = 4'000'000;; ++generation, ++count) {
        const Chain chain{generation, 0, {{std::string(15, 'x'), std::string(15, 'y')}, {std::string(30, 'z')}}};
        const shoal::ExtentBuilder one = built(chain);
        if (!bundle.has_room(one)) break;
        bundle.add(one);
        CHECK(one.bytes_needed() == 192);
    }
    REQUIRE(bundle.seal(kStoreId, false) == shoal::kBundleBytes);
    CHECK(shoal::kBundleBytes * 100 <= count * 60 * 130);  // 1.3
}

TEST_CASE("A generation is in a bundle once, and a bundle holds no more than it may") {
    shoal::BundleBuilder bundle;
    std::string room(shoal::kBundleBytes, '?');
    const auto has_room = [&](const Chain& chain) { return bundle.has_room(built(chain)); };
    const Chain red{7, 0, {{"red"}}};
    CHECK_FALSE(has_room(red));
    bundle.begin(reinterpret_cast<std::byte*>(room.data()), 0);
    bundle.add(built(red));
    CHECK_FALSE(has_room({7, 1, {{"blue"}}}));
    for (std::uint64_t generation = 8; generation < 11; ++generation) {
        const Chain chain{generation, 0, {{std::string(1000, 'x')}}};
        REQUIRE(has_room(chain));
        bundle.add(built(chain));
    }
    CHECK_FALSE(has_room({12, 0, {{std::string(1100, 'x')}}}));
    CHECK(has_room({12, 0, {{"x"}}}));
}

TEST_CASE("A bundle in which a bit is another, or that is cut off, is refused") {
    const std::string bytes = bundle_of(kChains);
    shoal::BundleHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    for (std::size_t at = 0; at < header.bytes; ++at) {
        std::string other = bytes;
        other[at] = static_cast<char>(other[at] ^ (1 << at % 8));
        if (shoal::parse_bundle(other).has_value()) FAIL("byte " << at);
        if (shoal::parse_bundle(ByteView(bytes.data(), at)).has_value()) FAIL("cut off at " << at);
    }
    CHECK(shoal::parse_bundle(ByteView(bytes.data(), header.bytes)).has_value());
}

TEST_CASE("Bytes that are no entries, under a right checksum, give an error and not a byte of another's memory") {
    const std::string bytes = bundle_of(kChains);
    std::uint64_t random = 1;
    std::map<bool, int> readable;
    for (int turn = 0; turn < 20'000; ++turn) {
        std::string other = bytes;
        shoal::BundleHeader header;
        std::memcpy(&header, other.data(), sizeof header);
        for (int changes = 0; changes < 3; ++changes) {
            const auto at = sizeof header + next_random(random) % (header.bytes - sizeof header);
            other[at] = static_cast<char>(next_random(random));
        }
        constexpr std::size_t kFrom = offsetof(shoal::BundleHeader, store_id);
        header.checksum = XXH3_64bits(other.data() + kFrom, header.bytes - kFrom);
        std::memcpy(other.data(), &header, sizeof header);
        const GuardedBytes guarded{ByteView(other.data(), header.bytes)};
        const auto bundle = shoal::parse_bundle(guarded);
        REQUIRE(bundle.has_value());
        for (const Chain& chain : kChains) {
            const auto run = bundle->find(chain.generation, chain.first_segment,
                                          static_cast<std::uint32_t>(chain.segments.size()));
            readable[run.has_value()] += 1;
            if (run && *run) (void)found(*bundle, chain.generation, chain.first_segment, 1);
        }
    }
    CHECK(readable[true] > 1000);
    CHECK(readable[false] > 1000);
}
