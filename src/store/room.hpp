// What an append does when it finds no room: another try, as long as one is worth it.
//
// Thread safety: one thread's.
#pragma once

#include <chrono>
#include <vector>

#include "store/impl.hpp"

namespace shoal {

class RoomWait {
public:
    explicit RoomWait(StoreImpl& store) noexcept : store_(store) {}

    // After an outcome that is not kAppended, outside of every epoch: frees what can be freed, or waits: for
    // threads that keep retired memory from reuse, and for spillers, which it calls once at least. As long as
    // StoreImpl::patience() says, since the first time. False: no_memory() says why there is no room.
    [[nodiscard]] bool again(AppendOutcome outcome);
    // Something went well meanwhile: all begins anew.
    void reset() noexcept { tried_ = 0; }

private:
    static constexpr int kTries = 3;

    [[nodiscard]] bool again_in_memory(bool may_wait);
    [[nodiscard]] bool again_by_spilling(std::chrono::milliseconds left);
    // Whether a thread keeps the same memory from reuse as at the try before.
    [[nodiscard]] bool is_kept();

    StoreImpl& store_;
    int tried_ = 0;
    std::uint64_t last_epoch_ = 0;  // when no room was last found
    int moved_ = 0;                 // how often it was another one by then, and no memory was kept meanwhile
    std::vector<StoreImpl::Holder> holders_;  // at the last try
    bool called_ = false;                     // spillers, since the first time
    std::uint32_t failures_ = 0;              // of spillers, when we began
    std::chrono::steady_clock::time_point begun_;
};

}  // namespace shoal
