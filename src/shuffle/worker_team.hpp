// A phase of the job in child processes: forked together, waited for together, all ended as soon as one fails.
//
// Each child dies with its parent (PR_SET_PDEATHSIG), bears a name for `ps` and `top` ("shoal-mapper-2"), and
// leaves by _exit, so that nothing of the parent's is flushed or destroyed twice. The parent signals and reaps its
// own children only, by process id.
#pragma once

#include <functional>
#include <string>

#include "shuffle/interruption.hpp"
#include "shuffle/job_board.hpp"

namespace shoal::shuffling {

struct Phase {
    std::string role;  // "mapper": for names and messages
    unsigned workers = 1;

    // What worker `index` does; runs in the child, once.
    std::function<Outcome<void>(unsigned index)> work;

    // What it is busy with, for the message when it dies: "reading flights.csv". Runs in the parent.
    std::function<std::string(unsigned index)> busy_with;

    // Called some ten times a second in the parent; empty: never.
    std::function<void()> tick;
};

// Runs the phase to its end. The failure is the first worker's to fail: what it reported on its desk, or "mapper 2
// (pid 1234) was killed by signal 9 (Killed) while reading flights.csv". None of the children is left in any case.
[[nodiscard]] Outcome<void> run_phase(const Phase& phase, SharedArray<Desk>& desks, Interruption& interruption);

}  // namespace shoal::shuffling
