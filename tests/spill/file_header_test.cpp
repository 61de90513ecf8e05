// A spill file's header, and what is said of one that was damaged.
#include <string>

#include "../codec/guarded_bytes.hpp"
#include "catch.hpp"
#include "extents.hpp"
#include "spill/file_header.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::SpillFileIdentity;
using shoal_test::GuardedBytes;

namespace {

const SpillFileIdentity kIdentity{shoal_test::kStoreId, 4095, 1'790'000'000};

std::string file_header() {
    std::string bytes(shoal::kSpillFileHeaderBytes, '?');
    shoal::write_file_header(kIdentity, std::span<std::byte, shoal::kSpillFileHeaderBytes>(
                                            reinterpret_cast<std::byte*>(bytes.data()), bytes.size()));
    return bytes;
}

}  // namespace

TEST_CASE("A spill file's header says whose it is, which and since when") {
    const auto parsed = shoal::parse_file_header(file_header());
    REQUIRE(parsed.has_value());
    CHECK(*parsed == kIdentity);
}

TEST_CASE("Every flipped bit and every truncation of a spill file's header is found") {
    const std::string good = file_header();
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
        const auto parsed = shoal::parse_file_header(bad);
        if (parsed.has_value()) FAIL("bit " << bit % 8 << " of byte " << bit / 8);
    }
    for (std::size_t kept = 0; kept < good.size(); kept += 13) {
        const GuardedBytes cut(ByteView(good.data(), kept));
        const auto parsed = shoal::parse_file_header(cut);
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error().code == Code::kDamaged);
        CHECK(parsed.error().message.find(std::to_string(kept)) != std::string::npos);
    }
}

TEST_CASE("A spill file of another version is incompatible, and what is no spill file is damaged") {
    std::string bytes = file_header();
    bytes[0] = 2;
    auto parsed = shoal::parse_file_header(bytes);
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().code == Code::kIncompatible);
    CHECK(parsed.error().message.find("version 2") != std::string::npos);
    parsed = shoal::parse_file_header(std::string(shoal::kSpillFileHeaderBytes, '\0'));
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().code == Code::kDamaged);
}
