// A look at the arena by a process that only reads it (Options::read_only): without a slot, and so outside of every
// epoch. It reads first, and asks afterwards whether what it has read can have been freed meanwhile.
//
//   Glance glance(mapping);
//   … reads, follows, copies …
//   glance.holds()      nothing that was reachable since the beginning has been freed yet: what was copied is right
//
// Why that holds. The glance begins with a look at the epoch, e. What it reaches from then on is unlinked later,
// and so retired in an epoch r >= e (epoch I1: as for a thread that enters, the retirer reads the epoch behind its
// unlink, with a full fence between). What is retired in r is freed in epoch r + 2 at the earliest: a drainer, and
// a spiller that frees the blocks of a batch, has seen the epoch at r + 2 before it writes to that memory. So as
// long as the epoch is e or e + 1 nothing is freed. A reader that has seen a byte that was written after that sees
// the epoch that the writer had seen: its acquire fence stands between the two loads.
//
// Nothing is followed that may be no address: Mapping::at asks holds() for each offset that was loaded in a glance,
// and gives zero memory of this process's own once it does not hold. Freed memory that was real stays real, so no
// load allocates a page of the tmpfs.
//
// A glance of more than one epoch: renew() begins anew where the caller finds, in the new glance, what it is at
// still linked while the old one holds.
//
// Thread safety: an object is one thread's, and a thread has one at a time. It writes nothing to the arena and
// waits for nothing; nothing in the arena waits for it. A crash leaves nothing. Invariants: I1 while holds(), each
// object that was linked at a moment since the beginning is as its owners left it;
//             I2 an offset that was loaded in a glance becomes an address only if the glance held after the load.
#pragma once

#include <atomic>
#include <cstdint>

#include "arena/atomic.hpp"
#include "arena/mapping.hpp"

namespace shoal {

class Glance {
public:
    explicit Glance(const Mapping& mapping) noexcept : mapping_(&mapping) { Mapping::glance_epoch_ = begin(); }
    Glance(const Glance&) = delete;
    Glance& operator=(const Glance&) = delete;
    ~Glance() { Mapping::glance_epoch_ = 0; }

    [[nodiscard]] bool destroyed() const noexcept { return (Mapping::glance_epoch_ & kDestroyedBit) != 0; }
    [[nodiscard]] bool holds() const noexcept { return mapping_->glance_holds(); }

    // Makes the glance last longer where the epoch has moved on: `is_linked` looks whether all that the caller goes
    // on to read is reachable. False where the glance does not hold any more; it may hold where it was not renewed.
    template <class IsLinked>
    [[nodiscard]] bool renew(IsLinked&& is_linked) noexcept {
        const std::uint64_t next = begin();
        if (next == Mapping::glance_epoch_) return holds();
        const bool linked = is_linked();
        if (!holds()) return false;  // of the old one, after that look: it was at the same objects (I1)
        if (linked) Mapping::glance_epoch_ = next;
        return true;
    }

private:
    [[nodiscard]] std::uint64_t begin() const noexcept {
        // acquire, and a full fence: before the first look at what may be retired, as of Epochs::enter
        const std::uint64_t epoch = mapping_->header().epoch.load(std::memory_order_acquire);
        thread_fence(std::memory_order_seq_cst);
        return epoch;
    }

    const Mapping* mapping_;
};

}  // namespace shoal
