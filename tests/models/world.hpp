// What a model runs in: Relacy's threads and memory, deaths, and the kernel's locks. world.cpp alone knows Relacy.
//
// A model is a few threads, each a process of its own, on one arena. run() tries many interleavings; in each of
// them a load may give any value that its memory order allows, not just the last.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>

namespace shoal::model {

// --- operations on the model's memory ---

struct Word {
    const void* address;
    std::uint64_t first;  // its value at the beginning
};

std::uint64_t load(Word word, std::memory_order order, const std::source_location& where) noexcept;
void store(Word word, std::uint64_t value, std::memory_order order, const std::source_location& where) noexcept;
std::uint64_t change(Word word, std::uint64_t (*of)(const void* change, std::uint64_t old) noexcept,
                     const void* change, std::memory_order order, const std::source_location& where) noexcept;
bool compare_exchange(Word word, std::uint64_t* expected, std::uint64_t value, bool weak, std::memory_order success,
                      std::memory_order failure, const std::source_location& where) noexcept;
void fence(std::memory_order order, const std::source_location& where) noexcept;

// As the kernel's futex, but without time-outs: sleep() returns when the word's last value is not `seen`, and else
// when wake_all() is called for its address. Where every thread that has not ended sleeps, the model has failed.
void sleep(Word word, std::uint64_t seen) noexcept;
void wake_all(const void* address) noexcept;

// Stores 0, relaxed, to each word in there that was ever used.
void zero_words(const void* begin, std::size_t bytes) noexcept;

// --- what models are made of ---

class Model {
public:
    Model() = default;
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;
    virtual ~Model() = default;
    virtual void thread(unsigned number) = 0;  // several interleave
    virtual void after() {}                    // when all are done, and sees all that they did
};

// Lets the other threads do up to that many operations: random, so that what this thread does next falls anywhere.
void idle(unsigned steps) noexcept;

// Ends the interleaving, and the model has failed.
void expect(bool holds, const char* what) noexcept;

[[nodiscard]] unsigned random(unsigned limit) noexcept;  // below limit; another one in each interleaving

// Runs body, as a process that may be killed before any of its first `steps` operations. False when it was: nothing
// is unwound, its locks are released.
bool run_mortal(unsigned steps, const std::function<void()>& body);
[[nodiscard]] bool is_dead(unsigned process) noexcept;  // from its death on, before its locks are released

// Runs body, as a process that is stopped before one of its first `steps` operations, while the others do up to
// `length` of theirs, and goes on then.
void run_stopped(unsigned steps, unsigned length, const std::function<void()>& body);

// The process that the calling thread is, and what the kernel does at its death (byte_lock.cpp).
[[nodiscard]] unsigned current_process() noexcept;
void release_locks(unsigned process) noexcept;

// In the constructor and in after(), where no thread runs: does it as that process.
void as_process(unsigned process, const std::function<void()>& body);

// Each fetch_or of that function to words in there sets a bit that was not set, or the model has failed.
void watch_bits(const void* begin, std::size_t bytes, const char* function, const char* what) noexcept;

// Memory that a file does not have at first, in chunks: an operation there fails the model, unless its thread is
// sure to see the make_real() of that chunk.
void watch_holes(const void* begin, std::size_t chunks, std::size_t chunk_bytes, const char* what) noexcept;
void make_real(const void* begin, std::size_t bytes) noexcept;

// A name for the word, to be seen in histories and to be told by mutants.
void name(const void* address, const char* name) noexcept;

// --- running them ---

enum class Kind : std::uint8_t { kLoad, kStore, kChange, kExchangeIf, kFence };

enum class Change : std::uint8_t {
    kOrder,      // their memory order is Mutant::to
    kLeftOut,    // they are not done, and say that they were; a load gives what its thread's last load gave
    kUnchecked,  // an exchange takes place whatever the word is
};

// One step of the sources, changed: operations of that kind and order in that function, on the word of that name if
// one is given.
struct Mutant {
    std::string_view function;  // as in "Epochs::enter"
    Kind kind;
    std::memory_order from;
    std::memory_order to = std::memory_order_relaxed;
    std::string_view word = {};
    Change change = Change::kOrder;
};

// The step is left out; the exchange takes place whatever the word is.
[[nodiscard]] constexpr Mutant left_out(std::string_view function, Kind kind, std::memory_order order,
                                        std::string_view word = {}) noexcept {
    return {function, kind, order, order, word, Change::kLeftOut};
}
[[nodiscard]] constexpr Mutant unchecked(std::string_view function, std::memory_order order,
                                         std::string_view word = {}) noexcept {
    return {function, Kind::kExchangeIf, order, order, word, Change::kUnchecked};
}

struct Outcome {
    bool passed = false;
    std::string failure;
    std::uint64_t interleavings = 0;  // until it failed, or all
    std::uint64_t mutated = 0;        // operations that were changed
    std::string history;              // of the one that failed
};

using Factory = std::function<std::unique_ptr<Model>()>;

// Interleavings begin at number `first`: each number is one, the same each time.
[[nodiscard]] Outcome run(unsigned threads, const Factory& make, std::uint64_t interleavings,
                          const Mutant* mutant = nullptr, std::uint64_t first = 1);

}  // namespace shoal::model
