// The word of a spilled segment.
#include <cstdint>

#include "../store/pattern.hpp"
#include "arena/location.hpp"
#include "catch.hpp"

using shoal::StoredAt;

TEST_CASE("A spilled segment's word gives back file and offset, and as many bytes or a 500,000th more") {
    std::uint64_t state = 1;
    int right_words = 0;
    for (int turn = 0; turn < 1'000'000; ++turn) {
        const std::uint64_t random = shoal_test::next_random(state);
        // Sizes of every magnitude.
        const std::uint64_t bytes =
            shoal_test::next_random(state) >> (15 + random % 49) & (shoal::kMostStoredBytes - 1);
        const StoredAt at{static_cast<std::uint32_t>(random >> 8) % shoal::kMostFiles,
                          (random >> 20) % shoal::kMostSpillFileBytes / 64 * 64, bytes, (random >> 7 & 1) != 0};
        const std::uint64_t word = pack(at);
        const StoredAt found = shoal::stored_at(word);
        const bool right = shoal::is_stored(word) && found.file == at.file && found.offset == at.offset &&
                           found.in_bundle == at.in_bundle && found.bytes == shoal::stored_bytes_rounded(bytes) &&
                           found.bytes >= bytes && found.bytes - bytes < 64 + bytes / 500000;
        if (!right) FAIL(bytes << " bytes at " << at.offset << " of file " << at.file << " as word " << word);
        ++right_words;
    }
    CHECK(right_words == 1'000'000);
}
