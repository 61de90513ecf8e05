// The storm: processes that work on one store at random while others are killed and stopped at random moments, and
// a ledger outside of the store that accounts for every record.
//
// It goes in rounds of two stages. In the first, processes work for some seconds; then they end and everything is
// accounted for, all of it is erased, by processes that are killed too, and what memory is used then is compared
// with what a new store uses and with what the dead have leaked. The second stage takes a quarter of the time, and
// ends with a drop in the place of the erases, or the store is destroyed under the hands of all. What is drawn is
// drawn from the seed; when who runs is the machine's choice.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>

#include "crew.hpp"
#include "hand.hpp"
#include "settings.hpp"

namespace storm {
namespace {

using std::chrono::duration;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace fs = std::filesystem;

constexpr seconds kLongestPhase{180};  // beyond its time: a hang

constexpr std::uint64_t kLargestBlock = 32 << 10;  // bytes; larger are runs of pages

volatile sig_atomic_t told_to_end = 0;  // 1: after this round; more: at once
extern "C" void on_signal(int) { told_to_end = told_to_end + 1; }

enum class Ending { kErase, kDrop, kDestroy };

std::string_view word_of(Ending ending) {
    return ending == Ending::kErase ? "erased" : ending == Ending::kDrop ? "dropped" : "destroyed in use";
}

// Something that is to be done so many times a second, at random moments; 0: never.
class Turns {
public:
    Turns(std::uint64_t times_a_second, Chance& chance)
        : mean_us_(times_a_second == 0 ? 0 : 1'000'000 / times_a_second),
          chance_(chance),
          next_(Clock::now() + pause()) {}

    bool is_due() {
        const auto now = Clock::now();
        if (mean_us_ == 0 || now < next_) return false;
        // One who is late makes up for it, but not for more than some milliseconds.
        next_ = std::max(next_, now - milliseconds(5)) + pause();
        return true;
    }

private:
    microseconds pause() { return microseconds(chance_.below(2 * mean_us_ + 1)); }

    std::uint64_t mean_us_;
    Chance& chance_;
    Clock::time_point next_;
};

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
        crew_.start_hogs(settings_.hogs);
        for (std::uint32_t round = 0; !ended() && !enough(); ++round) run_round(round);
        crew_.resume_all();
        crew_.kill_all();
        crew_.end_hogs();
        print_summary();
        return !ended();
    }

private:
    bool ended() const { return ledger_.failed() || told_to_end > 1; }

    double elapsed() const { return duration<double>(Clock::now() - started_).count(); }

    bool enough() const {
        if (told_to_end != 0) return true;
        const auto most = settings_.most_seconds != 0 ? settings_.most_seconds : 2 * settings_.seconds;
        if (elapsed() >= static_cast<double>(most)) return true;
        return elapsed() >= static_cast<double>(settings_.seconds) && crew_.counts().kills >= settings_.kills;
    }

    void run_round(std::uint32_t round) {
        const milliseconds length = seconds(settings_.round_seconds);
        run_stage(Ending::kErase, length, round % 2 != 0);
        if (!ended() && told_to_end == 0)
            run_stage(round % 2 == 0 ? Ending::kDrop : Ending::kDestroy, length / 4, round % 4 > 1);
        if (!ended()) ++rounds_;
    }

