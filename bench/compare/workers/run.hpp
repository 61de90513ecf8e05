// run<Peer>(): the measurement that all peers share; a peer's file has only what is its own.
//
//     class Peer {                            // what the processes share, made before they are forked
//     public:
//         static constexpr bool kOneProcess;  // it can't be used by several: then nobody is forked
//         explicit Peer(const Task&);
//         std::string version() const;
//         Settings settings() const;          // all by which it differs from its defaults, and where it lies
//         class Hand {                        // one process's attachment, made in that process
//         public:
//             Hand(Peer&, const Task&, unsigned worker);  // the reader is worker number Task::processes
//             void append(const Pair&);                          // acknowledged when it returns
//             void append(std::span<const Pair>);                // up to bench::kBatchPairs of them
//             std::size_t get(std::string_view key, Buffer&);    // the whole value, copied; its bytes
//             std::size_t view(std::string_view key);            // without a copy, where the peer can
//             void empty();
//             double helper_cpu_seconds();                       // of a server, where the peer has one
//             std::uint64_t bytes();                             // of memory that it holds, where it can tell
//         };
//     };
//
// Errors are exceptions; they end the measurement without a figure.
#pragma once

#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "task.hpp"
#include "team.hpp"

namespace compare {

// The appends of one process: what to append is at hand before the clock starts.
template <class Peer>
class Appender {
public:
    Appender(Peer& peer, const Task& task, const Keys& keys, unsigned worker)
        : hand_(peer, task, worker),
          keys_(keys),
          picks_(bench::make_picks(task.records / task.processes, task.keys, worker)),
          source_(bench::make_records(task.record_bytes)),
          task_(task) {
        pairs_.reserve(bench::kBatchPairs);
    }

    // Returns how many: all, or fewer when the time is over.
    std::uint64_t run() {
        const double end = bench::now_seconds() + task_.seconds;
        const std::size_t stride = task_.batched ? bench::kBatchPairs : std::size_t{64};
        std::size_t at = 0;
        while (at < picks_.size() && (at == 0 || bench::now_seconds() < end)) {
            const std::size_t stop = std::min(at + stride, picks_.size());
            if (task_.batched) {
                pairs_.clear();
                for (; at < stop; ++at) pairs_.push_back(pair(at));
                hand_.append(std::span<const Pair>(pairs_));
            } else {
                for (; at < stop; ++at) hand_.append(pair(at));
            }
        }
        return at;
    }
    typename Peer::Hand& hand() { return hand_; }

private:
    [[nodiscard]] Pair pair(std::size_t at) const {
        const auto* record = reinterpret_cast<const char*>(source_.data());
        return {picks_[at],
                keys_[picks_[at]],
                {record + at % bench::kDistinctRecords * task_.record_bytes, task_.record_bytes}};
    }

