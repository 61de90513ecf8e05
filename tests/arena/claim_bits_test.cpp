// What words hold of slots and claims when there are as many threads as there can be.
#include "arena/layout.hpp"
#include "catch.hpp"
#include "segment/claim.hpp"

using namespace shoal;

TEST_CASE("A claimed header names any slot, of a generation, and the units of any claim") {
    static_assert(kSlots <= 1U << kClaimingSlotBits && kMaxSegmentUnits <= kSkippedUnitsMask);
    for (const std::uint32_t slot : {0U, 1U, 1023U, 1024U, kSlots - 1}) {
        for (const std::uint32_t generation : {1U, 12'345U, (1U << 26) - 1}) {
            for (const std::uint64_t units : {std::uint64_t{1}, kMaxClaimUnits}) {
                const std::uint64_t header = claimed_header(units, slot, generation);
                CHECK(frame_state(header) == FrameState::kClaimed);
                CHECK(skipped_units(header) == units);
                CHECK(is_claimed_by(header, slot, generation));
                CHECK_FALSE(is_claimed_by(header, slot ^ 1024U, generation));
                CHECK_FALSE(is_claimed_by(header, slot, generation ^ 1));
            }
        }
    }
}

TEST_CASE("A thread of a slot behind the first ones adds nothing to a segment that was closed after its look") {
    Segment segment{};
    segment.claimable.store(100, std::memory_order_relaxed);
    const std::uint64_t open = pack(Reserve{90, 9, 0});
    segment.reserve.store(pack(Reserve{120, 12, 0}),
                          std::memory_order_relaxed);  // another's claim, since that look
    CHECK(reserved_units(add_unless_closed(segment, open, pack(Reserve{30, 3, 0}))) == 120);
    CHECK(segment.reserve.load(std::memory_order_relaxed) == pack(Reserve{120, 12, 0}));

    // The one that closes it is counted.
    segment.reserve.store(open, std::memory_order_relaxed);
    CHECK(add_unless_closed(segment, open, pack(Reserve{30, 3, 0})) == open);
    CHECK(segment.reserve.load(std::memory_order_relaxed) == pack(Reserve{120, 12, 0}));
}

TEST_CASE("The reserve word holds what all threads can add to it at once") {
    // A full segment; the claim of a thread that adds by fetch_add for each of their slots; one more that closed
    // it.
    Reserve most{kMaxSegmentUnits + kMostClosingUnits + kAddingSlots * kMaxClaimUnits,
                 kMaxSegmentUnits + (kAddingSlots + 1) * kMaxClaimRecords,
                 (kMaxSegmentUnits / 2 + (kAddingSlots + 1) * kMaxClaimRecords) * 7};
    const Reserve held = unpack(pack(most));
    CHECK(held.units == most.units);
    CHECK(held.records == most.records);
    CHECK(held.pad == most.pad);
}
