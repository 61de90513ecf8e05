#include "arena/slots.hpp"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <new>

#include "arena/asymmetric_fence.hpp"
#include "arena/byte_lock.hpp"
#include "arena/crash_point.hpp"
#include "arena/presence.hpp"

namespace shoal {

// The Slots of this process, for the ends of threads and for fork. Never destroyed: threads may outlive statics.
// Made after LockDescriptions (each Slots needs a mapping), so that fork locks this one first, which is locked
// first elsewhere too, and finds the locks taken over in the child.
class SlotsRegistry {
public:
    static SlotsRegistry& instance() {
        static SlotsRegistry* const registry = new SlotsRegistry;
        return *registry;
    }

    void add(Slots* slots) {
        const std::lock_guard lock(mutex);
        all.push_back(slots);
    }
    void call_at_thread_end() noexcept { ::pthread_setspecific(thread_end_, this); }
    void remove(Slots* slots) {
        const std::lock_guard lock(mutex);
        std::erase(all, slots);
    }

    std::mutex mutex;
    std::vector<Slots*> all;
    std::atomic<std::uint64_t> next_attachment{1};  // relaxed use: only needs to be unique
    std::atomic<std::uint64_t> next_thread{1};      // relaxed use: only needs to be unique

private:
    SlotsRegistry() {
        // A key's destructor comes after those of all thread_locals, which may still use a store.
        ::pthread_key_create(&thread_end_, [](void*) { Slots::release_all_of_this_thread(); });
        ::pthread_atfork(Slots::before_fork, Slots::after_fork_in_parent, Slots::after_fork_in_child);
    }
    pthread_key_t thread_end_{};
};

namespace {

std::uint64_t this_thread() noexcept {
    static thread_local constinit std::uint64_t id = 0;
    if (id == 0) id = SlotsRegistry::instance().next_thread.fetch_add(1, std::memory_order_relaxed);
    return id;
}

}  // namespace

std::uint64_t this_pid_namespace() noexcept {
    struct stat info {};
    return ::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

Slots::Slots(Mapping& mapping, Blocks& blocks)
    : mapping_(&mapping),
      blocks_(&blocks),
      table_(mapping.at<Slot>(kSlotsAt)),
      attachment_(SlotsRegistry::instance().next_attachment.fetch_add(1, std::memory_order_relaxed)),
      light_fences_(join_asymmetric_fences()) {
    SlotsRegistry::instance().add(this);
}

Slots::~Slots() {
    SlotsRegistry::instance().remove(this);
    const std::lock_guard lock(mutex_);
    for (const Owned& owned : owned_) release_locked(owned.slot);
}

Slot* Slots::find_or_take(int* failure) noexcept {
    SlotsRegistry::instance().call_at_thread_end();
    const std::lock_guard lock(mutex_);
    const std::uint64_t thread = this_thread();
    Slot* slot = nullptr;
    for (const Owned& owned : owned_) {
        if (owned.thread == thread) slot = owned.slot;
    }
    if (slot == nullptr) {
        slot = take_locked(failure);
        if (slot == nullptr) return nullptr;
        owned_.back().thread = thread;
    }
    recent_[attachment_ % recent_.size()] = {attachment_, slot};
    return slot;
}

Slot* Slots::take_below(std::uint32_t end, int* failure) noexcept {
    int cause = 0;
    std::uint32_t number = kSlots;
    try {
        if (owned_.size() == owned_.capacity()) owned_.reserve(2 * owned_.size() + 8);
    } catch (const std::bad_alloc&) {
        cause = ENOMEM;
    }
    while (cause == 0 && number == kSlots) {  // a turn for each chunk that others have filled meanwhile
        const std::uint32_t real = real_slots();
        // relaxed: a hint
        const std::uint32_t hint = mapping_->header().slot_hint.load(std::memory_order_relaxed);
        const std::uint32_t here = std::min(real, end);
        number = lock_free_slot(std::min(hint, here), here, &cause);
        if (number == kSlots && cause == 0) {
            recover_all_dead_locked();
            number = lock_free_slot(0, here, &cause);
        }
        if (number != kSlots || cause != 0 || real >= end) break;
        cause = grow(real + kSlotsAChunk);
    }
    if (failure != nullptr) *failure = cause;
    return number == kSlots ? nullptr : take_over(number);
}

std::uint32_t Slots::lock_free_slot(std::uint32_t begin, std::uint32_t end, int* cause) noexcept {
    const int locks = mapping_->descriptor();
    for (std::uint32_t number = begin; number < end; ++number) {
        // Our own byte can be locked again by ourselves. relaxed: looked at again under the lock
        const std::uint32_t state = table_[number].state.load(std::memory_order_relaxed);
        if (state != static_cast<std::uint32_t>(SlotState::kFree) || is_own_.test(number)) continue;
        const int error = try_lock_byte(locks, slot_byte(number));
        if (error == EAGAIN || error == EACCES) continue;  // another is taking it, or giving it back
        *cause = error;
        if (error != 0) break;
        Atomic<std::uint32_t>& hint = mapping_->header().slot_hint;
        std::uint32_t expected = begin;  // relaxed: a hint; fails where a slot before it was given back
        hint.compare_exchange_strong(expected, number + 1, std::memory_order_relaxed, std::memory_order_relaxed);
        return number;
    }
    return kSlots;
}

// The slot of that number, whose byte is ours.
Slot* Slots::take_over(std::uint32_t number) noexcept {
    Slot& slot = table_[number];
    crash_point(CrashPoint::kSlotLocked);
    // acquire: pairs with the release in release_locked; its last owner's words are final
    if (slot.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(SlotState::kFree)) {
        recover(slot);
    }
    // relaxed: we hold the byte lock
    slot.generation.store(slot.generation.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    // Before the slot says that it is taken: a taken slot above the mark is not looked for when its owner has died.
    Atomic<std::uint32_t>& mark = mapping_->header().slots_high_water;
    std::uint32_t high = mark.load(std::memory_order_relaxed);
    // seq_cst: stands before our first epoch in the one order that an advancing epoch reads it in; a failed
    // turn means that another raised it
    while (high < number + 1 &&
           !mark.compare_exchange_weak(high, number + 1, std::memory_order_seq_cst, std::memory_order_relaxed)) {
    }
    sign(slot, SlotState::kTaken);
    crash_point(CrashPoint::kSlotTaken);
    owned_.push_back({&slot, 0});
    is_own_.set(number);
    return &slot;
}

// The calling thread holds the slot's byte lock, and enters epochs by the slot from now on.
void Slots::sign(Slot& slot, SlotState state) noexcept {
    // relaxed: published by the state's release; others read the ids to show them
    slot.process_id.store(::getpid(), std::memory_order_relaxed);
    slot.thread_id.store(static_cast<std::int32_t>(::syscall(SYS_gettid)), std::memory_order_relaxed);
    slot.pid_namespace.store(this_pid_namespace(), std::memory_order_relaxed);
    slot.light_fences.store(light_fences_ ? 1 : 0, std::memory_order_relaxed);
    slot.state.store(static_cast<std::uint32_t>(state), std::memory_order_release);
}

std::uint32_t Slots::real_slots() const noexcept {
    // acquire: pairs with grow()
    const std::uint32_t real = mapping_->header().slots_real.load(std::memory_order_acquire);
    return std::min(real / kSlotsAChunk * kSlotsAChunk, kSlots);
}

int Slots::grow(std::uint32_t end) noexcept {
    constexpr std::uint64_t kChunkBytes = kSlotsAChunk * sizeof(Slot);
    if (const int cause = mapping_->allocate(kSlotsAt + (end - kSlotsAChunk) * sizeof(Slot), kChunkBytes)) {
        return cause;
    }
    crash_point(CrashPoint::kSlotsReal);
    Atomic<std::uint32_t>& real = mapping_->header().slots_real;
    std::uint32_t now = real.load(std::memory_order_relaxed);
    // release: pairs with real_slots(): the memory is there; a failed turn means that another grew the table
    while (now < end &&
           !real.compare_exchange_weak(now, end, std::memory_order_release, std::memory_order_relaxed)) {
    }
    return 0;
}

// The slot of that number is free: the search for a free one begins there, or before.
void Slots::lower_hint(std::uint32_t number) noexcept {
    Atomic<std::uint32_t>& hint = mapping_->header().slot_hint;
    std::uint32_t now = hint.load(std::memory_order_relaxed);  // relaxed, all: a hint; a failed turn: it was moved
    while (number < now &&
           !hint.compare_exchange_weak(now, number, std::memory_order_relaxed, std::memory_order_relaxed)) {
    }
}

void Slots::release_locked(Slot* slot) noexcept {
    blocks_->give_back_sources(*slot);
    crash_point(CrashPoint::kSlotSourcesBack);
    slot->epoch.store(0, std::memory_order_release);  // pairs with the acquire of an advancing epoch
    slot->state.store(static_cast<std::uint32_t>(SlotState::kFree), std::memory_order_release);
    crash_point(CrashPoint::kSlotFree);
    unlock_byte(mapping_->descriptor(), slot_byte(number(*slot)));
    is_own_.reset(number(*slot));
    lower_hint(number(*slot));
}

void Slots::recover(Slot& dead) noexcept {
    // Idempotent, as this process may die here too. The epoch goes last: until then it protects what the dead held,
    // and memory waits for this process, which is named by the slot.
    sign(dead, SlotState::kRecovering);
    crash_point(CrashPoint::kRecoveryBegun);
    if (finish_work_) finish_work_(dead);
    crash_point(CrashPoint::kDeadWorkFinished);
    blocks_->give_back_sources(dead);
    crash_point(CrashPoint::kDeadSourcesBack);
    dead.epoch.store(0, std::memory_order_release);  // pairs with the acquire of an advancing epoch
    crash_point(CrashPoint::kDeadEpochLeft);
    dead.state.store(static_cast<std::uint32_t>(SlotState::kFree), std::memory_order_release);
}

bool Slots::recover_if_dead(std::uint32_t slot_number) noexcept {
    const std::lock_guard lock(mutex_);
    return recover_if_dead_locked(slot_number);
}

void Slots::recover_all_dead() noexcept {
    const std::lock_guard lock(mutex_);
    recover_all_dead_locked();
}

void Slots::recover_all_dead_locked() noexcept {
    const std::uint32_t end = high_water();
    for (std::uint32_t first = 0; first < end; first += 64) {
        std::uint64_t taken = 0;
        for (std::uint32_t number = first; number < std::min(first + 64, end); ++number) {
            // relaxed: looked at again under the lock
            const std::uint32_t state = table_[number].state.load(std::memory_order_relaxed);
            if (state != static_cast<std::uint32_t>(SlotState::kFree) && !is_own_.test(number)) {
                taken |= 1ULL << (number - first);
            }
        }
        for (std::uint64_t dead = dead_among(first, taken); dead != 0; dead &= dead - 1) {
            const auto at = static_cast<std::uint32_t>(std::countr_zero(dead));
            static_cast<void>(recover_if_dead_locked(first + at));
        }
    }
}

// Of 64 slots those whose bytes nobody has locked: asked for in halves around what another has, so that neighbours
// of one process are one answer.
std::uint64_t Slots::dead_among(std::uint32_t first, std::uint64_t taken) noexcept {
    struct Span {
        std::uint32_t begin;
        std::uint32_t end;
    };
    std::array<Span, 64> open;  // each answer takes a slot at least out of those that are left
    std::size_t count = 0;
    if (taken != 0) open[count++] = {0, 64};
    while (count != 0) {
        const Span span = open[--count];
        const std::uint64_t mask = (span.end - span.begin == 64 ? ~0ULL : (1ULL << (span.end - span.begin)) - 1)
                                   << span.begin;
        if ((taken & mask) == 0) continue;
        const std::uint64_t begins_at = slot_byte(first + span.begin);
        const LockedBytes held = locked_bytes(mapping_->descriptor(), begins_at, span.end - span.begin);
        if (held.begin == held.end) continue;
        const auto held_begin = span.begin + static_cast<std::uint32_t>(held.begin - begins_at);
        const auto held_end = span.begin + static_cast<std::uint32_t>(held.end - begins_at);
        for (std::uint32_t at = held_begin; at < held_end; ++at) taken &= ~(1ULL << at);
        if (span.begin < held_begin) open[count++] = {span.begin, held_begin};
        if (held_end < span.end) open[count++] = {held_end, span.end};
    }
    return taken;
}

bool Slots::recover_if_dead_locked(std::uint32_t slot_number) noexcept {
    Slot& slot = table_[slot_number];
    if (is_own_.test(slot_number)) return false;
    const int locks = mapping_->descriptor();
    if (try_lock_byte(locks, slot_byte(slot_number)) != 0) return false;
    const bool dead = slot.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(SlotState::kFree);
    if (dead) recover(slot);
    crash_point(CrashPoint::kDeadSlotFree);
    unlock_byte(locks, slot_byte(slot_number));
    lower_hint(slot_number);
    return dead;
}

bool Slots::is_alive(std::uint32_t slot_number) noexcept {
    const std::lock_guard lock(mutex_);
    return is_own_.test(slot_number) || is_locked(mapping_->descriptor(), slot_byte(slot_number), 1);
}

std::uint32_t Slots::high_water() const noexcept {
    const std::uint32_t mark =
        mapping_->header().slots_high_water.load(std::memory_order_seq_cst);  // see take_over
    return std::min(mark, kSlots);
}

bool Slots::anyone_has_light_fences() const noexcept {
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        const Slot& slot = table_[index];
        // acquire: pairs with sign. Who takes a slot after this look can be missed by one advance, not by
        // two.
        if (slot.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(SlotState::kFree) &&
            slot.light_fences.load(std::memory_order_relaxed) != 0) {
            return true;
        }
    }
    return false;
}

bool Slots::anyone_writes_to(std::uint64_t segment) const noexcept {
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        // seq_cst: see finish_claims; acquire, as part of it: pairs with claim_and_write
        if (table_[index].segment.load(std::memory_order_seq_cst) == segment) return true;
    }
    return false;
}

WrittenSegments Slots::written_segments() const noexcept {
    WrittenSegments written;
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        // acquire: pairs with claim_and_write: a writer that names the segment no more has committed its claim
        // there
        const std::uint64_t segment = table_[index].segment.load(std::memory_order_acquire) & ~kClaimsDone;
        if (segment != 0) written.add(segment);
    }
    return written;
}

