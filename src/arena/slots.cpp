#include "arena/slots.hpp"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "arena/asymmetric_fence.hpp"
#include "arena/byte_lock.hpp"
#include "arena/crash_point.hpp"

namespace shoal {

// The Slots of this process, for the ends of threads and for fork. Never destroyed: threads may outlive statics.
class SlotsRegistry {
public:
    static SlotsRegistry& instance() {
        static SlotsRegistry* const registry = new SlotsRegistry;
        return *registry;
    }

    void add(Slots* slots, Mapping& mapping) {
        const std::lock_guard lock(mutex);
        all.push_back(slots);
        // A child forked before this line keeps the old description, which has no lock any more after it; one
        // forked later goes through after_fork_in_child.
        mapping.reopen(Mapping::Before::kOurs);
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
    SlotsRegistry::instance().add(this, mapping);
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

Slot* Slots::take_locked(int* failure) noexcept {
    if (failure != nullptr) *failure = 0;
    for (std::uint32_t turn = 0; turn < 2 * kSlots; ++turn) {  // the free ones first, then those of the dead
        const std::uint32_t index = turn % kSlots;
        Slot& slot = table_[index];
        // Our own bytes can be locked again by ourselves: the list says which those are.
        const auto is_this = [&](const Owned& owned) { return owned.slot == &slot; };
        if (std::any_of(owned_.begin(), owned_.end(), is_this)) continue;
        const bool looks_free =  // relaxed: looked at again under the lock
            slot.state.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(SlotState::kFree);
        if (turn < kSlots && !looks_free) continue;
        const int error = try_lock_byte(mapping_->descriptor(), byte_of(index));
        if (error == EAGAIN || error == EACCES) continue;  // somebody lives there
        if (error != 0) {
            if (failure != nullptr) *failure = error;
            return nullptr;
        }
        crash_point(CrashPoint::kSlotLocked);
        // acquire: pairs with the release in release_locked; its last owner's words are final
        if (slot.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(SlotState::kFree)) {
            recover(slot, nullptr);
        }
        // relaxed: we hold the byte lock, and others read these to show them
        slot.generation.store(slot.generation.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        slot.attachment = attachment_;
        slot.process_id.store(::getpid(), std::memory_order_relaxed);
        slot.thread_id.store(::syscall(SYS_gettid), std::memory_order_relaxed);
        slot.pid_namespace.store(this_pid_namespace(), std::memory_order_relaxed);
        slot.light_fences.store(light_fences_ ? 1 : 0, std::memory_order_relaxed);
        slot.state.store(static_cast<std::uint32_t>(SlotState::kTaken), std::memory_order_release);
        crash_point(CrashPoint::kSlotTaken);
        Atomic<std::uint32_t>& mark = mapping_->header().slots_high_water;
        std::uint32_t high = mark.load(std::memory_order_relaxed);
        // seq_cst: stands before our first epoch in the one order that an advancing epoch reads it in; a failed
        // turn means that another raised it
        while (high < index + 1 &&
               !mark.compare_exchange_weak(high, index + 1, std::memory_order_seq_cst, std::memory_order_relaxed)) {
        }
        owned_.push_back({&slot, 0});
        return &slot;
    }
    return nullptr;
}

void Slots::release_locked(Slot* slot) noexcept {
    blocks_->give_back_sources(*slot);
    crash_point(CrashPoint::kSlotSourcesBack);
    slot->epoch.store(0, std::memory_order_release);  // pairs with the acquire of an advancing epoch
    slot->state.store(static_cast<std::uint32_t>(SlotState::kFree), std::memory_order_release);
    crash_point(CrashPoint::kSlotFree);
    unlock_byte(mapping_->descriptor(), byte_of(number(*slot)));
}

void Slots::recover(Slot& dead, Slot* own) noexcept {
    // Idempotent, as this process may die here too. The epoch goes last: until then it protects what the dead held.
    crash_point(CrashPoint::kRecoveryBegun);
    if (finish_work_) finish_work_(dead, own != nullptr ? *own : dead);
    crash_point(CrashPoint::kDeadWorkFinished);
    blocks_->give_back_sources(dead);
    crash_point(CrashPoint::kDeadSourcesBack);
    dead.epoch.store(0, std::memory_order_release);  // pairs with the acquire of an advancing epoch
    crash_point(CrashPoint::kDeadEpochLeft);
    dead.state.store(static_cast<std::uint32_t>(SlotState::kFree), std::memory_order_release);
}

bool Slots::recover_if_dead(std::uint32_t slot_number, Slot& own) noexcept {
    const std::lock_guard lock(mutex_);
    return recover_if_dead_locked(slot_number, &own);
}

void Slots::recover_all_dead() noexcept {
    const std::lock_guard lock(mutex_);
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        // relaxed: looked at again under the lock
        if (table_[index].state.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(SlotState::kTaken)) {
            static_cast<void>(recover_if_dead_locked(index, nullptr));
        }
    }
}

bool Slots::recover_if_dead_locked(std::uint32_t slot_number, Slot* own) noexcept {
    Slot& slot = table_[slot_number];
    const auto is_this = [&](const Owned& owned) { return owned.slot == &slot; };
    if (std::any_of(owned_.begin(), owned_.end(), is_this)) return false;
    if (try_lock_byte(mapping_->descriptor(), byte_of(slot_number)) != 0) return false;
    const bool dead = slot.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(SlotState::kFree);
    if (dead) recover(slot, own);
    crash_point(CrashPoint::kDeadSlotFree);
    unlock_byte(mapping_->descriptor(), byte_of(slot_number));
    return dead;
}

bool Slots::is_alive(std::uint32_t slot_number) noexcept {
    const std::lock_guard lock(mutex_);
    const auto is_this = [&](const Owned& owned) { return owned.slot == &table_[slot_number]; };
    if (std::any_of(owned_.begin(), owned_.end(), is_this)) return true;
    return is_locked(mapping_->descriptor(), byte_of(slot_number), 1);
}

std::uint32_t Slots::high_water() const noexcept {
    const std::uint32_t mark =
        mapping_->header().slots_high_water.load(std::memory_order_seq_cst);  // see take_locked
    return std::min(mark, kSlots);
}

bool Slots::anyone_has_light_fences() const noexcept {
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        const Slot& slot = table_[index];
        // acquire: pairs with take_locked. Who takes a slot after this look can be missed by one advance, not by
        // two.
        if (slot.state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(SlotState::kTaken) &&
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

void Slots::recover_dead_writers(std::uint64_t segment, Slot& own) noexcept {
    for (std::uint32_t index = 0; index < high_water(); ++index) {
        // acquire: pairs with claim_and_write
        if (table_[index].segment.load(std::memory_order_acquire) == segment) recover_if_dead(index, own);
    }
}

bool Slots::is_current(std::uint64_t word) const noexcept {
    const Slot& slot = table_[(word >> 8 & 0xff'ffff) % kSlots];
    // acquire, in this order: a slot that was freed and taken again is seen with its new generation
    const bool taken = slot.state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(SlotState::kTaken);
    return taken && slot.generation.load(std::memory_order_relaxed) == word >> 32;  // relaxed: by the above
}

Slot* Slots::take(int* failure) noexcept {
    SlotsRegistry::instance().call_at_thread_end();
    const std::lock_guard lock(mutex_);
    return take_locked(failure);
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
            table_[index].state.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(SlotState::kTaken);
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
    for (Slots* slots : registry.all) {
        slots->mapping_->reopen(Mapping::Before::kParents);
        slots->light_fences_ = join_asymmetric_fences();
        slots->owned_.clear();  // the parent's
        slots->attachment_ = registry.next_attachment.fetch_add(1, std::memory_order_relaxed);
        slots->mutex_.unlock();
    }
    registry.mutex.unlock();
}

}  // namespace shoal
