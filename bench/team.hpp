// Team: worker processes that start a round together, timed from that start to the last one's finish.
//
//     bench::Team team(2, [&](unsigned worker) { return [...](unsigned round) -> std::string {...}; });
//     state.SetIterationTime(team.run());          // once a round; team.error() tells what a worker found wrong
//
// Workers are forked before any timing and live until the Team is destroyed. The maker runs once in each child,
// to attach and to prepare data; what it returns runs once a round and answers with an error text or nothing.
// Workers asleep between rounds leave the cores to what the parent does there (drop, checks). In a round they
// meet at a spinning barrier, since a wake-up from sleep differs by more than a short round takes. The parent
// sleeps meanwhile. A worker that dies makes the round fail with its status; all others are then killed.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace bench {

double now_seconds();

class Team {
public:
    using Round = std::function<std::string(unsigned round)>;
    using Maker = std::function<Round(unsigned worker)>;

    Team(unsigned workers, const Maker& maker);
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;
    ~Team();

    // One round; seconds from the common start to the last finish. 0 when a worker failed.
    double run();
    [[nodiscard]] const std::string& error() const { return error_; }

    // A double that each worker may publish and the parent reads between rounds (a percentile, a pause).
    static constexpr unsigned kNumbers = 8;
    static double& number(unsigned index);  // in a worker: its own
    [[nodiscard]] double number(unsigned worker, unsigned index) const;

private:
    struct Board;
    [[noreturn]] void work(unsigned worker, const Maker& maker);
    bool wait_all();
    void stop();

    Board* board_ = nullptr;
    unsigned workers_ = 0;
    std::vector<pid_t> children_;
    std::string error_;
};

}  // namespace bench
