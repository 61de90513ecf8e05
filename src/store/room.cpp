#include "store/room.hpp"

#include <algorithm>
#include <utility>

#include "store/waiting.hpp"

namespace shoal {
namespace {

// In a store without files: as often as that an append may find that others have taken what came free, before the
// store is called full. Of epochs others move a hundred while a thread waits for a processor.
constexpr int kMostMoved = 64;

}  // namespace

bool RoomWait::again(AppendOutcome outcome) {
    if (outcome == AppendOutcome::kDamaged) return false;
    if (store_.mapping_.descriptor() < 0) return false;  // no room can be made real, whatever becomes free
    if (store_.lost_arena()) return false;
    const Waiting waiting(store_.wait_hooks_);
    const auto now = std::chrono::steady_clock::now();
    if (tried_++ == 0) {
        begun_ = now;
        last_epoch_ = store_.epochs_.current();
        moved_ = 0;
        failures_ = store_.spiller_.failures();
        called_ = false;
        holders_.clear();
    }
    const auto left = store_.patience() - std::chrono::floor<std::chrono::milliseconds>(now - begun_);
    const bool spills = store_.spiller_.enabled();
    if (spills ? again_by_spilling(left) : again_in_memory(left > std::chrono::milliseconds(0))) return true;
    store_.give_up();
    return false;
}

bool RoomWait::again_in_memory(bool may_wait) {
    const bool freed = store_.make_room();
    const std::uint64_t epoch = store_.epochs_.current();
    const bool moved = std::exchange(last_epoch_, epoch) != epoch;
    // What a thread has kept since the try before is not what others took: it may wait for a processor.
    const bool kept = is_kept();
    moved_ += moved && !kept ? 1 : 0;
    // Others may have freed everything since this append found no room.
    if (tried_ == 1 && !store_.epochs_.has_retired()) return true;
    if (tried_ < kTries) return freed || moved || may_wait;
    if (kept) return may_wait;
    // Perhaps others take what comes free each time, or it is none of use, as a page that this append itself has
    // taken.
    return moved_ < kMostMoved && (moved || may_wait);
}

bool RoomWait::is_kept() {
    std::vector<StoreImpl::Holder> now = store_.holders();
    const bool kept = std::any_of(now.begin(), now.end(), [this](const StoreImpl::Holder& holder) {
        return std::find(holders_.begin(), holders_.end(), holder) != holders_.end();
    });
    holders_ = std::move(now);
    return kept;
}

bool RoomWait::again_by_spilling(std::chrono::milliseconds left) {
    Spiller& spiller = store_.spiller_;
    const bool may_wait = left > std::chrono::milliseconds(0);
    // What spillers free comes back by epochs, as everything does. It is room too where the arena's file system has
    // less of it than the limit. Perhaps others take it each time, or it is none of use: then the time runs out.
    if (store_.make_room() && (may_wait || tried_ < kTries)) return true;
    if ((called_ && !may_wait) || spiller.failures() - failures_ >= kTries) return false;
    called_ = true;
    tried_ = 1;  // what they free is worth as many tries
    spiller.wait_for_room(std::max(left, std::chrono::milliseconds(0)));
    return true;
}

}  // namespace shoal
