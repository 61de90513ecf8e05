// The crew: all processes of a storm, started, stopped, killed and reaped by their supervisor.
//
// Only processes that are this one's children, and not yet reaped, are ever signalled: their numbers cannot have
// gone to others.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "chance.hpp"
#include "worker.hpp"

namespace storm {

using Clock = std::chrono::steady_clock;

struct CrewCounts {
    std::uint64_t started = 0;
    std::uint64_t kills = 0;
    std::uint64_t kills_in_calls = 0;  // a thread at least was inside a call of the store's
    std::uint64_t threads_killed = 0;  // of those; one at least a kill, as not all say what they do
    std::uint64_t stops = 0;
    std::map<Call, std::uint64_t> killed_in;  // threads, by what they were doing
};

class Crew {
public:
    Crew(const Ledger& ledger, Chance& chance);

    // Forks a process of that part. The supervisor has no store open and no second thread, so a fork of it is as
    // good as a new program, and takes a fraction of the time.
    pid_t start(Part part);

    // So many processes that only take processor time, and are neither killed nor stopped.
    void start_hogs(std::uint64_t hogs);
    void end_hogs();

    std::size_t alive() const { return members_.size(); }
    std::size_t alive(Part part) const;
    const CrewCounts& counts() const { return counts_; }
    // Of processes that ended by themselves since the last call.
    std::uint64_t take_ended(Part part);

    // Takes in who is new by a fork, and who is dead.
    void look();
    void kill_one();
    void stop_one();
    // Lets those go on whose time is over and without whom the others have got on.
    void resume_some();
    void resume_all();
    void kill_all();  // and waits
    // Fails the storm when a thread has been inside one call for very long.
    void watch();

    std::string describe() const;

private:
    struct Member {
        std::uint32_t process = 0;
        Part part{};
        bool forked = false;
        bool killed = false;
        bool stopped = false;
        Clock::time_point until{};  // stopped
        Clock::time_point stopped_at{};
        std::uint64_t others_before = 0;  // their operations when it was stopped
    };
    struct Watched {
        std::uint64_t operations = 0;
        std::uint64_t doing = 0;
        Clock::time_point since{};
    };

    pid_t fork_member(const std::function<int()>& body);
    std::uint64_t operations_of_others(const Member& member) const;
    void reap(pid_t pid, int status);
    void resume(pid_t pid, Member& member);
    pid_t choose(bool stopped_too);
    template <class Use>
    void each_lane(std::uint32_t process, Use&& use) const;

    const Ledger& ledger_;
    Chance& chance_;
    std::map<pid_t, Member> members_;
    std::set<pid_t> hogs_;
    std::vector<std::uint32_t> unknown_;  // of the process table: whose children they are is to be seen
    std::uint32_t seen_ = 0;              // of the process table
    std::map<Part, std::uint64_t> ended_;
    std::map<std::uint32_t, Watched> watched_;  // [lane]
    CrewCounts counts_;
};

}  // namespace storm
