// What each model's test says: it holds in every interleaving tried, and one weakened memory order breaks it.
#pragma once

#include <string>

#include "catch.hpp"
#include "world.hpp"

namespace shoal::model {

template <class M>
Factory make() {
    return [] { return std::make_unique<M>(); };
}

inline void check_holds(unsigned threads, const Factory& factory, std::uint64_t interleavings) {
    const Outcome outcome = run(threads, factory, interleavings);
    INFO(outcome.failure << " in interleaving " << outcome.interleavings << '\n' << outcome.history);
    CHECK(outcome.passed);
}

// From each of three places to start at, so that it is not found by luck.
inline void check_breaks(unsigned threads, const Factory& factory, std::uint64_t interleavings,
                         const Mutant& mutant) {
    for (const std::uint64_t first : {1U, 1'000'000'001U, 2'000'000'001U}) {
        const Outcome outcome = run(threads, factory, interleavings, &mutant, first);
        INFO("from " << first << ": " << outcome.failure << "; weakened " << outcome.mutated << " times in "
                     << outcome.interleavings << " interleavings");
        CHECK(outcome.mutated > 0);
        CHECK_FALSE(outcome.passed);
    }
}

}  // namespace shoal::model
