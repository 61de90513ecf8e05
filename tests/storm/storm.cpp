// The storm: processes that work on one store at random while others are killed and stopped at random moments, and
// a ledger outside of the store that accounts for every record.
//
// It goes in rounds. In each, processes work for some seconds; then either the store is destroyed under their
// hands, or they end and everything is accounted for, the store is emptied, by processes that are killed too, and
// what the dead have leaked is measured. What is drawn is drawn from the seed; when who runs is the machine's
// choice.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>

#include "crew.hpp"
#include "hand.hpp"

namespace storm {
namespace {

using std::chrono::duration;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace fs = std::filesystem;

constexpr seconds kLongestPhase{180};  // beyond its time: a hang

struct Settings {
    std::uint64_t seconds = 120;
    std::uint64_t kills = 0;         // goes on until there were so many, too
    std::uint64_t most_seconds = 0;  // but no longer than this; 0: twice the seconds
    std::uint64_t processes = 8;
    std::uint64_t limit_mib = 96;
    std::uint64_t seed = 0;
    std::uint64_t round_seconds = 8;
    std::uint64_t kills_a_second = 14;
    std::string folder;
    std::string spill_folder;
};

volatile sig_atomic_t told_to_end = 0;
extern "C" void on_signal(int) { told_to_end = 1; }

enum class Ending { kErase, kDrop, kDestroy };

std::string_view word_of(Ending ending) {
    return ending == Ending::kErase ? "erased" : ending == Ending::kDrop ? "dropped" : "destroyed in use";
}

class Supervisor {
public:
    Supervisor(const Settings& settings, const Ledger& ledger)
        : settings_(settings),
          ledger_(ledger),
          header_(ledger.header()),
          chance_(settings.seed),
          crew_(ledger, chance_),
          started_(Clock::now()),
          next_line_(started_ + seconds(10)) {}

    // True when all was well.
    bool run() {
        run_alone(Part::kMeasure);
        for (std::uint32_t round = 0; !ended() && !enough(); ++round) run_round(round);
        crew_.resume_all();
        crew_.kill_all();
        if (told_to_end == 0) print_line("in all");
        print_summary();
        return !ledger_.failed() && told_to_end == 0;
    }

private:
    bool ended() const { return ledger_.failed() || told_to_end != 0; }

    double elapsed() const { return duration<double>(Clock::now() - started_).count(); }

    bool enough() const {
        const auto most = settings_.most_seconds != 0 ? settings_.most_seconds : 2 * settings_.seconds;
        if (elapsed() >= static_cast<double>(most)) return true;
        return elapsed() >= static_cast<double>(settings_.seconds) && crew_.counts().kills >= settings_.kills;
    }

    void run_round(std::uint32_t round) {
        ledger_.forget_round();
        const auto ending = static_cast<Ending>(round % 3);
        header_.round = round + 1;
        header_.with_drops = round % 2;
        header_.seed = chance_.word();
        const std::uint64_t times = header_.spill_folder[0] != 0 ? 8 : 1;  // what has no room in memory is spilled
        header_.round_bytes = times * header_.limit_bytes * (20 + chance_.below(30)) / 100;
        // From plenty of room to a store that is always at its limit.
        header_.erase_bytes = header_.limit_bytes * (20 + chance_.below(100)) / 100 / kErasedKeys;
        header_.audit = {};
        header_.phase.store(Phase::kWork);

        const auto end = Clock::now() + seconds(settings_.round_seconds);
        storm([&] { return Clock::now() >= end || ledger_.full(); },
              [&] {
                  while (crew_.alive() < settings_.processes) crew_.start(Part::kWork);
              });
        if (ending == Ending::kDestroy) {
            destroy();
        } else {
            header_.phase.store(Phase::kDrain);
            storm_until_nobody();
            run_alone(Part::kAudit);
            clear(ending == Ending::kErase ? Part::kClearByErase : Part::kClearByDrop);
        }
        if (!ended()) print_round(ending);
    }

