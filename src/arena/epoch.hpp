// Epochs: memory that was reachable is reused only when nobody can be reading it any more (Fraser, "Practical
// lock-freedom", 2004, chapter 5).
//
// A thread is in the current epoch e for the length of an operation. What is unlinked is retired into the list of
// the epoch that is current then. The epoch moves from e to e + 1 when every thread inside is in e; what was
// retired in epoch r is freed before the epoch becomes r + 3, at r + 2 or later, when whoever could have seen it
// has left.
//
// Thread safety: every function. Entering and leaving never wait; one process at a time drains, and nobody waits
// for it. A suspended thread holds back reuse, never progress. A crash while inside holds the epoch until somebody
// recovers the slot; a crash while draining leaks at most one block.
// Invariants: I1 what is retired in epoch r is reachable only for threads that entered in an epoch <= r;
//             I2 an epoch e is entered only while e - 3's list is empty (drained before the epoch becomes e);
//             I3 only the owner of header.reclaimer drains a list or moves the epoch.
#pragma once

#include <cstdint>
#include <functional>

#include "arena/asymmetric_fence.hpp"
#include "arena/slots.hpp"

namespace shoal {

// What a retired object is, in the low bits of its link: all are 64 B aligned.
enum class RetiredKind : std::uint64_t { kChain = 0, kLeaf = 1, kTree = 2, kBlocks = 3 };

// One clock for all processes of the host, that counts while it sleeps too.
[[nodiscard]] std::uint64_t boot_clock_ms() noexcept;

class Epochs {
public:
    // Freeing has two steps. The first frees all that hangs from the object, may be broken off by a crash and begun
    // anew; the second frees the object itself, when no list holds it any more. `slot` is the caller's.
    using Free = std::function<void(RetiredKind, ArenaOffset, Slot& slot)>;
    using Link = Atomic<std::uint64_t>& (*)(const Mapping&, RetiredKind, ArenaOffset);

    Epochs(const Mapping& mapping, Slots& slots, Link link, Free empty, Free free);

    // False when the store is destroyed; then the thread is not inside.
    [[nodiscard]] bool enter(Slot& slot) const noexcept {
        // acquire: before our first look at what may be retired, for I1. An old one only holds back a little more.
        const std::uint64_t epoch = header_->epoch.load(std::memory_order_acquire);
        if ((epoch & kDestroyedBit) != 0) [[unlikely]]
            return false;
        slot.epoch.store(epoch, std::memory_order_release);  // as leave(); the rest is ordered by the fence
        // Pairs with the heavy fence in advance(): either that one sees us inside, or we see all that was unlinked
        // before it.
        light_fence(slots_->has_light_fences());
        return true;
    }
    void leave(Slot& slot) const noexcept {
        slot.epoch.store(0, std::memory_order_release);  // pairs with the acquire in advance(): our reads are done
    }

    [[nodiscard]] bool destroyed() const noexcept {
        // relaxed: an answer of one moment
        return (header_->epoch.load(std::memory_order_relaxed) & kDestroyedBit) != 0;
    }
    // Never above the true one.
    [[nodiscard]] std::uint64_t current() const noexcept {
        return header_->epoch.load(std::memory_order_acquire) & ~kDestroyedBit;
    }

    // Hands an unlinked object over; the caller is inside.
    void retire(RetiredKind kind, ArenaOffset object) noexcept;

    // Whether it has been handed over already. Only while somebody who was inside when it was unlinked still is:
    // then no list that it can be in is drained.
    [[nodiscard]] bool is_retired(RetiredKind kind, ArenaOffset object) const noexcept;

    // Frees what can be freed and moves the epoch on, once. The caller is outside of every operation, but for
    // `slot` itself. True when something was freed or the epoch moved. Recovers dead slots that hold it back
    // when `thorough`, which costs a system call for each thread that is behind.
    bool reclaim(Slot& slot, bool thorough) noexcept;

    [[nodiscard]] std::uint64_t retired_objects() const noexcept;  // to show; deaths make it wrong for a while
    [[nodiscard]] bool has_retired() const noexcept;

    void forget_reclaimer(const Slot& dead) noexcept;  // in recovery: its drain is nobody's now

private:
    [[nodiscard]] std::uint64_t most_objects() const noexcept {  // that an arena has room for
        return mapping_->bytes() / kSmallestBlockBytes;
    }
    [[nodiscard]] bool advance(std::uint64_t epoch, Slot& slot, bool thorough) noexcept;

    const Mapping* mapping_;
    ArenaHeader* header_;
    Slots* slots_;
    Link link_;
    Free empty_;
    Free free_;
};

}  // namespace shoal