void Slots::recover_dead_writers(std::uint64_t segment) noexcept {
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        // acquire: pairs with claim_and_write
        if (table_[index].segment.load(std::memory_order_acquire) == segment) recover_if_dead(index);
    }
}

bool Slots::is_current(std::uint64_t word) const noexcept {
    const Slot& slot = table_[(word >> 8 & 0xff'ffff) % kSlots];
    // acquire, in this order: a slot that was freed and taken again is seen with its new generation
    const bool taken = slot.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(SlotState::kFree);
    return taken && slot.generation.load(std::memory_order_relaxed) == word >> 32;  // relaxed: by the above
}

Slot* Slots::take(int* failure) noexcept {
    SlotsRegistry::instance().call_at_thread_end();
    const std::lock_guard lock(mutex_);
    return take_locked(failure);
}

Slot* Slots::take_to_look(int* failure) noexcept {
    const std::lock_guard lock(mutex_);
    return take_below(kSlots, failure);
}

void Slots::release(Slot* slot) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase_if(owned_, [&](const Owned& owned) { return owned.slot == slot; });
    release_locked(slot);
}

std::uint32_t Slots::in_use() const noexcept {
    std::uint32_t count = 0;
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        // relaxed: a count of one moment
        count +=
            table_[index].state.load(std::memory_order_relaxed) != static_cast<std::uint32_t>(SlotState::kFree);
    }
    return count;
}

