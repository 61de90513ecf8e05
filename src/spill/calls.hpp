// How threads that take pages or lack room, and spillers, wake each other: by words of the arena's header, two of
// which are futexes.
//
// A thread that takes pages calls; one that lacks room asks, which is a call too, and sleeps until an answer comes.
// A spiller looks which calls there are, does what there is to do, answers, and sleeps until the next call.
//
// Thread safety: every function, from any process; a Listener is one thread's.
// After a crash of a spiller that was called: threads that wait wake by their time-out, and call the next one.
// Invariants: I1 a call that a spiller's look() has not seen ends the sleep() behind that look;
//             I2 an answer that ask() has not seen ends the wait() behind it; each ask is seen by a look() of each
//                Listener that was made before it.
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

#include "arena/futex.hpp"
#include "arena/layout.hpp"

namespace shoal {

class SpillCalls {
public:
    explicit SpillCalls(ArenaHeader& header) noexcept : header_(&header) {}

    // Memory is running short. Cheap where no spiller sleeps.
    void call() noexcept {
        // seq_cst, both: either we see the sleeper, or its futex sees the new count. release, as part of it: a
        // spiller that sees the count sees what made us call
        header_->spill_calls.fetch_add(1, std::memory_order_seq_cst);
        if (header_->spillers.load(std::memory_order_seq_cst) != 0) futex_wake_all(header_->spill_calls);
    }
    // Wakes all spillers, so that one that is to stop finds out.
    void wake_spillers() noexcept {
        header_->spill_calls.fetch_add(1, std::memory_order_release);  // pairs with look()
        futex_wake_all(header_->spill_calls);
    }

    // There is no room: calls. Then wait() for an answer that has not come yet, by the number that is returned.
    [[nodiscard]] std::uint32_t ask() noexcept {
        const std::uint32_t answers = header_->spill_answers.load(std::memory_order_acquire);  // pairs with answer
        header_->spill_waits.fetch_add(1, std::memory_order_release);                          // pairs with look()
        call();
        return answers;
    }
    void wait(std::uint32_t asked, std::chrono::milliseconds most) noexcept {
        futex_wait(header_->spill_answers, asked, most);
    }
    // There is room, or there can be none.
    void answer() noexcept {
        header_->spill_answers.fetch_add(1, std::memory_order_release);  // pairs with ask()
        futex_wake_all(header_->spill_answers);
    }

    // A spiller's ear: it hears the threads that ask after it was made.
    class Listener {
    public:
        explicit Listener(ArenaHeader& header) noexcept
            : header_(&header),
              waits_(header.spill_waits.load(std::memory_order_relaxed)) {
        }  // relaxed: one more answer, or one less

        // Until stopped(): calls work(whether a thread has asked since the last time), then sleeps until a call
        // comes that work() was not called for, or for as long as work() returned; not at all where that is 0. The
        // look comes before stopped(), so that no sleep misses the call that comes with the stop.
        template <class Stopped, class Work>
        void serve(Stopped&& stopped, Work&& work) {
            for (;;) {
                const bool asked = look();
                if (stopped()) return;
                if (const std::chrono::milliseconds pause = work(asked); pause.count() != 0) sleep(pause);
            }
        }

    private:
        [[nodiscard]] bool look() noexcept {
            // acquire, as part of seq_cst: what made others call is seen by work()
            calls_ = header_->spill_calls.load(std::memory_order_seq_cst);
            const std::uint32_t waits = header_->spill_waits.load(std::memory_order_acquire);  // pairs with ask()
            return std::exchange(waits_, waits) != waits;
        }
        void sleep(std::chrono::milliseconds most) noexcept {
            header_->spillers.fetch_add(1, std::memory_order_seq_cst);  // pairs with call()
            futex_wait(header_->spill_calls, calls_, most);
            header_->spillers.fetch_sub(1, std::memory_order_relaxed);  // relaxed: one too many costs a system call
        }

        ArenaHeader* header_;
        std::uint32_t waits_;
        std::uint32_t calls_ = 0;
    };

private:
    ArenaHeader* header_;
};

}  // namespace shoal
