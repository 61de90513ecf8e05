#include "world.hpp"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <sstream>
#include <unordered_map>

#include <relacy/relacy.hpp>
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace shoal::model {
namespace {

constexpr unsigned kMostThreads = 4;

struct Cell {
    rl::atomic_data* data = nullptr;
    std::uint64_t value = 0;  // the last
    std::array<std::uint64_t, rl::atomic_history_size> values{};
    const char* name = "";
};

struct Thread {
    unsigned steps_to_live = 0;  // 0: it is not to die
    std::jmp_buf end;
    unsigned steps_to_stop = 0;  // 0: it is not to be stopped
    unsigned stopped_for = 0;
    std::uint64_t last_loaded = 0;
    const void* asleep_on = nullptr;
};

constexpr std::size_t kMostChunks = 16;

// What one interleaving has, and what a run has.
struct World {
    std::unordered_map<const void*, Cell> cells;
    std::array<Thread, kMostThreads> threads;
    std::array<unsigned, kMostThreads> process_of_thread{};
    std::array<bool, kMostThreads> is_dead{};  // by process
    unsigned running = 0;                      // threads that have not ended
    void (*forget_seen)(rl::atomic_data* data) = nullptr;

    struct {
        const std::byte* begin = nullptr;
        std::size_t bytes = 0;
        const char* function = "";
        const char* what = "";
    } watched;

    struct {
        const std::byte* begin = nullptr;
        std::size_t chunks = 0;
        std::size_t chunk_bytes = 1;
        const char* what = "";
        std::array<std::uint32_t, kMostChunks> real{};  // their places are words of the model's memory
    } holes;

    const Factory* make = nullptr;
    const Mutant* mutant = nullptr;
    std::unordered_map<const char*, bool> is_mutated;  // by function
    std::uint64_t mutated = 0;
    std::string failure;
};
World world;

rl::context& context() { return rl::ctx(); }

rl::debug_info info_of(const std::source_location& where) {
    return {where.function_name(), where.file_name(), where.line()};
}

// Relacy's own counters leave these as they were; nobody has seen a fresh word yet.
template <int threads>
void forget_seen(rl::atomic_data* data) {
    for (auto& record : static_cast<rl::atomic_data_impl<threads>*>(data)->history_) {
        for (rl::timestamp_t& seen : record.first_seen_order_) seen = static_cast<rl::timestamp_t>(-1);
    }
}

Cell& cell_of(Word word) {
    const auto [place, fresh] = world.cells.try_emplace(word.address);
    Cell& cell = place->second;
    if (cell.data == nullptr) {
        cell.data = context().atomic_ctor(&cell);
        world.forget_seen(cell.data);
        cell.value = word.first;
        cell.values[context().threadx_->atomic_init(cell.data)] = word.first;
    }
    return cell;
}

struct Event {
    const char* what;
    const char* name;  // of the cell, which may be gone when this is printed
    const void* address;
    std::uint64_t before;
    std::uint64_t after;
    std::memory_order order;

    void output(std::ostream& out) const {
        constexpr std::array kOrders{"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
        out << what << ' ' << name << " [" << address << "] " << std::hex << before << " -> " << after << std::dec
            << ' ' << kOrders[static_cast<std::size_t>(order)];
    }
};

void log(const Event& event, const std::source_location& where) {
    if (context().collecting_history()) context().exec_log(info_of(where), event);
}

struct FenceEvent {
    std::memory_order order;
    void output(std::ostream& out) const { out << "fence " << static_cast<int>(order); }
};

bool is_watched(const void* address, const std::source_location& where) {
    const auto* at = static_cast<const std::byte*>(address);
    return at >= world.watched.begin && at < world.watched.begin + world.watched.bytes &&
           std::string_view(where.function_name()).find(world.watched.function) != std::string_view::npos;
}

// The mutant, where it is about this operation.
const Mutant* mutant_of(std::memory_order order, Kind kind, const Cell* cell, const std::source_location& where) {
    if (world.mutant == nullptr || world.mutant->kind != kind || world.mutant->from != order) return nullptr;
    if (!world.mutant->word.empty() && (cell == nullptr || world.mutant->word != cell->name)) return nullptr;
    const auto [place, fresh] = world.is_mutated.try_emplace(where.function_name());
    if (fresh) {
        const std::string wanted = std::string(world.mutant->function) + '(';
        place->second = std::string_view(where.function_name()).find(wanted) != std::string_view::npos;
    }
    if (!place->second) return nullptr;
    ++world.mutated;
    return world.mutant;
}

std::memory_order order_with(const Mutant* mutant, std::memory_order order) {
    return mutant != nullptr && mutant->change == Change::kOrder ? mutant->to : order;
}
bool is_left_out(const Mutant* mutant) { return mutant != nullptr && mutant->change == Change::kLeftOut; }
bool is_unchecked(const Mutant* mutant) { return mutant != nullptr && mutant->change == Change::kUnchecked; }

unsigned this_thread() { return static_cast<unsigned>(context().threadx_->index_); }

// Before each operation.
void step() {
    Thread& thread = world.threads[this_thread()];
    if (thread.steps_to_stop != 0 && --thread.steps_to_stop == 0) idle(thread.stopped_for);
    if (thread.steps_to_live == 0 || --thread.steps_to_live != 0) return;
    std::longjmp(thread.end, 1);
}

Word real_word_of(std::size_t chunk) { return {&world.holes.real[chunk], 0}; }

void look_for_hole(const void* address) {
    const auto at = static_cast<std::size_t>(static_cast<const std::byte*>(address) - world.holes.begin);
    if (world.holes.begin == nullptr || at / world.holes.chunk_bytes >= world.holes.chunks) return;
    const std::uint64_t real = load(real_word_of(at / world.holes.chunk_bytes), std::memory_order_relaxed,
                                    std::source_location::current());
    expect(real == 1, world.holes.what);
}

unsigned write(rl::atomic_data* data, std::memory_order order) {
    rl::thread_info_base& thread = *context().threadx_;
    switch (order) {
        case std::memory_order_relaxed:
            return thread.atomic_store_relaxed(data);
        case std::memory_order_seq_cst:
            return thread.atomic_store_seq_cst(data);
        default:
            return thread.atomic_store_release(data);
    }
}

unsigned read(rl::atomic_data* data, std::memory_order order) {
    rl::thread_info_base& thread = *context().threadx_;
    switch (order) {
        case std::memory_order_relaxed:
            return thread.atomic_load_relaxed(data);
        case std::memory_order_seq_cst:
            return thread.atomic_load_seq_cst(data);
        default:
            return thread.atomic_load_acquire(data);
    }
}

unsigned read_and_write(rl::atomic_data* data, std::memory_order order) {
    rl::thread_info_base& thread = *context().threadx_;
    bool seen_anew = false;
    switch (order) {
        case std::memory_order_relaxed:
            return thread.atomic_rmw_relaxed(data, seen_anew);
        case std::memory_order_consume:
        case std::memory_order_acquire:
            return thread.atomic_rmw_acquire(data, seen_anew);
        case std::memory_order_release:
            return thread.atomic_rmw_release(data, seen_anew);
        case std::memory_order_acq_rel:
            return thread.atomic_rmw_acq_rel(data, seen_anew);
        case std::memory_order_seq_cst:
            break;
    }
    return thread.atomic_rmw_seq_cst(data, seen_anew);
}

void read_last(rl::atomic_data* data, std::memory_order order) {
    rl::thread_info_base& thread = *context().threadx_;
    switch (order) {
        case std::memory_order_relaxed:
            thread.atomic_load_relaxed_rmw(data);
            break;
        case std::memory_order_seq_cst:
            thread.atomic_load_seq_cst_rmw(data);
            break;
        default:
            thread.atomic_load_acquire_rmw(data);
    }
}

// Relacy counts what is allocated while it runs; what this process keeps for itself is not its affair.
struct Counting : rl::context {
    static void stop() { ::rl::ctx().*(&Counting::disable_alloc_) += 1; }
    static void resume() { ::rl::ctx().*(&Counting::disable_alloc_) -= 1; }
};

template <int threads>
struct Suite : rl::test_suite<Suite<threads>, threads> {
    Suite() {
        Counting::stop();
        world.cells.clear();
        world.watched = {};
        world.forget_seen = forget_seen<threads>;
        world.holes = {};
        world.is_dead = {};
        world.running = threads;
        for (unsigned number = 0; number < kMostThreads; ++number) {
            world.threads[number].steps_to_live = world.threads[number].steps_to_stop = 0;
            world.threads[number].last_loaded = 0;
            world.threads[number].asleep_on = nullptr;
            world.process_of_thread[number] = number;
        }
        model = (*world.make)();
    }
    Suite(const Suite&) = delete;
    Suite& operator=(const Suite&) = delete;
    ~Suite() {
        model.reset();
        for (auto& [address, cell] : world.cells) {
            if (cell.data != nullptr) context().atomic_dtor(cell.data);
        }
        Counting::resume();
    }
    void thread(unsigned number) {
        model->thread(number);
        world.running -= 1;
    }
    void after() { model->after(); }

    std::unique_ptr<Model> model;
};

}  // namespace

std::uint64_t load(Word word, std::memory_order order, const std::source_location& where) noexcept {
    step();
    look_for_hole(word.address);
    Cell& cell = cell_of(word);
    const Mutant* mutant = mutant_of(order, Kind::kLoad, &cell, where);
    order = order_with(mutant, order);
    context().sched();
    std::uint64_t& value = world.threads[this_thread()].last_loaded;
    if (!is_left_out(mutant)) value = cell.values[read(cell.data, order)];
    log({value == cell.value ? "load" : "load of old", cell.name, word.address, value, value, order}, where);
    return value;
}

void store(Word word, std::uint64_t value, std::memory_order order, const std::source_location& where) noexcept {
    step();
    look_for_hole(word.address);
    Cell& cell = cell_of(word);
    const Mutant* mutant = mutant_of(order, Kind::kStore, &cell, where);
    order = order_with(mutant, order);
    context().sched();
    if (is_left_out(mutant)) return;
    log({"store", cell.name, word.address, cell.value, value, order}, where);
    cell.values[write(cell.data, order)] = value;
    cell.value = value;
}

std::uint64_t change(Word word, std::uint64_t (*of)(const void* change, std::uint64_t old) noexcept,
                     const void* change, std::memory_order order, const std::source_location& where) noexcept {
    step();
    look_for_hole(word.address);
    Cell& cell = cell_of(word);
    const Mutant* mutant = mutant_of(order, Kind::kChange, &cell, where);
    order = order_with(mutant, order);
    context().sched();
    const std::uint64_t before = cell.value;
    if (is_left_out(mutant)) return before;
    cell.value = of(change, before);
    log({"change", cell.name, word.address, before, cell.value, order}, where);
    cell.values[read_and_write(cell.data, order)] = cell.value;
    if (cell.value == before && is_watched(word.address, where)) expect(false, world.watched.what);
    return before;
}

bool compare_exchange(Word word, std::uint64_t* expected, std::uint64_t value, bool weak, std::memory_order success,
                      std::memory_order failure, const std::source_location& where) noexcept {
    step();
    look_for_hole(word.address);
    Cell& cell = cell_of(word);
    const Mutant* mutant = mutant_of(success, Kind::kExchangeIf, &cell, where);
    success = order_with(mutant, success);
    context().sched();
    const std::uint64_t before = cell.value;
    if (is_left_out(mutant)) return true;
    const bool equal = before == *expected || is_unchecked(mutant);
    if (equal && !(weak && context().rand(4, rl::sched_type_cas_fail) == 0)) {
        log({"exchange", cell.name, word.address, before, value, success}, where);
        cell.value = value;
        cell.values[read_and_write(cell.data, success)] = value;
        return true;
    }
    read_last(cell.data, failure);
    *expected = before;
    log({"exchange failed", cell.name, word.address, before, value, failure}, where);
    return false;
}

void fence(std::memory_order order, const std::source_location& where) noexcept {
    step();
    const Mutant* mutant = mutant_of(order, Kind::kFence, nullptr, where);
    if (is_left_out(mutant)) return;
    order = order_with(mutant, order);
    if (context().collecting_history()) context().exec_log(info_of(where), FenceEvent{order});
    switch (order) {
        case std::memory_order_relaxed:
            break;
        case std::memory_order_consume:
        case std::memory_order_acquire:
            context().atomic_thread_fence_acquire();
            break;
        case std::memory_order_release:
            context().atomic_thread_fence_release();
            break;
        case std::memory_order_acq_rel:
            context().atomic_thread_fence_acq_rel();
            break;
        case std::memory_order_seq_cst:
            context().atomic_thread_fence_seq_cst();
            break;
    }
}

void sleep(Word word, std::uint64_t seen) noexcept {
    step();
    const Cell& cell = cell_of(word);
    context().sched();
    if (cell.value != seen) return;
    Thread& thread = world.threads[this_thread()];
    thread.asleep_on = word.address;
    while (thread.asleep_on != nullptr) {
        const auto asleep = std::count_if(world.threads.begin(), world.threads.end(),
                                          [](const Thread& each) { return each.asleep_on != nullptr; });
        expect(static_cast<unsigned>(asleep) < world.running, "a wake-up is not lost");
        context().sched();
    }
}

void wake_all(const void* address) noexcept {
    step();
    context().sched();
    for (Thread& thread : world.threads) {
        if (thread.asleep_on == address) thread.asleep_on = nullptr;
    }
}

void zero_words(const void* begin, std::size_t bytes) noexcept {
    for (std::size_t at = 0; at < bytes; at += sizeof(std::uint32_t)) {
        const void* address = static_cast<const std::byte*>(begin) + at;
        const auto place = world.cells.find(address);
        if (place == world.cells.end() || place->second.data == nullptr || place->second.value == 0) continue;
        store({address, 0}, 0, std::memory_order_relaxed, std::source_location::current());
    }
}

void expect(bool holds, const char* what) noexcept {
    if (holds) return;
    world.failure = what;
    context().fail_test(what, rl::test_result_user_assert_failed, {what, "", 0});
}

unsigned random(unsigned limit) noexcept { return context().rand(limit, rl::sched_type_user); }

void idle(unsigned steps) noexcept {
    for (unsigned left = random(steps + 1); left > 0; --left) context().sched();
}

bool run_mortal(unsigned steps, const std::function<void()>& body) {
    Thread& thread = world.threads[this_thread()];
    if (setjmp(thread.end) != 0) {
        world.is_dead[current_process()] = true;
        release_locks(current_process());
        return false;
    }
    thread.steps_to_live = 1 + random(steps);
    body();
    thread.steps_to_live = 0;
    return true;
}

bool is_dead(unsigned process) noexcept { return world.is_dead[process]; }

void run_stopped(unsigned steps, unsigned length, const std::function<void()>& body) {
    Thread& thread = world.threads[this_thread()];
    thread.stopped_for = length;
    thread.steps_to_stop = 1 + random(steps);
    body();
    thread.steps_to_stop = 0;
}

unsigned current_process() noexcept { return world.process_of_thread[this_thread()]; }

void as_process(unsigned process, const std::function<void()>& body) {
    const unsigned before = std::exchange(world.process_of_thread[this_thread()], process);
    body();
    world.process_of_thread[this_thread()] = before;
}

void watch_bits(const void* begin, std::size_t bytes, const char* function, const char* what) noexcept {
    world.watched = {static_cast<const std::byte*>(begin), bytes, function, what};
}

void watch_holes(const void* begin, std::size_t chunks, std::size_t chunk_bytes, const char* what) noexcept {
    expect(chunks <= kMostChunks, "there are as many words for chunks");
    world.holes = {static_cast<const std::byte*>(begin), chunks, chunk_bytes, what, {}};
}

void make_real(const void* begin, std::size_t bytes) noexcept {
    const auto at = static_cast<std::size_t>(static_cast<const std::byte*>(begin) - world.holes.begin);
    const std::size_t first = at / world.holes.chunk_bytes;
    if (world.holes.begin == nullptr || first >= world.holes.chunks) return;
    // relaxed: what the caller does next says who sees it
    for (std::size_t chunk = first; chunk * world.holes.chunk_bytes < at + bytes; ++chunk)
        store(real_word_of(chunk), 1, std::memory_order_relaxed, std::source_location::current());
}

void name(const void* address, const char* name) noexcept { world.cells[address].name = name; }

Outcome run(unsigned threads, const Factory& make, std::uint64_t interleavings, const Mutant* mutant,
            std::uint64_t first) {
    world.make = &make;
    world.mutant = mutant;
    world.is_mutated.clear();
    world.mutated = 0;
    world.failure.clear();

    std::ostringstream history;
    rl::test_params params;
    params.iteration_count = first + interleavings - 1;
    params.initial_state = std::to_string(first).c_str();
    params.output_stream = &history;
    params.progress_stream = &history;
    params.execution_depth_limit = 20'000;
    const bool passed = threads == 2   ? rl::simulate<Suite<2>>(params)
                        : threads == 3 ? rl::simulate<Suite<3>>(params)
                                       : rl::simulate<Suite<4>>(params);
    const char* cause = rl::test_result_str(params.test_result);
    return {passed, world.failure.empty() && !passed ? cause : world.failure, params.stop_iteration - first + 1,
            world.mutated, history.str()};
}

}  // namespace shoal::model
