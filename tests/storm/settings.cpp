#include "settings.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace storm {

const char* const kUsage =
    R"(Usage: storm [--mode MODE]... [OPTION VALUE]...
Processes of several threads work on one store at random while others are killed and stopped; a ledger outside of the
store accounts for every record. In each round everything is erased, and its memory must be back; in a second stage of
a quarter of the time the store is dropped, or destroyed in use.
Exit code 0: all was accounted for; 1: not; then arena and ledger are kept in the folder that the message names.
The first SIGINT, SIGTERM or SIGHUP ends the storm after the accounts of its round; the second ends it at once, with
exit code 2. Both print the summary.

  --seconds N            goes on for so long (120)
  --kills N              and until so many processes were killed (0)
  --most-seconds N       but at most for this long (twice the seconds)
  --round-seconds N      after so long all is accounted for, and erased (8)
  --processes N          that work at a time (8)
  --limit-mib N          the store's memory limit, 8 at least (96)
  --kills-a-second N     SIGKILLs (14); some hundreds are possible: then most processes live for milliseconds
  --stops-a-second N     SIGSTOPs (3; 0 for none); who is stopped goes on when the others have got on without it
  --forks-a-second N     forks of threads that use the store, from processes whose other threads do (5)
  --hogs N               processes that only take processor time (0)
  --spare-descriptors N  each worker, once it has the store open, can open 0 to N more descriptors (no limit); an
                         error that says so is counted, and its record must not be there
  --refuse some|all|none membarrier and io_uring, by seccomp: one, both or neither in each worker, or both in all (none)
  --seed N               repeats what was drawn, not when which process ran
  --folder FOLDER        where its own folder is made (/dev/shm)
  --spill-folder FOLDER  where the folder for spill files is made: the store holds eight times as much, spills and syncs

A mode sets several options; those after it on the line change them.
  --mode limit        a store of 8 MiB, which is full nearly always
  --mode descriptors  at the descriptor limit
  --mode refused      some workers are refused system calls
  --mode forks        fifty forks a second
  --mode hogs         two hogs
  --mode roomy        a store of 64 MiB that is nearly empty, in which large values come and go, beside two hogs, and no
                      process is stopped; an append that is refused for want of memory fails the storm
  --mode deaths       as many kills as the machine can do, in short rounds and a small store
)";

namespace {

bool set_mode(std::string_view mode, Settings& settings) {
    if (mode == "limit") {
        settings.limit_mib = 8;
    } else if (mode == "descriptors") {
        settings.spare_descriptors = 3;
    } else if (mode == "refused") {
        settings.refusal = Refusal::kSome;
    } else if (mode == "forks") {
        settings.forks_a_second = 50;
    } else if (mode == "hogs") {
        settings.hogs = 2;
    } else if (mode == "roomy") {
        settings.roomy = true;
        settings.limit_mib = 64;
        settings.processes = 4;
        settings.stops_a_second = 0;
        settings.hogs = 2;
    } else if (mode == "deaths") {
        settings.kills_a_second = 1000;
        settings.stops_a_second = 20;
        settings.forks_a_second = 50;
        settings.limit_mib = 16;
        settings.round_seconds = 3;
    } else {
        return false;
    }
    return true;
}

bool set_refusal(std::string_view word, Settings& settings) {
    if (word != "none" && word != "some" && word != "all") return false;
    settings.refusal = word == "none" ? Refusal::kNone : word == "some" ? Refusal::kSome : Refusal::kAll;
    return true;
}

std::optional<std::uint64_t> number_of(std::string_view word) {
    std::uint64_t number = 0;
    const auto [end, wrong] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (wrong != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return number;
}

struct NumberOption {
    std::string_view name;
    std::uint64_t Settings::*field;
};
constexpr std::array<NumberOption, 11> kNumbers{{
    {"--seconds", &Settings::seconds},
    {"--kills", &Settings::kills},
    {"--most-seconds", &Settings::most_seconds},
    {"--processes", &Settings::processes},
    {"--limit-mib", &Settings::limit_mib},
    {"--seed", &Settings::seed},
    {"--round-seconds", &Settings::round_seconds},
    {"--kills-a-second", &Settings::kills_a_second},
    {"--stops-a-second", &Settings::stops_a_second},
    {"--forks-a-second", &Settings::forks_a_second},
    {"--hogs", &Settings::hogs},
}};

bool set_option(std::string_view option, std::string_view value, Settings& settings) {
    if (option == "--mode") return set_mode(value, settings);
    if (option == "--refuse") return set_refusal(value, settings);
    if (option == "--folder" || option == "--spill-folder") {
        (option == "--folder" ? settings.folder : settings.spill_folder) = value;
        return true;
    }
    const auto number = number_of(value);
    if (!number) return false;
    if (option == "--spare-descriptors" && *number < 10'000) {
        settings.spare_descriptors = static_cast<std::int32_t>(*number);
        return true;
    }
    for (const NumberOption& known : kNumbers) {
        if (known.name != option) continue;
        settings.*known.field = *number;
        return true;
    }
    return false;
}

}  // namespace

bool parse(int argc, char** argv, Settings& settings) {
    if (argc % 2 != 1) return false;
    for (int at = 1; at + 1 < argc; at += 2) {
        if (!set_option(argv[at], argv[at + 1], settings)) return false;
    }
    return settings.processes >= 2 && settings.processes <= 200 && settings.limit_mib >= 8 &&
           settings.kills_a_second > 0 && settings.forks_a_second > 0 && settings.round_seconds > 0;
}

}  // namespace storm
