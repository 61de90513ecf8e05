#include "arena/pins.hpp"

namespace shoal {

Pins::Ticket Pins::add(int* failure) {
    const std::lock_guard lock(slots_->mutex());
    if (attachment_ != slots_->attachment()) {  // the first, or the first in a child that was forked
        slot_ = slots_->take_locked(failure);
        if (slot_ == nullptr) return {};
        slot_->thread_id.store(kViewsThread, std::memory_order_relaxed);  // relaxed: to show
        attachment_ = slots_->attachment();
        stays_.forget();
    }
    const std::uint64_t epoch = stays_.begin(*epochs_, *slot_);
    if (epoch == 0) return {0, 0, true};
    return {attachment_, epoch, false};
}

void Pins::remove(const Ticket& ticket) noexcept {
    const std::lock_guard lock(slots_->mutex());
    // The parent's, seen from a child: also before the child has made a pin of its own.
    if (ticket.attachment != slots_->attachment() || ticket.attachment != attachment_) return;
    stays_.end(*epochs_, *slot_, ticket.epoch);
}

}  // namespace shoal
