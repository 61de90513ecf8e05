// What an append does when it finds no room: another try, as long as one is worth it.
//
// Thread safety: one thread's.
#pragma once

#include <chrono>

#include "store/impl.hpp"

namespace shoal {

class RoomWait {
public:
    explicit RoomWait(StoreImpl& store) noexcept : store_(store) {}

    // After an outcome that is not kAppended, outside of every epoch: frees what can be freed, or waits for
    // spillers, up to Options::room_wait_ms since the first time, and calls them once at least. False: no_memory()
    // says why there is no room.
    [[nodiscard]] bool again(AppendOutcome outcome);
    // Something went well meanwhile: all begins anew.
    void reset() noexcept { tried_ = 0; }

private:
    static constexpr int kTries = 3;

    StoreImpl& store_;
    int tried_ = 0;
    bool called_ = false;         // spillers, since the first time
    std::uint32_t failures_ = 0;  // of spillers, when we began
    std::chrono::steady_clock::time_point begun_;
};

}  // namespace shoal
