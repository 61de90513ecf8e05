// This process's part in the arena's process table: a slot for each of its threads, and who is dead.
//
// A slot is taken by locking its byte of the arena file with an open-file-description lock, which the kernel drops
// when the last descriptor of that description is closed, hence at any death. So a slot that says "taken" while
// its byte can be locked belonged to the dead, and whoever holds the lock is the one who recovers it; if that one
// dies too, the lock is free again. Process ids play no part: they are reused, and differ between namespaces.
//
// The table has room for kSlots, of which memory is allocated for the first ones: slots_real of the header. The
// table grows by a chunk when every slot before is in use by a living thread. Memory that a file system has
// allocated is zero and stays, so any number of threads may allocate the same chunk, and one that dies in between
// leaves nothing half-done. A free slot is looked for from slot_hint on, and in the whole table before it grows.
//
// Thread safety: current() from any thread; the rest under the object's own mutex.
// A crash leaves slots "taken" with free locks; whoever meets them recovers them (recover).
// Invariants: I1 a slot's words are written by its owner, or by whoever holds its byte lock while the owner is
// dead; `draining` also by helpers (arena/epoch.hpp);
//             I2 a slot of state kFree holds nothing: no epoch, no source pages, no work under way;
//             I4 a slot below slots_high_water has memory: slots_real is raised before;
//             I3 state, source pages and journal (arena/made.hpp) of a slot name what there is.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include <shoal/error.hpp>

#include "arena/blocks.hpp"
#include "arena/mapping.hpp"

namespace shoal {

// The inode of this process's pid namespace: ids of processes mean something within one. 0 where unknown.
[[nodiscard]] std::uint64_t this_pid_namespace() noexcept;

// The segments that slots name: in which a claim may have been counted, and not be committed.
class WrittenSegments {
public:
    WrittenSegments() noexcept {}  // whose places are not cleared, as they are seldom used
    void add(std::uint64_t segment) noexcept {
        if (count_ < segments_.size()) segments_[count_] = segment;
        ++count_;
    }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    // True for a few others too when there are more than it remembers: who asks looks at their frames then.
    [[nodiscard]] bool may_have(std::uint64_t segment) const noexcept {
        const auto end = segments_.begin() + static_cast<std::ptrdiff_t>(std::min(count_, segments_.size()));
        return count_ > segments_.size() || std::find(segments_.begin(), end, segment) != end;
    }

private:
    std::array<std::uint64_t, 64> segments_;
    std::size_t count_ = 0;
};

class Slots {
public:
    // What the rooms above do for a dead slot before its memory is given back: called with the slot's byte locked.
    using FinishWork = std::function<void(Slot& dead)>;

    Slots(Mapping& mapping, Blocks& blocks);
    ~Slots();  // releases every slot of this object; no thread may be inside an operation
    Slots(const Slots&) = delete;
    Slots& operator=(const Slots&) = delete;

    void on_death(FinishWork finish_work) { finish_work_ = std::move(finish_work); }

    // The calling thread's slot, taken at its first call; null with every slot taken (or no lock to be had:
    // `failure` then is the errno). Valid until the thread ends or the object does.
    [[nodiscard]] Slot* current(int* failure) noexcept {
        const Recent& recent = recent_[attachment_ % recent_.size()];
        if (recent.attachment == attachment_) [[likely]]
            return recent.slot;
        return find_or_take(failure);
    }

    // A slot for no thread in particular (the pins of views). Null as current().
    // The caller holds mutex().
    [[nodiscard]] Slot* take_locked(int* failure) noexcept { return take_below(kSlots - kLookSlots, failure); }
    [[nodiscard]] std::mutex& mutex() noexcept { return mutex_; }

    [[nodiscard]] std::uint32_t number(const Slot& slot) const noexcept { return slot_number_of(*mapping_, slot); }
    [[nodiscard]] Slot& operator[](std::uint32_t slot_number) const noexcept { return table_[slot_number]; }
    [[nodiscard]] std::uint32_t high_water() const noexcept;
    [[nodiscard]] std::uint32_t in_use() const noexcept;

    // Whether somebody lives in the slot, by its lock; our own do.
    [[nodiscard]] bool is_alive(std::uint32_t slot_number) noexcept;

    // Changes when the object is carried into a child by fork: what was taken before is the parent's.
    [[nodiscard]] std::uint64_t attachment() const noexcept { return attachment_; }

    // Whether this process's threads may enter epochs with a light fence (arena/asymmetric_fence.hpp), and whether
    // any thread that is attached does.
    [[nodiscard]] bool has_light_fences() const noexcept { return light_fences_; }
    [[nodiscard]] bool anyone_has_light_fences() const noexcept;

    // Recovers the slot if its owner is dead; true when it did. Blocks never.
    bool recover_if_dead(std::uint32_t slot_number) noexcept;

