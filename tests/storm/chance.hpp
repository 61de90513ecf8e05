// What is drawn at random, from a seed: splitmix64.
#pragma once

#include <cstdint>

namespace storm {

class Chance {
public:
    explicit Chance(std::uint64_t seed) : state_(seed) { (void)word(); }

    std::uint64_t word() {
        state_ += 0x9E3779B97F4A7C15ULL;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
        return mixed ^ (mixed >> 31);
    }
    std::uint32_t below(std::uint64_t bound) { return static_cast<std::uint32_t>((word() >> 16) % bound); }
    bool one_in(std::uint64_t times) { return below(times) == 0; }

private:
    std::uint64_t state_;
};

}  // namespace storm
