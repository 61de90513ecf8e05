#include "arena/pins.hpp"

namespace shoal {

Pins::Ticket Pins::add(int* failure) {
    const std::lock_guard lock(slots_->mutex());
    if (attachment_ != slots_->attachment()) {  // the first, or the first in a child that was forked
        slot_ = slots_->take_locked(failure);
        if (slot_ == nullptr) return {};
        slot_->thread_id.store(kViewsThread, std::memory_order_relaxed);  // relaxed: to show
        attachment_ = slots_->attachment();
        count_.clear();
    }
    if (count_.empty()) {
        if (!epochs_->enter(*slot_)) return {0, 0, true};
    } else if (epochs_->destroyed()) {
        return {0, 0, true};
    }
    // The slot has been inside without a break since its oldest pin, which protects all that is read from now on.
    const std::uint64_t now = count_.empty() ? slot_->epoch.load(std::memory_order_relaxed) : epochs_->current();
    // Pairs with the fence in retire(): what is unlinked after our reads is retired in no earlier epoch than `now`.
    thread_fence(std::memory_order_seq_cst);
    ++count_[now];  // relaxed above: our own slot
    return {attachment_, now, false};
}

void Pins::remove(const Ticket& ticket) noexcept {
    const std::lock_guard lock(slots_->mutex());
    // The parent's, seen from a child: also before the child has made a pin of its own.
    if (ticket.attachment != slots_->attachment() || ticket.attachment != attachment_) return;
    const auto pin = count_.find(ticket.epoch);
    if (pin == count_.end()) return;
    if (--pin->second == 0) count_.erase(pin);
    if (count_.empty()) {
        epochs_->leave(*slot_);
    } else {
        slot_->epoch.store(count_.begin()->first,
                           std::memory_order_release);  // pairs with the acquire in advance()
    }
}

}  // namespace shoal