    typename Peer::Hand hand_;
    const Keys& keys_;
    std::vector<std::uint32_t> picks_;
    std::vector<std::byte> source_;
    std::vector<Pair> pairs_;
    const Task& task_;
};

template <class Hand>
std::string check(Hand& hand, const Task& task, const Keys& keys, const std::vector<std::uint64_t>& counts,
                  std::vector<std::uint32_t>& held) {
    Ledger ledger(task);
    for (unsigned worker = 0; worker < task.processes; ++worker) {
        bench::Picks picks(task.keys, worker);
        for (std::uint64_t at = 0; at < counts[worker]; ++at) ledger.add(picks.next(), at);
    }
    Buffer buffer;
    for (std::uint32_t key = 0; key < task.keys; ++key) {
        if (!ledger.expects(key)) continue;
        held.push_back(key);
        const std::size_t bytes = hand.get(keys[key], buffer);
        if (std::string wrong = ledger.judge(key, buffer.text(), bytes); !wrong.empty()) return wrong;
    }
    return {};
}

// Reads keys at random, of those that are there, until the time is over.
template <class Read>
Timing read_at_random(const Task& task, const Keys& keys, const std::vector<std::uint32_t>& held,
                      const Read& read) {
    bench::Random random(0xbead);
    const auto below = static_cast<std::uint32_t>(held.size());
    Timing timing;
    const double cpu = cpu_seconds();
    const double start = bench::now_seconds();
    do {
        for (int turn = 0; turn < 16; ++turn) timing.bytes += read(keys[held[random.below(below)]]);
        timing.operations += 16;
        timing.seconds = bench::now_seconds() - start;
    } while (timing.seconds < task.read_seconds);
    timing.cpu_seconds = cpu_seconds() - cpu;
    return timing;
}

template <class Hand>
void read(Hand& hand, const Task& task, const Keys& keys, const std::vector<std::uint32_t>& held,
          Outcome& outcome) {
    Buffer buffer;
    const auto get = [&](std::string_view key) { return hand.get(key, buffer); };
    outcome.timings.emplace_back("get", read_at_random(task, keys, held, get));
    if constexpr (requires { hand.view(std::string_view()); }) {
        const auto view = [&](std::string_view key) { return hand.view(key); };
        outcome.timings.emplace_back("view", read_at_random(task, keys, held, view));
    }
}

template <class Hand>
double helper_cpu_seconds(Hand& hand) {
    if constexpr (requires { hand.helper_cpu_seconds(); }) return hand.helper_cpu_seconds();
    return 0;
}

// The processes that append, as rounds: seconds from the common start to the last one's finish.
template <class Peer>
class Crew {
public:
    Crew(Peer& peer, const Task& task, const Keys& keys) : task_(task) {
        if constexpr (Peer::kOneProcess) {
            if (task.processes != 1) fail("it cannot be used by several processes");
            alone_.emplace(peer, task, keys, 0);
        } else {
            team_.emplace(task.processes, [&](unsigned worker) -> bench::Team::Round {
                auto appender = std::make_shared<Appender<Peer>>(peer, task, keys, worker);
                return [appender](unsigned) -> std::string {
                    const double cpu = cpu_seconds();
                    bench::Team::number(0) = static_cast<double>(appender->run());
                    bench::Team::number(1) = cpu_seconds() - cpu;
                    return {};
                };
            });
            if (!team_->error().empty()) fail(team_->error());
            hand_.emplace(peer, task, task.processes);
        }
    }
    // Reads and empties between the rounds. After the fork, since not every peer can be open across one.
    typename Peer::Hand& hand() {
        if constexpr (Peer::kOneProcess) {
            return alone_->hand();
        } else {
            return *hand_;
        }
    }
    Timing round(std::vector<std::uint64_t>& counts) {
        Timing timing;
        counts.assign(task_.processes, 0);
        const double helper = helper_cpu_seconds(hand());
        if constexpr (Peer::kOneProcess) {
            const double cpu = cpu_seconds();
            const double start = bench::now_seconds();
            counts[0] = alone_->run();
            timing.seconds = bench::now_seconds() - start;
            timing.cpu_seconds = cpu_seconds() - cpu;
        } else {
            timing.seconds = team_->run();
            if (!team_->error().empty()) fail(team_->error());
            for (unsigned worker = 0; worker < task_.processes; ++worker) {
                counts[worker] = static_cast<std::uint64_t>(team_->number(worker, 0));
                timing.cpu_seconds += team_->number(worker, 1);
            }
        }
        timing.cpu_seconds += helper_cpu_seconds(hand()) - helper;
        for (const std::uint64_t count : counts) timing.operations += count;
        timing.bytes = timing.operations * task_.record_bytes;
        return timing;
    }

private:
    const Task& task_;
    std::optional<Appender<Peer>> alone_;
    std::optional<bench::Team> team_;
    std::optional<typename Peer::Hand> hand_;
};

template <class Peer>
int run(int argc, char** argv) {
    const Task task = parse_task(argc, argv);
    Outcome outcome;
    try {
        const Keys keys(task.keys);
        Peer peer(task);
        outcome.version = peer.version();
        outcome.settings = peer.settings();
        Crew<Peer> crew(peer, task, keys);
        std::vector<std::uint64_t> counts;
        if (task.warm_up) {
            crew.round(counts);
            crew.hand().empty();
        }
        outcome.timings.emplace_back("append", crew.round(counts));
        std::vector<std::uint32_t> held;
        outcome.error = check(crew.hand(), task, keys, counts, held);
        outcome.keys_held = held.size();
        if constexpr (requires { crew.hand().bytes(); }) outcome.store_bytes = crew.hand().bytes();
        if (outcome.error.empty() && task.read_seconds > 0) read(crew.hand(), task, keys, held, outcome);
    } catch (const std::exception& failure) {
        outcome.error = failure.what();
    }
    print(outcome);
    return outcome.error.empty() ? 0 : 1;
}

}  // namespace compare
