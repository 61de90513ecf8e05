// Epochs: memory that was reachable is reused only when nobody can be reading it any more (Fraser, "Practical
// lock-freedom", 2004, chapter 5).
//
// A thread is in the current epoch e for the length of an operation. What is unlinked is retired into the list of
// the epoch that is current then. The epoch moves from e to e + 1 when every thread inside is in e; what was
// retired in epoch r is freed before the epoch becomes r + 3, at r + 2 or later, when every thread that could have
// seen it has left.
//
// Any number of threads drain a list and move the epoch at once. A drainer takes one object at a time, inside the
// epoch e in which the list of e - 2 is drained, in four steps:
//   name    its slot's `draining` names the object
//   claim   CAS on the list's head: the same object, with the number of the slot
//   own     `draining` gets kDrainOwned; any thread that meets the claimed head may do this step and the next one
//   move    CAS on the list's head: to the next object, claimed by no slot
// Then the drainer leaves the epoch, empties the object, forgets it, and frees it. So a drainer that is stopped
// keeps back the one object in its hand, and its recoverer knows whether it had one.
//
// Thread safety: every function. Entering, leaving, draining and moving never wait. A suspended thread inside an
// epoch holds back reuse, never progress. A crash while inside holds the epoch until another thread recovers the
// slot; a crash while draining leaks at most one block.
// Invariants: I1 what is retired in epoch r is reachable only for threads that entered in an epoch <= r;
//             I2 an epoch e is entered only while e - 3's list is empty (drained before the epoch becomes e);
//             I3 a head changes from an object to its successor only while a slot's `draining` owns that object, so
//                each object has one drainer;
//             I4 a drainer changes a head only inside an epoch e that it saw current when it was inside. Until it
//                leaves the epoch is at most e + 1, so the list of e - 2 takes no more objects, and the list that
//                has its bucket next, of e + 1, is not drained: it has another tag, and no head with a claim.
//                So an object that is at the head again is never taken for the one that was there before.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "arena/asymmetric_fence.hpp"
#include "arena/slots.hpp"

namespace shoal {

// What a retired object is, in the low bits of its link: all are 64 B aligned.
enum class RetiredKind : std::uint64_t { kChain = 0, kLeaf = 1, kTree = 2, kBlocks = 3 };

// A list's head, ArenaHeader::retired: bits 0..1 the kind of its first object, 2..5 the tag, 6..43 the offset of
// that object, 44..63 the number + 1 of the slot that has claimed it. Links and Slot::draining have the same
// fields, but links no tag, and neither has a slot's number. An arena has at most 2^44 bytes.
inline constexpr std::uint64_t kRetiredKindBits = 3;
inline constexpr std::uint64_t kRetiredOffsetBits = (1ULL << 44) - 64;
inline constexpr std::uint64_t kRetiredObjectBits = kRetiredOffsetBits | kRetiredKindBits;
inline constexpr unsigned kRetiredClaimShift = 44;
inline constexpr std::uint64_t kRetiredClaimBits = ~0ULL << kRetiredClaimShift;
// The low bits of the epoch whose list it is. Two lists of one bucket that a drainer can meet differ by 3 (I4).
[[nodiscard]] constexpr std::uint64_t retired_tag(std::uint64_t epoch) noexcept { return epoch % kEpochTags << 2; }
inline constexpr std::uint64_t kRetiredTagBits = retired_tag(kEpochTags - 1);
static_assert(kEpochTags >= 2 && kEpochTags <= 16 && (kEpochTags & (kEpochTags - 1)) == 0, "four bits");
static_assert(kSlots < 1U << (64 - kRetiredClaimShift), "a slot's number + 1 fits");

inline constexpr std::uint64_t kDrainOwned = 1ULL << 63;  // in Slot::draining

// One clock for all processes of the host, that counts while it sleeps too.
[[nodiscard]] std::uint64_t boot_clock_ms() noexcept;
[[nodiscard]] inline std::uint32_t boot_clock_s() noexcept {  // enough of it for 136 years
    return static_cast<std::uint32_t>(boot_clock_ms() / 1000);
}

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

    // Inside from here to its end, also where an exception ends it.
    class Stay {
    public:
        Stay(const Epochs& epochs, Slot& slot) noexcept
            : epochs_(epochs), slot_(slot), entered_(epochs.enter(slot)) {}
        Stay(const Stay&) = delete;
        Stay& operator=(const Stay&) = delete;
        ~Stay() {
            if (entered_) epochs_.leave(slot_);
        }
        [[nodiscard]] bool entered() const noexcept { return entered_; }  // false: the store is destroyed

    private:
        const Epochs& epochs_;
        Slot& slot_;
        bool entered_;
    };

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

    // Frees what can be freed and moves the epoch on, once. The caller is outside of every operation. True when
    // something was freed or the epoch moved. Recovers dead slots that hold it back when `thorough`, which costs a
    // system call for each thread that is behind.
    bool reclaim(Slot& slot, bool thorough) noexcept;

    [[nodiscard]] std::uint64_t retired_objects() const noexcept;  // to show; deaths make it wrong for a while
    [[nodiscard]] bool has_retired() const noexcept;

    // In recovery: what the dead was freeing is retired anew.
    void finish_draining(Slot& dead) noexcept;

private:
    [[nodiscard]] std::uint64_t most_objects() const noexcept {  // that an arena has room for
        return mapping_->bytes() / kSmallestBlockBytes;
    }
    [[nodiscard]] Atomic<std::uint64_t>& drained_in(std::uint64_t epoch) const noexcept {  // the list of epoch - 2
        return header_->retired[(epoch + 1) % kEpochBuckets];
    }
    [[nodiscard]] std::uint64_t enter_current(Slot& slot) const noexcept;
    [[nodiscard]] std::uint64_t take_retired(Slot& slot) noexcept;
    [[nodiscard]] std::uint64_t claim_first(Slot& slot, std::uint64_t epoch) noexcept;
    void help(Atomic<std::uint64_t>& head, std::uint64_t claimed) noexcept;
    [[nodiscard]] bool drain(Slot& slot) noexcept;
    [[nodiscard]] bool advance(bool thorough) noexcept;
    [[nodiscard]] bool fence_all(std::uint64_t epoch) noexcept;

    const Mapping* mapping_;
    ArenaHeader* header_;
    Slots* slots_;
    Link link_;
    Free empty_;
    Free free_;

    // Where membarrier is refused: an epoch that this process has seen, and when, or later. seen_ms_ only grows.
    std::atomic<std::uint64_t> seen_epoch_{0};
    std::atomic<std::uint64_t> seen_ms_{0};
};

}  // namespace shoal
