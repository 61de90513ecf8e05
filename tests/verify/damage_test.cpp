// For each invariant that verify checks: an arena that breaks it, and verify names it.
#include <algorithm>

#include <shoal/store.hpp>

#include "../store/temporary_store.hpp"
#include "arena_editor.hpp"
#include "catch.hpp"
#include "damages.hpp"

using namespace shoal;
using namespace shoal_test;

TEST_CASE("verify names the invariant that a damaged word breaks") {
    TemporaryStore place;
    {
        auto store = Store::open(place.path(), with_limit(16 * kMiB));
        REQUIRE(store.has_value());
        fill(*store);
    }
    const auto intact = Store::verify(place.path());
    REQUIRE(intact.has_value());
    REQUIRE(intact->at_rest);
    REQUIRE(intact->damage.empty());
    for (const Damaging& damaging : kDamages) {
        INFO(damaging.invariant << ": " << damaging.what);
        ArenaEditor arena(place.path());
        damaging.damage(arena);
        const auto report = Store::verify(place.path());
        REQUIRE(report.has_value());
        CHECK_FALSE(report->sound());
        std::string found;
        for (const Damage& damage : report->damage) found += damage.invariant + ": " + damage.what + "\n";
        INFO(found);
        CHECK(std::any_of(report->damage.begin(), report->damage.end(),
                          [&](const Damage& damage) { return damage.invariant == damaging.invariant; }));
        arena.undo();
        const auto again = Store::verify(place.path());
        REQUIRE(again.has_value());
        REQUIRE(again->sound());
    }
}

TEST_CASE("verify of an arena of noise comes to an end") {
    TemporaryStore place;
    {
        auto store = Store::open(place.path(), with_limit(8 * kMiB));
        REQUIRE(store.has_value());
        fill(*store);
    }
    std::uint64_t random = 0x9e37'79b9'7f4a'7c15;
    const auto next = [&] {
        random ^= random << 13;
        random ^= random >> 7;
        return random ^= random << 17;
    };
    for (int round = 0; round < 60; ++round) {
        ArenaEditor arena(place.path());
        const std::uint64_t bytes = arena.mapping().bytes();
        for (int word = 0; word < 2000; ++word) {
            // Half of them among the tables and slots, half of them offsets that could be.
            const std::uint64_t at = (next() % 2 == 0 ? next() % arena.header().pages_at : next() % bytes) & ~7ULL;
            if (at < sizeof(ArenaHeader)) continue;
            arena.set(arena.at<std::uint64_t>(at), next() % 2 == 0 ? next() : (next() % bytes & ~63ULL));
        }
        REQUIRE(Store::verify(place.path()).has_value());
    }
}
