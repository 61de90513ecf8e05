// Pins: what keeps the memory under views from reuse, beyond the call that made them.
//
// All pins of a process share one slot of the process table, whose epoch is that of the oldest: thousands of views
// cost one slot. A view that lives long holds back reuse, never progress.
//
// Thread safety: every function, under the mutex of Slots, which fork holds too. A crash frees the slot, as any
// other.
#pragma once

#include <cstdint>

#include "arena/stays.hpp"

namespace shoal {

class Pins {
public:
    Pins(Slots& slots, Epochs& epochs) : slots_(&slots), epochs_(&epochs) {}

    struct Ticket {
        std::uint64_t attachment = 0;  // 0: no pin was to be had
        std::uint64_t epoch = 0;
        bool destroyed = false;  // why not: the store is destroyed (else no slot is free)
    };
    // What is reachable from now on stays readable until remove(ticket).
    [[nodiscard]] Ticket add(int* failure);
    void remove(const Ticket& ticket) noexcept;

private:
    Slots* slots_;
    Epochs* epochs_;
    Slot* slot_ = nullptr;          // guarded by slots_->mutex(), as all below
    std::uint64_t attachment_ = 0;  // under which slot_ was taken
    Stays stays_;                   // one for each pin
};

}  // namespace shoal
