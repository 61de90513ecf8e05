// Several stays in epochs by one slot, whose epoch is that of the oldest: so that a process needs one slot for all
// of its views, and one for all that it spills at once. A stay that lasts holds back reuse, never progress.
//
// While a slot is inside an epoch, the arena's epoch moves on once at most. So the stays of one slot are in two
// epochs at most, and to count them needs no memory.
//
// Thread safety: none; the owner's mutex. A crash frees the slot, as any other.
// Invariant: I1 while there are stays, the slot's epoch is not above any of theirs, and never 0.
#pragma once

#include <cstdint>
#include <utility>

#include "arena/epoch.hpp"

namespace shoal {

class Stays {
public:
    // What is reachable from now on stays readable until end() of the epoch that is returned. 0, and no stay: the
    // store is destroyed.
    [[nodiscard]] std::uint64_t begin(const Epochs& epochs, Slot& slot) noexcept {
        if (any() ? epochs.destroyed() : !epochs.enter(slot)) return 0;
        // The slot has been inside without a break since its oldest stay, which protects all that is read from now
        // on. relaxed: our own slot
        const std::uint64_t now = any() ? epochs.current() : slot.epoch.load(std::memory_order_relaxed);
        // Pairs with the fence in retire(): what is unlinked after our reads is retired in no earlier epoch than
        // `now`.
        thread_fence(std::memory_order_seq_cst);
        if (!any()) oldest_ = {now, 0};
        if (now <= oldest_.epoch) {
            oldest_.count += 1;
            return oldest_.epoch;
        }
        // Another epoch than before: only where another process has damaged the word.
        if (newer_.count == 0) newer_.epoch = now;
        newer_.count += 1;
        return newer_.epoch;
    }

    void end(const Epochs& epochs, Slot& slot, std::uint64_t epoch) noexcept {
        (epoch == oldest_.epoch ? oldest_ : newer_).count -= 1;
        if (!any()) {
            epochs.leave(slot);
        } else if (oldest_.count == 0) {
            oldest_ = std::exchange(newer_, {});
            slot.epoch.store(oldest_.epoch, std::memory_order_release);  // pairs with the acquire in advance()
        }
    }

    [[nodiscard]] bool any() const noexcept { return oldest_.count + newer_.count != 0; }
    void forget() noexcept { oldest_ = newer_ = {}; }  // those of a slot that is the parent's

private:
    struct Count {
        std::uint64_t epoch = 0;
        std::uint64_t count = 0;
    };
    Count oldest_;
    Count newer_;
};

}  // namespace shoal