    // Kills and stops until `done`; `each` is called at every turn.
    void storm(const std::function<bool()>& done, const std::function<void()>& each) {
        const auto deadline = Clock::now() + seconds(settings_.round_seconds) + kLongestPhase;
        auto next_kill = Clock::now() + pause(1e6 / static_cast<double>(settings_.kills_a_second));
        auto next_stop = Clock::now() + pause(4e5);
        while (!ended() && !done()) {
            crew_.look();
            each();
            const auto now = Clock::now();
            if (now >= next_kill) {
                crew_.kill_one();
                next_kill = now + pause(1e6 / static_cast<double>(settings_.kills_a_second));
            }
            if (now >= next_stop) {
                crew_.stop_one();
                next_stop = now + pause(4e5);
                if (crew_.alive() < 2 * settings_.processes) header_.may_fork.store(2);
            }
            crew_.resume_some();
            tick();
            if (Clock::now() > deadline) ledger_.fail("a part of the round does not end\n" + crew_.describe());
            ::usleep(static_cast<useconds_t>(100 + chance_.below(2000)));
        }
        crew_.resume_all();
    }

    microseconds pause(double mean_us) {
        return microseconds(chance_.below(static_cast<std::uint64_t>(2 * mean_us)));
    }

    void tick() {
        const auto now = Clock::now();
        if (now >= next_watch_) {
            crew_.watch();
            next_watch_ = now + seconds(1);
        }
        if (now >= next_line_) {
            print_line("");
            next_line_ = now + seconds(10);
        }
    }

    void storm_until_nobody() {
        storm([&] { return crew_.alive() == 0; }, [] {});
    }

    void wait_until_nobody() {
        const auto deadline = Clock::now() + kLongestPhase;
        crew_.resume_all();
        while (!ended() && crew_.alive() > 0) {
            crew_.look();
            tick();
            if (Clock::now() > deadline) ledger_.fail("processes do not end\n" + crew_.describe());
            ::usleep(500);
        }
    }

    void run_alone(Part part) {
        if (ended()) return;
        crew_.start(part);
        wait_until_nobody();
    }

    void clear(Part part) {
        if (ended()) return;
        header_.phase.store(part == Part::kClearByErase ? Phase::kClearByErase : Phase::kClearByDrop);
        const auto kills = crew_.counts().kills + 20;
        storm([&] { return crew_.counts().kills >= kills; },
              [&] {
                  while (crew_.alive() < 3) crew_.start(part);
              });
        header_.phase.store(Phase::kOver);
        wait_until_nobody();
        run_alone(part);  // one that is not killed
        run_alone(Part::kAuditEmpty);
        if (ended()) return;
        // A thread that dies leaks the block that it has just taken, if any; what else the store had is back.
        const std::uint64_t killed = crew_.counts().threads_killed - killed_at_creation_;
        // A death leaks a block, or a page that was on its way to blocks or back.
        if (header_.audit.pages_with_leaks > killed)
            ledger_.fail(std::to_string(header_.audit.leaked_blocks) + " blocks in " +
                         std::to_string(header_.audit.pages_with_leaks) + " pages are leaked by " +
                         std::to_string(killed) + " threads that were killed");
        if (header_.audit.leaked_blocks == 0 && header_.audit.used_bytes > header_.empty_bytes)
            ledger_.fail("the emptied store uses " + std::to_string(header_.audit.used_bytes) +
                         " bytes, a new one " + std::to_string(header_.empty_bytes) + ", and nothing is leaked");
    }

    // Under the hands of all, by several, some of which are killed at it.
    void destroy() {
        if (ended()) return;
        header_.destroying.store(1);
        bool done = false;
        storm([&] { return done; },
              [&] {
                  if (crew_.take_ended(Part::kDestroy) > 0) done = true;
                  while (!done && crew_.alive(Part::kDestroy) < 2) {
                      crew_.start(Part::kDestroy);
                      if (chance_.one_in(2)) crew_.kill_one();
                  }
              });
        storm_until_nobody();
        run_alone(Part::kDestroy);
        static_cast<void>(crew_.take_ended(Part::kDestroy));
        if (ended()) return;
        header_.created.store(0);
        killed_at_creation_ = crew_.counts().threads_killed;
        for (const auto& entry : fs::directory_iterator(header_.folder)) {
            if (entry.path().filename() != "ledger") ledger_.fail("destroy leaves " + entry.path().string());
        }
        if (header_.spill_folder[0] == 0) return;
        for (const auto& entry : fs::directory_iterator(header_.spill_folder))
            ledger_.fail("destroy leaves " + entry.path().string());
    }

