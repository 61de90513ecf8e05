#include "arena/epoch.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include "arena/crash_point.hpp"

namespace shoal {
namespace {

// What a store may take until all processors see it, while the thread that made it goes on to loads; in truth
// microseconds (see ORDERING.md, light and heavy fences).
constexpr std::uint64_t kStoreVisibleMs = 20;

// A moment that is never set back, by a thread that is late.
template <class Moment>
void store_later(Moment& moment, std::uint64_t now) noexcept {
    std::uint64_t old = moment.load(std::memory_order_relaxed);  // relaxed, all: whoever relies on it orders it
    while (old < now &&                                          // a failed turn: another has stored one
           !moment.compare_exchange_weak(old, now, std::memory_order_relaxed, std::memory_order_relaxed)) {
    }
}

// The link of an object that was at a list's head. Another thread may have taken it since, and write its bytes
// plainly: then the exchange of the head fails, for which alone the value is used.
SHOAL_RACES_ON_PURPOSE std::uint64_t link_at_head(const Atomic<std::uint64_t>& link) noexcept {
    return link.load(std::memory_order_relaxed);  // relaxed: written before the object was published
}

}  // namespace

std::uint64_t boot_clock_ms() noexcept {
    struct timespec now {};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

Epochs::Epochs(const Mapping& mapping, Slots& slots, Link link, Free empty, Free free)
    : mapping_(&mapping),
      header_(&mapping.header()),
      slots_(&slots),
      link_(link),
      empty_(std::move(empty)),
      free_(std::move(free)) {}

void Epochs::retire(RetiredKind kind, ArenaOffset object) noexcept {
    // A reader that came in before it could see the object unlinked has read its epoch before, and so no later one
    // than we read now: it has left before the object's list is drained (I1).
    thread_fence(std::memory_order_seq_cst);
    // acquire: an epoch that moved on is seen with its drain. We are inside in e, so this is e or e + 1, and stays
    // a list that nobody drains until we leave (I2).
    const std::uint64_t epoch = header_->epoch.load(std::memory_order_acquire) & ~kDestroyedBit;
    Atomic<std::uint64_t>& head = header_->retired[epoch % kEpochBuckets];
    Atomic<std::uint64_t>& link = link_(*mapping_, kind, object);
    const std::uint64_t word = raw(object) | static_cast<std::uint64_t>(kind) | retired_tag(epoch);
    std::uint64_t first = head.load(std::memory_order_relaxed);  // relaxed: the exchange decides
    do {                                                         // a failed turn: another retired something
        // relaxed: published by the exchange. Of the list before in that bucket nothing is left but its tag (I2).
        link.store(first & kRetiredObjectBits, std::memory_order_relaxed);
        crash_point(CrashPoint::kRetiredLinked);
    } while (!head.compare_exchange_weak(first, word, std::memory_order_release, std::memory_order_relaxed));
    crash_point(CrashPoint::kRetiredPushed);
    header_->retired_objects.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count to show
}

bool Epochs::is_retired(RetiredKind kind, ArenaOffset object) const noexcept {
    const std::uint64_t wanted = raw(object) | static_cast<std::uint64_t>(kind);
    const std::uint64_t epoch = header_->epoch.load(std::memory_order_acquire) & ~kDestroyedBit;
    for (const std::uint64_t list : {epoch % kEpochBuckets, (epoch + kEpochBuckets - 1) % kEpochBuckets}) {
        // acquire: pairs with retire's release
        std::uint64_t word = header_->retired[list].load(std::memory_order_acquire) & kRetiredObjectBits;
        // As many as there are blocks, or the list runs in a circle.
        for (std::uint64_t left = most_objects(); word != 0 && word != wanted && left != 0; --left) {
            const auto at = static_cast<ArenaOffset>(word & kRetiredOffsetBits);
            const auto what = static_cast<RetiredKind>(word & kRetiredKindBits);
            // relaxed: written before the object was published here
            word = link_(*mapping_, what, at).load(std::memory_order_relaxed) & kRetiredObjectBits;
        }
        if (word == wanted) return true;
    }
    return false;
}

bool Epochs::reclaim(Slot& slot, bool thorough) noexcept {
    bool progress = drain(slot);
    crash_point(CrashPoint::kListDrained);
    progress |= advance(thorough);
    crash_point(CrashPoint::kEpochMoved);
    return progress;
}

bool Epochs::drain(Slot& slot) noexcept {
    std::uint64_t left = most_objects();  // as in is_retired
    const std::uint64_t all = left;
    for (; left != 0; --left) {
        const std::uint64_t word = take_retired(slot);
        if (word == 0) break;
        if (left == all) slot.draining_since_s.store(boot_clock_s(), std::memory_order_relaxed);  // to show
        crash_point(CrashPoint::kObjectTaken);
        const auto object = static_cast<ArenaOffset>(word & kRetiredOffsetBits);
        const auto kind = static_cast<RetiredKind>(word & kRetiredKindBits);
        header_->retired_objects.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a count to show
        // Pairs with Mapping::glance_holds: a glance that reads what is written from here on sees the epoch that we
        // have seen.
        thread_fence(std::memory_order_release);
        empty_(kind, object, slot);
        crash_point(CrashPoint::kObjectEmptied);
        // release: pairs with finish_draining. Before the object is freed: a crash can leak it, but never free it
        // twice.
        slot.draining.store(0, std::memory_order_release);
        crash_point(CrashPoint::kObjectForgotten);
        free_(kind, object, slot);
    }
    return left != all;
}

// The current epoch, with the slot inside it; 0, and outside, when the store is destroyed. A failed turn: the epoch
// has moved.
std::uint64_t Epochs::enter_current(Slot& slot) const noexcept {
    for (;;) {
        if (!enter(slot)) break;
        const std::uint64_t epoch = slot.epoch.load(std::memory_order_relaxed);  // relaxed: our own
        // acquire: as in enter(). The same after the fence: the next mover but one sees us inside (I4).
        const std::uint64_t now = header_->epoch.load(std::memory_order_acquire);
        if (now == epoch) return epoch;
        if ((now & kDestroyedBit) != 0) break;
    }
    leave(slot);
    return 0;
}

// An object that nobody can see any more, in the slot's hand; 0 where there is none.
std::uint64_t Epochs::take_retired(Slot& slot) noexcept {
    // Nothing to enter for, mostly. relaxed, both: looked at again inside; one that comes later is for the next
    // time.
    const std::uint64_t seen = header_->epoch.load(std::memory_order_relaxed) & ~kDestroyedBit;
    if ((drained_in(seen).load(std::memory_order_relaxed) & kRetiredOffsetBits) == 0) return 0;
    // Inside already, as a spiller with a batch under way: it has another time. relaxed: our own
    if (slot.epoch.load(std::memory_order_relaxed) != 0) return 0;
    const std::uint64_t epoch = enter_current(slot);
    if (epoch == 0) return 0;
    const std::uint64_t word = claim_first(slot, epoch);
    leave(slot);
    return word;
}

std::uint64_t Epochs::claim_first(Slot& slot, std::uint64_t epoch) noexcept {
    Atomic<std::uint64_t>& head = drained_in(epoch);
    const std::uint64_t tag = retired_tag(epoch - 2);
    for (std::uint64_t left = most_objects(); left != 0; --left) {   // as in is_retired
        std::uint64_t first = head.load(std::memory_order_acquire);  // pairs with retire's release
        if ((first & kRetiredOffsetBits) == 0 || (first & kRetiredTagBits) != tag) return 0;
        if ((first & kRetiredClaimBits) != 0) {
            help(head, first);
            continue;
        }
        // release: pairs with finish_draining, which must find it named when it is claimed
        slot.draining.store(first, std::memory_order_release);
        crash_point(CrashPoint::kObjectNamed);
        const std::uint64_t claimed = first | std::uint64_t{slots_->number(slot) + 1} << kRetiredClaimShift;
        // acq_rel: the name is seen by helpers; what retire() stored is seen by us. Fails when another has claimed
        // it.
        if (!head.compare_exchange_strong(first, claimed, std::memory_order_acq_rel, std::memory_order_relaxed)) {
            slot.draining.store(0, std::memory_order_relaxed);  // relaxed: it names what is not ours
            continue;
        }
        crash_point(CrashPoint::kObjectClaimed);
        help(head, claimed);
        crash_point(CrashPoint::kHeadMoved);
        return claimed & kRetiredObjectBits;
    }
    return 0;
}

// `claimed` was at the head, and the caller is inside the epoch that it was seen in, or a dead slot that has
// claimed it is (I4).
void Epochs::help(Atomic<std::uint64_t>& head, std::uint64_t claimed) noexcept {
    const std::uint64_t named = claimed & ~kRetiredClaimBits;
    const std::uint64_t number = (claimed >> kRetiredClaimShift) - 1;
    std::uint64_t named_now = named;
    // acq_rel: before the head moves on, for finish_draining. Fails when another has done it.
    (*slots_)[static_cast<std::uint32_t>(number % kSlots)].draining.compare_exchange_strong(
        named_now, named | kDrainOwned, std::memory_order_acq_rel, std::memory_order_relaxed);
    crash_point(CrashPoint::kObjectOwned);
    const auto object = static_cast<ArenaOffset>(named & kRetiredOffsetBits);
    const auto kind = static_cast<RetiredKind>(named & kRetiredKindBits);
    const std::uint64_t next = link_at_head(link_(*mapping_, kind, object));
    std::uint64_t first = claimed;
    // acq_rel: as the claim; fails when another has done it
    head.compare_exchange_strong(first, (next & kRetiredObjectBits) | (named & kRetiredTagBits),
                                 std::memory_order_acq_rel, std::memory_order_relaxed);
}

// Whether every thread that is not seen inside from now on sees what was unlinked before the epoch became `epoch`.
bool Epochs::fence_all(std::uint64_t epoch) noexcept {
    // Pairs with the light fence in enter(). Refused by the kernel, it is none for threads that rely on it.
    if (heavy_fence() || !slots_->anyone_has_light_fences()) return true;
    // Then time is one. From the moment on at which we have first seen this epoch: nobody keeps us waiting here.
    const std::uint64_t now = boot_clock_ms();
    // acquire: pairs with the release below, whose moment is not older than that epoch; another's may be later
    if (seen_epoch_.load(std::memory_order_acquire) == epoch) {
        const std::uint64_t seen = seen_ms_.load(std::memory_order_relaxed);
        return now > seen && now - seen > kStoreVisibleMs;
    }
    store_later(seen_ms_, now);
    seen_epoch_.store(epoch, std::memory_order_release);
    return false;
}

bool Epochs::advance(bool thorough) noexcept {
    // acquire: what was retired is seen by the look at its list
    std::uint64_t epoch = header_->epoch.load(std::memory_order_acquire);
    if ((epoch & kDestroyedBit) != 0) return false;
    // I2. relaxed: once empty it stays so until the epoch moves
    if ((drained_in(epoch).load(std::memory_order_relaxed) & kRetiredOffsetBits) != 0) return false;
    const auto is_behind = [&](std::uint32_t number) {
        // acquire: pairs with leave(): who has left has read its last
        const std::uint64_t inside = (*slots_)[number].epoch.load(std::memory_order_acquire);
        return inside != 0 && inside != epoch;
    };
    const auto any_is_behind = [&] {
        for (std::uint32_t number = 0; number < slots_->high_water(); ++number) {
            if (is_behind(number) && (!thorough || !slots_->recover_if_dead(number))) return true;
        }
        return false;
    };
    // Once before the fence, which may be for nothing, or refused: the dead are to be recovered all the same.
    if (any_is_behind() || !fence_all(epoch) || any_is_behind()) return false;
    // Before the epoch moves: who is seen to be behind is so for as long as this says, at least.
    store_later(header_->epoch_began_ms, boot_clock_ms());
    // release: what is entered next comes after the drain; fails when another has moved it, or destroyed the store
    return header_->epoch.compare_exchange_strong(epoch, epoch + 1, std::memory_order_acq_rel,
                                                  std::memory_order_relaxed);
}

bool Epochs::has_retired() const noexcept {
    return std::any_of(header_->retired.begin(), header_->retired.end(), [](const auto& head) {
        // relaxed: an answer of one moment
        return (head.load(std::memory_order_relaxed) & kRetiredOffsetBits) != 0;
    });
}

std::uint64_t Epochs::retired_objects() const noexcept {
    std::uint64_t count = header_->retired_objects.load(std::memory_order_relaxed);  // relaxed, all: to show
    if (count == 0) return 0;
    if (has_retired()) {
        return static_cast<std::uint64_t>(std::max(static_cast<std::int64_t>(count), std::int64_t{1}));
    }
    // What the dead have counted too much or too little; fails when another retires or frees something.
    header_->retired_objects.compare_exchange_strong(count, 0, std::memory_order_relaxed,
                                                     std::memory_order_relaxed);
    return 0;
}

void Epochs::finish_draining(Slot& dead) noexcept {
    std::uint64_t word = dead.draining.load(std::memory_order_acquire);  // pairs with claim_first, drain
    if (word == 0) return;
    // While it only names the object the dead is inside, as is its recoverer by that (I4). relaxed: the slot is
    // ours
    if (const std::uint64_t epoch = dead.epoch.load(std::memory_order_relaxed); epoch != 0) {
        Atomic<std::uint64_t>& head = drained_in(epoch);
        const std::uint64_t claimed = (word & ~kDrainOwned) | std::uint64_t{slots_->number(dead) + 1}
                                                                  << kRetiredClaimShift;
        if (head.load(std::memory_order_acquire) == claimed) help(head, claimed);  // pairs with the claim
        // acquire, after that look: who moved the head on has said before whose the object is
        word = dead.draining.load(std::memory_order_acquire);
    }
    if ((word & kDrainOwned) != 0) {
        const auto object = static_cast<ArenaOffset>(word & kRetiredOffsetBits);
        const auto kind = static_cast<RetiredKind>(word & kRetiredKindBits);
        // Inside, as in finish_spilling: a list that holds it is not drained until the name is gone. relaxed: as
        // above
        if (dead.epoch.load(std::memory_order_relaxed) == 0) static_cast<void>(enter(dead));
        if (!is_retired(kind, object)) retire(kind, object);
        crash_point(CrashPoint::kDeadDrainRetired);
    }
    dead.draining.store(0, std::memory_order_relaxed);  // relaxed: published by the slot's release
}

}  // namespace shoal