    void run_stage(Ending ending, milliseconds length, bool with_drops) {
        begin(with_drops && !settings_.roomy);
        const auto end = Clock::now() + length;
        storm([&] { return Clock::now() >= end || ledger_.full() || told_to_end != 0; },
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
        if (!ended()) print_stage(ending);
    }

    void begin(bool with_drops) {
        ledger_.forget_round();
        header_.round += 1;
        header_.with_drops = with_drops ? 1 : 0;
        header_.seed = chance_.word();
        header_.most_cold_keys = kKeys - kHotKeys;
        const std::uint64_t times = header_.spill_folder[0] != 0 ? 8 : 1;  // what has no room in memory is spilled
        header_.round_bytes = times * header_.limit_bytes * (20 + chance_.below(30)) / 100;
        // From plenty of room to a store that is always at its limit.
        header_.erase_bytes = header_.limit_bytes * (20 + chance_.below(100)) / 100 / kErasedKeys;
        if (settings_.roomy) {  // see is_nearly_empty
            header_.most_cold_keys = 1000;
            header_.round_bytes = header_.limit_bytes / 32;
            header_.erase_bytes = header_.limit_bytes / 1024;
        }
        header_.audit = {};
        header_.phase.store(Phase::kWork);
    }

    // Kills and stops until `done`; `each` is called at every turn.
    void storm(const std::function<bool()>& done, const std::function<void()>& each) {
        const auto deadline = Clock::now() + seconds(settings_.round_seconds) + kLongestPhase;
        Turns kills(settings_.kills_a_second, chance_), stops(settings_.stops_a_second, chance_),
            forks(settings_.forks_a_second, chance_);
        const std::uint64_t longest_sleep_us = std::min<std::uint64_t>(2000, 500'000 / settings_.kills_a_second);
        while (!ended() && !done()) {
            crew_.look();
            each();
            if (kills.is_due()) crew_.kill_one();
            if (stops.is_due()) crew_.stop_one();
            if (forks.is_due() && crew_.alive() < 2 * settings_.processes) header_.may_fork.store(2);
            crew_.resume_some();
            tick();
            if (Clock::now() > deadline) ledger_.fail("a part of the round does not end\n" + crew_.describe());
            ::usleep(static_cast<useconds_t>(100 + chance_.below(longest_sleep_us)));
        }
        crew_.resume_all();
    }

    void tick() {
        const auto now = Clock::now();
        if (now >= next_watch_) {
            crew_.watch();
            next_watch_ = now + seconds(1);
        }
        if (now >= next_line_) {
            print_line();
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
        // A thread that dies leaks one block at most, which it has just taken; all else that the store had is back,
        // and a repair, which the audit has made, gives back that block too.
        const Audit& audit = header_.audit;
        const std::uint64_t killed = crew_.counts().threads_killed - killed_before_;
        if (audit.leaked_blocks > killed || audit.leaked_bytes > killed * kLargestBlock)
            ledger_.fail(std::to_string(audit.leaked_blocks) + " blocks in " +
                         std::to_string(audit.pages_with_leaks) + " pages, " + std::to_string(audit.leaked_bytes) +
                         " bytes, are leaked by " + std::to_string(killed) + " threads that were killed");
        if (audit.used_bytes > header_.empty_bytes + audit.leaked_bytes)
            ledger_.fail("the emptied store uses " + std::to_string(audit.used_bytes) + " bytes, a new one " +
                         std::to_string(header_.empty_bytes) + ", and " + std::to_string(audit.leaked_bytes) +
                         " bytes are leaked");
        killed_before_ = crew_.counts().threads_killed;
        sum_.found += audit.found;
        sum_.acknowledged += audit.acknowledged;
        sum_.leaked_blocks += audit.leaked_blocks;
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
        killed_before_ = crew_.counts().threads_killed;
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

    void print_line() const {
        const CrewCounts& counts = crew_.counts();
        std::printf(
            "%5.0f s  stage %u: %llu kills (%.0f a second; %llu in a call), %llu stops, %llu forks; %.2f M "
            "operations, "
            "%.2f M records acknowledged, %.2f M read and checked, %.1f k refused; now %u entries, %zu processes, "
            "%.0f MiB\n",
            elapsed(), header_.round, static_cast<unsigned long long>(counts.kills),
            static_cast<double>(counts.kills) / elapsed(), static_cast<unsigned long long>(counts.kills_in_calls),
            static_cast<unsigned long long>(counts.stops), static_cast<unsigned long long>(header_.forks.load()),
            millions(calls()), millions(header_.appended.load()), millions(header_.read.load()),
            static_cast<double>(header_.refused.load()) / 1e3, header_.entries.load(), crew_.alive(),
            static_cast<double>(arena_bytes()) / (1U << 20));
        std::fflush(stdout);
    }

    static double millions(std::uint64_t count) { return static_cast<double>(count) / 1e6; }

    void print_stage(Ending ending) const {
        const Audit& audit = header_.audit;
        std::printf("%5.0f s  stage %u%s, %s", elapsed(), header_.round,
                    header_.with_drops != 0 ? " with drops" : "", std::string(word_of(ending)).c_str());
        if (ending != Ending::kDestroy) {
            const auto leaked = static_cast<double>(audit.leaked_bytes);
            std::printf(
                ": %llu keys, %llu records acknowledged, %llu of them there; of the dead %llu in, %llu out; "
                "%llu blocks, %.1f KiB leaked",
                static_cast<unsigned long long>(audit.keys), static_cast<unsigned long long>(audit.acknowledged),
                static_cast<unsigned long long>(audit.found), static_cast<unsigned long long>(audit.in_flight_in),
                static_cast<unsigned long long>(audit.in_flight_out),
                static_cast<unsigned long long>(audit.leaked_blocks), leaked / 1024);
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
        std::printf(
            "\n%llu processes started, %llu forked; refused: %llu for want of memory, %llu of descriptors\n",
            static_cast<unsigned long long>(counts.started),
            static_cast<unsigned long long>(2 * header_.forks.load()),
            static_cast<unsigned long long>(header_.refused.load()),
            static_cast<unsigned long long>(header_.refused_by_descriptors.load()));
        std::printf(
            "in all %.0f s, %llu rounds: %llu kills (%.0f a second; %llu in a call), %llu stops, %llu forks; %.2f "
            "M "
            "operations, %.2f M records acknowledged, %.2f M read and checked; %llu blocks leaked by deaths, and "
            "repaired\n",
            elapsed(), static_cast<unsigned long long>(rounds_), static_cast<unsigned long long>(counts.kills),
            static_cast<double>(counts.kills) / elapsed(), static_cast<unsigned long long>(counts.kills_in_calls),
            static_cast<unsigned long long>(counts.stops), static_cast<unsigned long long>(header_.forks.load()),
            millions(calls()), millions(header_.appended.load()), millions(header_.read.load() + sum_.found),
            static_cast<unsigned long long>(sum_.leaked_blocks));
    }

    const Settings settings_;
    const Ledger& ledger_;
    Header& header_;
    Chance chance_;
    Crew crew_;
    Clock::time_point started_;
    Clock::time_point next_line_;
    Clock::time_point next_watch_{};
    std::uint64_t killed_before_ = 0;  // threads, before this store was made or last repaired
    std::uint64_t rounds_ = 0;
    Audit sum_{};  // of all rounds
};

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
    header.refusal = settings.refusal;
    header.spare_descriptors = settings.spare_descriptors;
    header.limit_bytes = settings.limit_mib << 20;
    header.roomy = settings.roomy ? 1 : 0;
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
    std::printf(!good              ? "broken off\n"
                : told_to_end == 0 ? "all is accounted for\n"
                                   : "ended by a signal; all until then is accounted for\n");
    return good ? 0 : 2;
}

}  // namespace
}  // namespace storm

int main(int argc, char** argv) {
    storm::Settings settings;
    if (argc == 2 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h")) {
        std::fputs(storm::kUsage, stdout);
        return 0;
    }
    if (!storm::parse(argc, argv, settings)) {
        std::fputs(storm::kUsage, stderr);
        return 2;
    }
    return storm::supervise(settings);
}