    std::uint64_t arena_bytes() const {
        std::uint64_t bytes = 0;
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(header_.folder, ignored)) {
            struct stat info {};
            if (entry.path().filename().string().starts_with("shoal-") && ::stat(entry.path().c_str(), &info) == 0)
                bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
        }
        return bytes;
    }

    std::uint64_t calls() const {
        std::uint64_t all = 0;
        for (const auto& calls : header_.calls) all += calls.load();
        return all;
    }

    void print_line(const char* what) const {
        const CrewCounts& counts = crew_.counts();
        std::printf(
            "%5.0f s  round %u: %.2f M operations, %.2f M records acknowledged, %.2f M read, %.1f k refused, %llu "
            "kills (%llu in a call), %llu stops, %llu forks, %u entries, %zu processes, %.0f MiB %s\n",
            elapsed(), header_.round, static_cast<double>(calls()) / 1e6,
            static_cast<double>(header_.appended.load()) / 1e6, static_cast<double>(header_.read.load()) / 1e6,
            static_cast<double>(header_.refused.load()) / 1e3, static_cast<unsigned long long>(counts.kills),
            static_cast<unsigned long long>(counts.kills_in_calls), static_cast<unsigned long long>(counts.stops),
            static_cast<unsigned long long>(header_.forks.load()), header_.entries.load(), crew_.alive(),
            static_cast<double>(arena_bytes()) / (1U << 20), what);
        std::fflush(stdout);
    }

    void print_round(Ending ending) const {
        const Audit& audit = header_.audit;
        std::printf("%5.0f s  round %u%s, %s", elapsed(), header_.round,
                    header_.with_drops != 0 ? " with drops" : "", std::string(word_of(ending)).c_str());
        if (ending != Ending::kDestroy) {
            const double leaked = static_cast<double>(audit.used_bytes) - static_cast<double>(header_.empty_bytes);
            std::printf(
                ": %llu keys, %llu records acknowledged, %llu of them there; of the dead %llu in, %llu out; "
                "%llu blocks, %.1f KiB leaked by %llu threads killed",
                static_cast<unsigned long long>(audit.keys), static_cast<unsigned long long>(audit.acknowledged),
                static_cast<unsigned long long>(audit.found), static_cast<unsigned long long>(audit.in_flight_in),
                static_cast<unsigned long long>(audit.in_flight_out),
                static_cast<unsigned long long>(audit.leaked_blocks), leaked / 1024,
                static_cast<unsigned long long>(crew_.counts().threads_killed - killed_at_creation_));
        }
        std::printf("\n");
        std::fflush(stdout);
    }

    void print_summary() const {
        const CrewCounts& counts = crew_.counts();
        std::printf("calls:");
        for (std::size_t call = 1; call < static_cast<std::size_t>(Call::kCount); ++call) {
            std::printf("%s %s %llu", call == 1 ? "" : ",", std::string(name_of(static_cast<Call>(call))).c_str(),
                        static_cast<unsigned long long>(header_.calls[call].load()));
        }
        std::printf("\nthreads killed in:");
        for (const auto& [call, times] : counts.killed_in)
            std::printf(" %s %llu,", std::string(name_of(call)).c_str(), static_cast<unsigned long long>(times));
        std::printf("\n%llu processes started, %llu forked\n", static_cast<unsigned long long>(counts.started),
                    static_cast<unsigned long long>(2 * header_.forks.load()));
    }

    const Settings settings_;
    const Ledger& ledger_;
    Header& header_;
    Chance chance_;
    Crew crew_;
    Clock::time_point started_;
    Clock::time_point next_line_;
    Clock::time_point next_watch_{};
    std::uint64_t killed_at_creation_ = 0;  // threads, before this store was made
};

constexpr const char* kUsage =
    R"(Usage: storm [--seconds N] [--kills N] [--most-seconds N] [--processes N] [--limit-mib N] [--seed N]
             [--round-seconds N] [--kills-a-second N] [--folder FOLDER]
             [--spill-folder FOLDER]
Goes on for so many seconds (120) and until there were so many kills (0), but at most for --most-seconds (twice the
seconds). --folder is where its own folder is made (/dev/shm). With --spill-folder the store holds eight times as much, and
spills to a folder made there. --seed repeats what was drawn, not when who ran.
Exit code 0: all was accounted for; 1: not; then arena and ledger are kept in the folder that the message names.
)";