void Slots::release_all_of_this_thread() noexcept {
    SlotsRegistry& registry = SlotsRegistry::instance();
    const std::lock_guard registry_lock(registry.mutex);
    const std::uint64_t thread = this_thread();
    for (Slots* slots : registry.all) {
        const std::lock_guard lock(slots->mutex_);
        for (const Owned& owned : slots->owned_) {
            if (owned.thread == thread) slots->release_locked(owned.slot);
        }
        std::erase_if(slots->owned_, [&](const Owned& owned) { return owned.thread == thread; });
    }
    recent_ = {};
}

void Slots::before_fork() noexcept {
    SlotsRegistry& registry = SlotsRegistry::instance();
    registry.mutex.lock();
    for (Slots* slots : registry.all) slots->mutex_.lock();
}

void Slots::after_fork_in_parent() noexcept {
    SlotsRegistry& registry = SlotsRegistry::instance();
    for (Slots* slots : registry.all) slots->mutex_.unlock();
    registry.mutex.unlock();
}

void Slots::after_fork_in_child() noexcept {
    SlotsRegistry& registry = SlotsRegistry::instance();
    for (Slots* slots : registry.all) {  // the locks are the child's own by now (arena/lock_description.hpp)
        slots->light_fences_ = join_asymmetric_fences();
        slots->owned_.clear();  // the parent's
        slots->is_own_.reset();
        slots->attachment_ = registry.next_attachment.fetch_add(1, std::memory_order_relaxed);
        slots->mutex_.unlock();
    }
    registry.mutex.unlock();
}

}  // namespace shoal
