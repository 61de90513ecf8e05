// The log of changes: hashes of the keys that changed, so that a sync visits those alone, however many there are
// besides. An append that fits into its segment pays nothing for it (segment/watch.hpp).
//
//   ArenaHeader::changes_from   position in the log from which on every change is in it; 0: the log is off, and any
//                               key may have changed
//   ArenaHeader::changes_end    position behind the last one
//   ArenaHeader::changes_at     where the log lies: changes_most words, position p in word p % changes_most
//
// A thread that is about to make a change takes a position and stores the hash there, then makes the change. A sync
// reads `changes_end`, waits until the epoch has moved on twice, then reads the hashes from the position of the
// newest checkpoint on, and looks at what they name. Its own checkpoint bears the end that it read, as the position
// of the next one. A sync that fails leaves the log as it is. So nothing is reset, and nothing has to be cleaned
// up.
//
// Where the log is full, and where a drop changes every key, it is turned off. A sync that finds it off turns it
// on, and goes round all keys.
//
// Thread safety: every function. log_change() is lock-free; its caller is inside of an epoch, entered before.
// A crash leaves a position without a hash, or with that of an older change, which is visited to no harm: its owner
// has not made the change.
// Invariants: C1 a change is logged before it can be seen or is acknowledged, in the epoch in which it is made;
//             C2 of positions from changes_from on, none is overwritten: a hash is stored only less than
//                changes_most behind changes_from, which never falls while the log is on;
//             C3 a thread that has taken a position and not stored its hash is inside of an epoch that began before
//                changes_from passed the position, or the log was turned on: both wait for the epoch first;
//             C4 changes_from is at most the position that the newest checkpoint bears, where that is of use.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "arena/crash_point.hpp"
#include "arena/epoch.hpp"

namespace shoal {

// Of an arena of so many bytes: a thousandth of it, one page at least.
[[nodiscard]] constexpr std::uint64_t change_log_bytes(std::uint64_t arena_bytes) noexcept {
    return std::max(arena_bytes / 1024 / kPageBytes, std::uint64_t{1}) * kPageBytes;
}

[[nodiscard]] inline Atomic<std::uint64_t>& change_at(const Mapping& mapping, std::uint64_t position) noexcept {
    const ArenaHeader& header = mapping.header();
    const std::uint64_t most = std::max(header.changes_most, std::uint64_t{1});  // 0 in a damaged arena
    return *mapping.at<Atomic<std::uint64_t>>(header.changes_at + position % most * sizeof(std::uint64_t));
}

// Every key may have changed.
inline void turn_changes_off(ArenaHeader& header) noexcept {
    // relaxed: as log_change
    header.changes_from.store(0, std::memory_order_relaxed);
}

[[gnu::noinline]] inline void log_change_from(const Mapping& mapping, std::uint64_t hash,
                                              std::uint64_t from) noexcept {
    ArenaHeader& header = mapping.header();
    // release: a sync that sees the position sees this thread inside of its epoch
    const std::uint64_t position = header.changes_end.fetch_add(1, std::memory_order_release);
    crash_point(CrashPoint::kChangeCounted);
    while (from != 0 && position >= from) {
        if (position - from < header.changes_most) {
            // relaxed: who reads it has waited until this thread has left its epoch (C3)
            change_at(mapping, position).store(hash, std::memory_order_relaxed);
            break;
        }
        // Full: off with it. relaxed, both: as log_change. A failed turn: a sync has moved it on, or turned it on.
        if (header.changes_from.compare_exchange_weak(from, 0, std::memory_order_relaxed,
                                                      std::memory_order_relaxed)) {
            break;
        }
    }
    crash_point(CrashPoint::kChangeSaid);
}

// C1. A key with that hash is about to change.
inline void log_change(const Mapping& mapping, std::uint64_t hash) noexcept {
    // relaxed: a thread that enters an epoch behind that in which a sync turned the log on sees it on; one that is
    // inside before is waited for, and the sync sees its change. An older position only makes the log seem fuller.
    const std::uint64_t from = mapping.header().changes_from.load(std::memory_order_relaxed);
    if (from != 0) log_change_from(mapping, hash, from);
}

// A sync, before it looks at anything: the epoch that is to be reached before all that have taken positions below
// `*end` have made their changes, or died.
[[nodiscard]] inline std::uint64_t end_of_changes(const ArenaHeader& header, const Epochs& epochs,
                                                  std::uint64_t* end) noexcept {
    *end = header.changes_end.load(std::memory_order_acquire);  // pairs with log_change_from
    thread_fence(std::memory_order_seq_cst);                    // before the look at the epoch
    return epochs.current() + 2;
}

// Turns the log on, at its end, where it was off since the epoch moved on twice: no thread has a position in hand.
// As end_of_changes.
[[nodiscard]] inline std::uint64_t turn_changes_on(ArenaHeader& header, const Epochs& epochs,
                                                   std::uint64_t* end) noexcept {
    *end = header.changes_end.fetch_add(1, std::memory_order_acq_rel) + 1;  // as end_of_changes
    // seq_cst: before the look at the epoch. A thread that does not see it is inside since before.
    header.changes_from.store(*end, std::memory_order_seq_cst);
    crash_point(CrashPoint::kChangesOn);
    thread_fence(std::memory_order_seq_cst);
    return epochs.current() + 2;
}

// A checkpoint that bears that position has replaced those before it.
inline void forget_changes_before(ArenaHeader& header, std::uint64_t position) noexcept {
    std::uint64_t from = header.changes_from.load(std::memory_order_relaxed);  // relaxed: the exchange decides
    // release: a thread that sees it stores over hashes that the sync has read. A failed turn: turned off, or moved
    // on by another that does the same.
    while (from != 0 && from < position &&
           !header.changes_from.compare_exchange_weak(from, position, std::memory_order_release,
                                                      std::memory_order_relaxed)) {
    }
}

// Whether all changes from that position on, up to `end` of the log, are in it.
[[nodiscard]] inline bool has_changes_since(const ArenaHeader& header, std::uint64_t position,
                                            std::uint64_t end) noexcept {
    // acquire: after `end` was read, and after the wait where there was one: a thread that found no room below
    // `end` has turned the log off
    const std::uint64_t from = header.changes_from.load(std::memory_order_acquire);
    return from != 0 && position >= from && position <= end && end - from <= header.changes_most;
}

// The hashes of keys that changed from one position to another, in order, each once. After the wait.
[[nodiscard]] inline std::vector<std::uint64_t> changes_between(const Mapping& mapping, std::uint64_t from,
                                                                std::uint64_t end) {
    from = std::max(from,
                    end - std::min(end, mapping.bytes() / sizeof(std::uint64_t)));  // more only in a damaged arena
    std::vector<std::uint64_t> hashes;
    hashes.reserve(end - from);
    // relaxed: see log_change_from
    for (; from < end; ++from) hashes.push_back(change_at(mapping, from).load(std::memory_order_relaxed));
    std::sort(hashes.begin(), hashes.end());
    hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
    return hashes;
}

}  // namespace shoal
