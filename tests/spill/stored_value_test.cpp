// What becomes of a value's parts that could not be read from files (store/stored_value.hpp).
#include "store/stored_value.hpp"

#include <array>
#include <deque>
#include <optional>

#include "catch.hpp"

using namespace shoal;

namespace {

constexpr std::uint64_t kGeneration = 7;

// Two parts, of which one failed; whether it fails again, and what the key's chain is at each look.
Result<bool> check(bool fails_again, std::deque<std::optional<std::uint64_t>> looks) {
    std::array<StoredPart, 2> parts;
    for (StoredPart& part : parts) part.generation = kGeneration;
    parts[1].error = Error{Code::kDamaged, "there is nothing", 0, 0};
    return check_loaded(
        "key", parts,
        [&]() -> Result<std::optional<std::uint64_t>> {
            REQUIRE_FALSE(looks.empty());
            const auto now = looks.front();
            looks.pop_front();
            return now;
        },
        [&](StoredPart& part) {
            CHECK(&part == &parts[1]);
            if (fails_again) part.error = Error{Code::kDamaged, "there is nothing", 0, 0};
        });
}

}  // namespace

TEST_CASE("A part that cannot be read is damage only if the key's chain is the same after the last read") {
    CHECK(check(false, {kGeneration}).value());
    CHECK_FALSE(check(true, {std::nullopt}).value());
    CHECK_FALSE(check(true, {kGeneration + 1}).value());
    CHECK_FALSE(check(true, {kGeneration, std::nullopt}).value());  // erased between the look and the second read
    CHECK_FALSE(check(true, {kGeneration, kGeneration + 1}).value());
    const auto damaged = check(true, {kGeneration, kGeneration});
    REQUIRE_FALSE(damaged.has_value());
    CHECK(damaged.error().code == Code::kDamaged);
    CHECK(damaged.error().message ==
          "a part of the value of the key with 3 bytes cannot be read: there is nothing");
}