bool parse(int argc, char** argv, Settings& settings) {
    for (int at = 1; at + 1 < argc; at += 2) {
        const std::string_view option = argv[at], value = argv[at + 1];
        std::uint64_t* number = option == "--seconds"          ? &settings.seconds
                                : option == "--kills"          ? &settings.kills
                                : option == "--most-seconds"   ? &settings.most_seconds
                                : option == "--processes"      ? &settings.processes
                                : option == "--limit-mib"      ? &settings.limit_mib
                                : option == "--seed"           ? &settings.seed
                                : option == "--round-seconds"  ? &settings.round_seconds
                                : option == "--kills-a-second" ? &settings.kills_a_second
                                                               : nullptr;
        if (option == "--folder" || option == "--spill-folder") {
            (option == "--folder" ? settings.folder : settings.spill_folder) = value;
            continue;
        }
        if (number == nullptr) return false;
        const auto [end, wrong] = std::from_chars(value.data(), value.data() + value.size(), *number);
        if (wrong != std::errc() || end != value.data() + value.size()) return false;
    }
    return argc % 2 == 1 && settings.processes >= 2 && settings.processes <= 200 && settings.limit_mib >= 16 &&
           settings.kills_a_second > 0 && settings.round_seconds > 0;
}

int supervise(Settings settings) {
    if (settings.folder.empty()) settings.folder = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (settings.seed == 0)
        settings.seed = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) % 1000000;
    std::string folder = settings.folder + "/shoal-storm-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) {
        std::perror(folder.c_str());
        return 2;
    }
    std::printf(
        "storm: %llu processes, limit %llu MiB, seed %llu (--seed repeats what is drawn, not the timing), in %s\n",
        static_cast<unsigned long long>(settings.processes), static_cast<unsigned long long>(settings.limit_mib),
        static_cast<unsigned long long>(settings.seed), folder.c_str());
    std::fflush(stdout);
    struct sigaction action {};
    action.sa_handler = on_signal;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
    const Ledger ledger = Ledger::create(folder + "/ledger");
    Header& header = ledger.header();
    folder.copy(header.folder, sizeof header.folder - 1);
    std::string spill_folder;
    if (!settings.spill_folder.empty()) {
        spill_folder = fs::absolute(settings.spill_folder).string() + "/shoal-storm-XXXXXX";
        if (::mkdtemp(spill_folder.data()) == nullptr) {
            std::perror(spill_folder.c_str());
            return 2;
        }
        spill_folder.copy(header.spill_folder, sizeof header.spill_folder - 1);
    }
    header.supervisor = ::getpid();
    header.limit_bytes = settings.limit_mib << 20;
    const bool good = Supervisor(settings, ledger).run();
    if (ledger.failed()) {
        std::printf("FAILED (seed %llu): %s\narena and ledger are kept in %s %s\n",
                    static_cast<unsigned long long>(settings.seed), header.failure, folder.c_str(),
                    spill_folder.c_str());
        return 1;
    }
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    if (!spill_folder.empty()) fs::remove_all(spill_folder, ignored);
    std::printf(good ? "all is accounted for\n" : "broken off\n");
    return good ? 0 : 2;
}

}  // namespace
}  // namespace storm

int main(int argc, char** argv) {
    if (argc == 5 && std::string_view(argv[1]) == "--part") {
        ::prctl(PR_SET_NAME, "storm worker");
        const storm::Ledger ledger = storm::Ledger::map(std::atoi(argv[3]));
        return storm::run_part(ledger, static_cast<std::uint32_t>(std::atoi(argv[4])),
                               static_cast<storm::Part>(std::atoi(argv[2])));
    }
    storm::Settings settings;
    if (!storm::parse(argc, argv, settings)) {
        std::fputs(storm::kUsage, stderr);
        return 2;
    }
    return storm::supervise(settings);
}