    // Recovers every slot whose owner is dead. Blocks never. Cost: two system calls at most for each group of slots
    // that another process has side by side, and one for each 64 slots.
    void recover_all_dead() noexcept;
    // Whether a slot, of the living or the dead, says that it may be writing to the segment at that offset.
    [[nodiscard]] bool anyone_writes_to(std::uint64_t segment) const noexcept;

    // Calls visit for what stands in Slot::made of each slot, of the living or
    // the dead, as a segment that is being linked.
    template <class Visit>
    void each_made(Visit&& visit) const {
        for (std::uint32_t index = 0; index < high_water(); ++index) {
            // acquire: pairs with remember_made and forget_made
            const std::uint64_t made = table_[index].made[0].load(std::memory_order_acquire);
            if (made != 0) visit(made);
        }
    }

    // The segments that slots name now, of the living or the dead.
    [[nodiscard]] WrittenSegments written_segments() const noexcept;

    // As recover_if_dead, for those whose slots say that they may be writing to the segment.
    void recover_dead_writers(std::uint64_t segment) noexcept;

    // Whether the slot that the word names, by in_hand(), is taken, and still by the same.
    [[nodiscard]] bool is_current(std::uint64_t word) const noexcept;

    // A slot for no thread in particular, as take_locked(), and its end. Null as current().
    [[nodiscard]] Slot* take(int* failure) noexcept;
    void release(Slot* slot) noexcept;

    // As take(), of all slots: those that are kept for looks too.
    [[nodiscard]] Slot* take_to_look(int* failure) noexcept;

    // The calling thread is ending: releases its slots of all stores.
    static void release_all_of_this_thread() noexcept;

private:
    struct Recent {
        std::uint64_t attachment;
        Slot* slot;
    };
    // By attachment, so that a thread that works with several stores finds each of its slots at once.
    // Constant-initialized and trivially destroyed, so that it may be used in static destructors.
    static inline thread_local constinit std::array<Recent, 8> recent_{};

    [[nodiscard]] Slot* find_or_take(int* failure) noexcept;
    [[nodiscard]] Slot* take_below(std::uint32_t end, int* failure) noexcept;
    void release_locked(Slot* slot) noexcept;
    // A free slot of [begin, end), locked; kSlots where there is none. *cause: an errno of the lock.
    [[nodiscard]] std::uint32_t lock_free_slot(std::uint32_t begin, std::uint32_t end, int* cause) noexcept;
    [[nodiscard]] Slot* take_over(std::uint32_t slot_number) noexcept;
    void sign(Slot& slot, SlotState state) noexcept;
    // Makes room for slots up to `end`. 0 or an errno.
    [[nodiscard]] int grow(std::uint32_t end) noexcept;
    [[nodiscard]] std::uint32_t real_slots() const noexcept;
    void lower_hint(std::uint32_t slot_number) noexcept;
    void recover_all_dead_locked() noexcept;
    [[nodiscard]] std::uint64_t dead_among(std::uint32_t first, std::uint64_t taken) noexcept;
    void recover(Slot& dead) noexcept;
    bool recover_if_dead_locked(std::uint32_t slot_number) noexcept;

    static void before_fork() noexcept;
    static void after_fork_in_parent() noexcept;
    static void after_fork_in_child() noexcept;
    friend class SlotsRegistry;

    struct Owned {
        Slot* slot;
        std::uint64_t thread;  // 0: no thread's
    };

    Mapping* mapping_;
    Blocks* blocks_;
    Slot* table_;
    FinishWork finish_work_;
    std::uint64_t attachment_;
    bool light_fences_;
    std::mutex mutex_;
    std::vector<Owned> owned_;    // guarded by mutex_, as the next: the same slots
    std::bitset<kSlots> is_own_;  // our own byte can be locked again by ourselves
};

// A slot for one look at the store: the thread's own; where no slot is free for the thread, one of those that are
// kept for looks, until the end of this object. So that who and what fills the table can be seen.
class LookSlot {
public:
    explicit LookSlot(Slots& slots) noexcept : slots_(&slots), slot_(slots.current(&failure_)) {
        if (slot_ != nullptr || failure_ != 0) return;
        slot_ = slots.take_to_look(&failure_);
        borrowed_ = slot_ != nullptr;
    }
    LookSlot(const LookSlot&) = delete;
    LookSlot& operator=(const LookSlot&) = delete;
    ~LookSlot() {
        if (borrowed_) slots_->release(slot_);
    }
    [[nodiscard]] Slot* get() const noexcept { return slot_; }
    [[nodiscard]] int failure() const noexcept { return failure_; }  // as of current()

private:
    Slots* slots_;
    int failure_ = 0;
    Slot* slot_;
    bool borrowed_ = false;
};

}  // namespace shoal
