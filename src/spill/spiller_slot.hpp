// The one slot by which a process spills: it owns the file that is written to, has segments in hand, names the
// journals of all batches under way, and is inside the epoch of the oldest of them.
//
// Thread safety: none; the spiller's mutex. A crash: see arena/slots.hpp.
#pragma once

#include "arena/stays.hpp"

namespace shoal {

class SpillerSlot {
public:
    SpillerSlot(Slots& slots, const Epochs& epochs) noexcept : slots_(&slots), epochs_(&epochs) {}
    SpillerSlot(const SpillerSlot&) = delete;
    SpillerSlot& operator=(const SpillerSlot&) = delete;
    ~SpillerSlot() {
        if (is_ours()) slots_->release(slot_);
    }

    // Takes the slot, if it is not there. False where none is to be had.
    [[nodiscard]] bool take() noexcept {
        if (slot_ != nullptr) return true;
        slot_ = slots_->take(nullptr);
        if (slot_ == nullptr) return false;
        slot_->thread_id.store(kSpillerThread, std::memory_order_relaxed);  // relaxed: to show
        attachment_ = slots_->attachment();
        return true;
    }
    // Whether it has been taken, by this process and not by its parent.
    [[nodiscard]] bool is_ours() const noexcept { return slot_ != nullptr && attachment_ == slots_->attachment(); }
    [[nodiscard]] Slot& operator*() const noexcept { return *slot_; }
    [[nodiscard]] Slot* operator->() const noexcept { return slot_; }

    // A batch's stay in an epoch, which is returned; 0 when the store is destroyed.
    [[nodiscard]] std::uint64_t enter() noexcept { return stays_.begin(*epochs_, *slot_); }
    void leave(std::uint64_t epoch) noexcept { stays_.end(*epochs_, *slot_, epoch); }

private:
    Slots* slots_;
    const Epochs* epochs_;
    Slot* slot_ = nullptr;
    std::uint64_t attachment_ = 0;
    Stays stays_;
};

}  // namespace shoal
