// What becomes of a value's parts that could not be read from files (store/stored_value.hpp).
#include "store/stored_value.hpp"

#include <array>
#include <deque>

#include "catch.hpp"

using namespace shoal;

namespace {

// Two parts, of which one failed; whether it fails again, and whether the key's chain names it at each look.
Result<bool> check(bool fails_again, std::deque<bool> looks) {
    std::array<StoredPart, 2> parts;
    parts[1].error = Error{Code::kDamaged, "there is nothing", 0, 0};
    return check_loaded(
        "key", parts,
        [&](const StoredPart& part) -> Result<bool> {
            CHECK(&part == &parts[1]);
            REQUIRE_FALSE(looks.empty());
            const bool now = looks.front();
            looks.pop_front();
            return now;
        },
        [&](StoredPart& part) {
            CHECK(&part == &parts[1]);
            if (fails_again) part.error = Error{Code::kDamaged, "there is nothing", 0, 0};
        });
}

}  // namespace

TEST_CASE("A part that cannot be read is damage only if the key's chain names it after the last read") {
    CHECK(check(false, {true}).value());
    CHECK_FALSE(check(true, {false}).value());
    CHECK_FALSE(check(true, {true, false}).value());  // erased, or merged, between the look and the second read
    const auto damaged = check(true, {true, true});
    REQUIRE_FALSE(damaged.has_value());
    CHECK(damaged.error().code == Code::kDamaged);
    CHECK(damaged.error().message ==
          "a part of the value of the key with 3 bytes cannot be read: there is nothing");
}
