// What each model's test says: it holds in every interleaving tried, and one changed step breaks it.
#pragma once

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
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

constexpr rlim_t kMostMutantSeconds = 60;  // of processor time; whole models take some ten

// What became of a run in a process of its own, since a mutant may take any number for an address.
struct Ended {
    std::uint64_t mutated = 0;
    std::uint64_t interleavings = 0;
    bool passed = false;
    bool killed = false;  // by a signal, as SIGSEGV is
};

inline Ended run_apart(unsigned threads, const Factory& factory, std::uint64_t interleavings, const Mutant& mutant,
                       std::uint64_t first) {
    int ends[2];
    if (::pipe(ends) != 0) return {};
    std::fflush(nullptr);
    // Without the handlers of fork: a process that a model has killed left its locks, which they would wait for.
    const pid_t child = ::_Fork();
    if (child == 0) {
        const rlimit most{kMostMutantSeconds, kMostMutantSeconds};  // one that goes round for ever is killed, too
        static_cast<void>(::setrlimit(RLIMIT_CPU, &most));
        for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) ::signal(number, SIG_DFL);
        const Outcome outcome = run(threads, factory, interleavings, &mutant, first);
        const Ended ended{outcome.mutated, outcome.interleavings, outcome.passed};
        ::_exit(::write(ends[1], &ended, sizeof ended) == sizeof ended ? 0 : 1);
    }
    ::close(ends[1]);
    Ended ended;
    const bool told = child > 0 && ::read(ends[0], &ended, sizeof ended) == sizeof ended;
    ::close(ends[0]);
    int status = 0;
    if (child > 0) ::waitpid(child, &status, 0);
    ended.killed = !told && WIFSIGNALED(status);
    return ended;
}

// From each of three places to start at, so that it is not found by luck.
inline void check_breaks(unsigned threads, const Factory& factory, std::uint64_t interleavings,
                         const Mutant& mutant) {
    for (const std::uint64_t first : {1U, 1'000'000'001U, 2'000'000'001U}) {
        const Ended ended = run_apart(threads, factory, interleavings, mutant, first);
        INFO("from " << first << ": changed " << ended.mutated << " times in " << ended.interleavings
                     << " interleavings");
        CHECK((ended.killed || ended.mutated > 0));
        CHECK((ended.killed || (ended.mutated > 0 && !ended.passed)));
    }
}

}  // namespace shoal::model
