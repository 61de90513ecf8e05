// Stands in for src/arena/atomic.hpp in models: an Atomic has the size and the operations of std::atomic, and its
// value lives in the model's memory (world.hpp), which remembers older values and who may still see them.
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>

#include "world.hpp"

#define SHOAL_RACES_ON_PURPOSE

namespace shoal {

template <class T>
class Atomic {
public:
    using Where = std::source_location;
    using Order = std::memory_order;

    constexpr Atomic() noexcept : first_{} {}
    constexpr Atomic(T value) noexcept : first_(value) {}
    Atomic(const Atomic&) = delete;
    Atomic& operator=(const Atomic&) = delete;

    [[nodiscard]] T load(Order order, const Where& where = Where::current()) const noexcept {
        return static_cast<T>(model::load(word(), order, where));
    }
    void store(T value, Order order, const Where& where = Where::current()) noexcept {
        model::store(word(), value, order, where);
    }
    T exchange(T value, Order order, const Where& where = Where::current()) noexcept {
        return change([value](T) { return value; }, order, where);
    }
    T fetch_add(T value, Order order, const Where& where = Where::current()) noexcept {
        return change([value](T old) { return static_cast<T>(old + value); }, order, where);
    }
    T fetch_sub(T value, Order order, const Where& where = Where::current()) noexcept {
        return change([value](T old) { return static_cast<T>(old - value); }, order, where);
    }
    T fetch_and(T value, Order order, const Where& where = Where::current()) noexcept {
        return change([value](T old) { return static_cast<T>(old & value); }, order, where);
    }
    T fetch_or(T value, Order order, const Where& where = Where::current()) noexcept {
        return change([value](T old) { return static_cast<T>(old | value); }, order, where);
    }
    bool compare_exchange_strong(T& expected, T value, Order success, Order failure,
                                 const Where& where = Where::current()) noexcept {
        return exchange_if(expected, value, false, success, failure, where);
    }
    bool compare_exchange_weak(T& expected, T value, Order success, Order failure,
                               const Where& where = Where::current()) noexcept {
        return exchange_if(expected, value, true, success, failure, where);
    }

private:
    [[nodiscard]] model::Word word() const noexcept { return {this, static_cast<std::uint64_t>(first_)}; }

    template <class Change>
    T change(const Change& of, Order order, const Where& where) noexcept {
        const auto erased = [](const void* change, std::uint64_t old) noexcept {
            return static_cast<std::uint64_t>((*static_cast<const Change*>(change))(static_cast<T>(old)));
        };
        return static_cast<T>(model::change(word(), erased, &of, order, where));
    }
    bool exchange_if(T& expected, T value, bool weak, Order success, Order failure, const Where& where) noexcept {
        std::uint64_t found = expected;
        const bool done = model::compare_exchange(word(), &found, value, weak, success, failure, where);
        expected = static_cast<T>(found);
        return done;
    }

    T first_;  // what the model's memory begins with
};

inline void thread_fence(std::memory_order order,
                         const std::source_location& where = std::source_location::current()) noexcept {
    model::fence(order, where);
}

using AtomicWord = Atomic<std::uint64_t>;

static_assert(sizeof(AtomicWord) == 8 && alignof(AtomicWord) == 8, "offsets must mean the same as in the library");
static_assert(sizeof(Atomic<std::uint8_t>) == 1, "offsets must mean the same as in the library");

}  // namespace shoal
