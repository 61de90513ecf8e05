// What a storm is asked for: its options, and the modes that set several of them at once.
#pragma once

#include <cstdint>
#include <string>

#include "ledger.hpp"

namespace storm {

struct Settings {
    std::uint64_t seconds = 120;
    std::uint64_t kills = 0;         // goes on until there were so many, too
    std::uint64_t most_seconds = 0;  // but no longer than this; 0: twice the seconds
    std::uint64_t processes = 8;
    std::uint64_t limit_mib = 96;
    std::uint64_t seed = 0;
    std::uint64_t round_seconds = 8;
    std::uint64_t kills_a_second = 14;
    std::uint64_t stops_a_second = 3;
    std::uint64_t forks_a_second = 5;
    std::uint64_t hogs = 0;
    bool roomy = false;                   // Header::roomy
    std::int32_t spare_descriptors = -1;  // negative: no limit
    Refusal refusal = Refusal::kNone;
    std::string folder;
    std::string spill_folder;
};

extern const char* const kUsage;

// False when the words are no options of a storm.
bool parse(int argc, char** argv, Settings& settings);

}  // namespace storm
