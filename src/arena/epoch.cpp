#include "arena/epoch.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include "arena/crash_point.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kKindBits = 63;

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
    const std::uint64_t word = raw(object) | static_cast<std::uint64_t>(kind);
    std::uint64_t first = head.load(std::memory_order_relaxed);  // relaxed: the exchange decides
    do {                                                         // a failed turn: another retired something
        link.store(first, std::memory_order_relaxed);            // relaxed: published by the exchange
        crash_point(CrashPoint::kRetiredLinked);
    } while (!head.compare_exchange_weak(first, word, std::memory_order_release, std::memory_order_relaxed));
    crash_point(CrashPoint::kRetiredPushed);
    header_->retired_objects.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count to show
}

bool Epochs::is_retired(RetiredKind kind, ArenaOffset object) const noexcept {
    const std::uint64_t wanted = raw(object) | static_cast<std::uint64_t>(kind);
    const std::uint64_t epoch = header_->epoch.load(std::memory_order_acquire) & ~kDestroyedBit;
    for (const std::uint64_t list : {epoch % kEpochBuckets, (epoch + kEpochBuckets - 1) % kEpochBuckets}) {
        std::uint64_t word = header_->retired[list].load(std::memory_order_acquire);  // pairs with retire's release
        // As many as there are blocks, or the list runs in a circle.
        for (std::uint64_t left = most_objects(); word != 0 && word != wanted && left != 0; --left) {
            const auto at = static_cast<ArenaOffset>(word & ~kKindBits);
            // relaxed: written before the object was published here
            word = link_(*mapping_, static_cast<RetiredKind>(word & kKindBits), at).load(std::memory_order_relaxed);
        }
        if (word == wanted) return true;
    }
    return false;
}

bool Epochs::reclaim(Slot& slot, bool thorough) noexcept {
    std::uint64_t nobody = 0;
    // acquire: what the last one freed and linked is seen; fails when somebody is at it (I3)
    if (!header_->reclaimer.compare_exchange_strong(nobody, slots_->number(slot) + 1, std::memory_order_acquire,
                                                    std::memory_order_relaxed)) {
        return thorough && slots_->recover_if_dead(static_cast<std::uint32_t>(nobody - 1) % kSlots, slot);
    }
    crash_point(CrashPoint::kReclaimerTaken);
    const std::uint64_t epoch =
        header_->epoch.load(std::memory_order_acquire);  // ours alone to move, but for the bit
    bool progress = false;
    // The list that epoch + 1 will use holds what was retired in epoch - 2: nobody is left who could see it.
    Atomic<std::uint64_t>& head = header_->retired[((epoch & ~kDestroyedBit) + 1) % kEpochBuckets];
    std::uint64_t left = most_objects();  // as in is_retired
    for (; left != 0; --left) {
        const std::uint64_t word = head.load(std::memory_order_acquire);  // pairs with retire's release
        if (word == 0) break;
        const auto object = static_cast<ArenaOffset>(word & ~kKindBits);
        const auto kind = static_cast<RetiredKind>(word & kKindBits);
        empty_(kind, object, slot);
        crash_point(CrashPoint::kObjectEmptied);
        // relaxed: written before the object was published here. The head moves on before the object is freed, so a
        // crash can leak it but never free it twice.
        head.store(link_(*mapping_, kind, object).load(std::memory_order_relaxed), std::memory_order_relaxed);
        crash_point(CrashPoint::kHeadMoved);
        header_->retired_objects.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a count to show
        free_(kind, object, slot);
        progress = true;
    }
    crash_point(CrashPoint::kListDrained);
    progress |= advance(epoch, slot, thorough);
    crash_point(CrashPoint::kEpochMoved);
    header_->reclaimer.store(0, std::memory_order_release);  // pairs with the acquire above
    return progress;
}

bool Epochs::advance(std::uint64_t epoch, Slot& slot, bool thorough) noexcept {
    if ((epoch & kDestroyedBit) != 0) return false;
    // Pairs with the light fence in enter(). Refused by the kernel, it is none for threads that rely on it.
    if (!heavy_fence() && slots_->anyone_has_light_fences()) return false;
    for (std::uint32_t index = 0; index < slots_->high_water(); ++index) {
        // acquire: pairs with leave(): who has left has read its last
        const std::uint64_t inside = (*slots_)[index].epoch.load(std::memory_order_acquire);
        if (inside == 0 || inside == epoch) continue;
        if (!thorough || !slots_->recover_if_dead(index, slot)) return false;
    }
    // Before the epoch moves: who is seen to be behind is so for as long as this says, at least. relaxed: to show
    header_->epoch_began_ms.store(boot_clock_ms(), std::memory_order_relaxed);
    // release: what is entered next comes after the drain; fails only when the store was destroyed meanwhile
    return header_->epoch.compare_exchange_strong(epoch, epoch + 1, std::memory_order_acq_rel,
                                                  std::memory_order_relaxed);
}

bool Epochs::has_retired() const noexcept {
    return std::any_of(header_->retired.begin(), header_->retired.end(), [](const auto& head) {
        return head.load(std::memory_order_relaxed) != 0;  // relaxed: an answer of one moment
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

void Epochs::forget_reclaimer(const Slot& dead) noexcept {
    std::uint64_t owner = slots_->number(dead) + 1;
    // release: what the dead drained is seen by the next; fails when it was not the reclaimer
    header_->reclaimer.compare_exchange_strong(owner, 0, std::memory_order_acq_rel, std::memory_order_relaxed);
}

}  // namespace shoal
