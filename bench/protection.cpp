// What it costs that any process may die: append and get with slots and epochs, and without, from the inside of the
// library, in turns of a thousand operations; medians of the turns.
//
//   append_ns, get_ns    64 B, 100 keys, one at a time, as Store does it: find the thread's slot, enter, work,
//   leave
//   *_bare_ns            the same work alone, never inside an epoch
//   *_cost_ns            the median of the differences between neighbouring turns
//   append_says_ns       what append_ns grows by when the slot names the claim's segment once more
//   append_1024_cost_ns  as append_cost_ns, when 1,024 appends share one stay in an epoch, as in a batch
#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "latency.hpp"
#include "store/hash.hpp"
#include "store/impl.hpp"
#include "workload.hpp"

namespace {

using shoal::ArenaOffset;

constexpr std::size_t kTurn = 1024;
constexpr std::size_t kTurns = 400;
constexpr std::size_t kRecordBytes = 64;
constexpr std::uint32_t kKeys = 100;

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

// The rooms of one store, without the Store.
class Rooms {
public:
    explicit Rooms(shoal::OpenedArena&& opened)
        : opened_(std::move(opened)),
          blocks_(opened_.mapping),
          slots_(opened_.mapping, blocks_),
          epochs_(opened_.mapping, slots_, nullptr, {}, {}),
          index_(opened_.mapping, blocks_, epochs_),
          record_(bench::make_records(kRecordBytes, 1)) {
        shoal::Slot& slot = *slots_.current(nullptr);
        static_cast<void>(epochs_.enter(slot));
        const std::uint64_t seed = opened_.mapping.header().hash_seed;
        for (const std::string& key : bench::make_keys(kKeys)) {
            const auto made =
                shoal::make_chain(context(slot), index_.tree(), key, shoal::hash_key(key, seed), payload());
            static_cast<void>(index_.insert(index_.tree(), made.offset, slot));
            shoal::forget_made_chain(slot);
            chains_.push_back(opened_.mapping.at<shoal::Chain>(made.offset));
        }
        epochs_.leave(slot);
    }

    // kTurn appends, `together` of them in one stay in an epoch; nanoseconds each.
    double append(std::size_t together) {
        return time([&](std::size_t number) {
            shoal::Slot& slot = *slots_.current(nullptr);
            if (number % together == 0) static_cast<void>(epochs_.enter(slot));
            append_one(slot, number);
            if (number % together == together - 1) epochs_.leave(slot);
        });
    }
    double append_bare() {
        shoal::Slot& slot = *slots_.current(nullptr);
        return time([&](std::size_t number) { append_one(slot, number); });
    }
    double append_and_say_twice() {
        return time([&](std::size_t number) {
            shoal::Slot& slot = *slots_.current(nullptr);
            static_cast<void>(epochs_.enter(slot));
            slot.segment.store(1, std::memory_order_release);  // relaxed would do: what is measured is the store
            append_one(slot, number);
            slot.segment.store(0, std::memory_order_release);
            epochs_.leave(slot);
        });
    }
    double get() {
        return time([&](std::size_t number) {
            shoal::Slot& slot = *slots_.current(nullptr);
            static_cast<void>(epochs_.enter(slot));
            get_one(number);
            epochs_.leave(slot);
        });
    }
    double get_bare() {
        return time([&](std::size_t number) { get_one(number); });
    }

private:
    template <class Operation>
    static double time(const Operation& operation) {
        const double start = bench::now_seconds();
        for (std::size_t number = 0; number < kTurn; ++number) operation(number);
        return (bench::now_seconds() - start) * 1e9 / kTurn;
    }
    [[nodiscard]] shoal::ChainContext context(shoal::Slot& slot) {
        return {opened_.mapping, blocks_, slot, slots_.number(slot)};
    }
    [[nodiscard]] shoal::Payload payload() const { return shoal::Payload::record({&value_, 1}); }
    void append_one(shoal::Slot& slot, std::size_t number) {
        const auto outcome = shoal::append_to(context(slot), *chains_[number % kKeys], payload());
        benchmark::DoNotOptimize(outcome);
    }
    // Of the key's first 64 B.
    void get_one(std::size_t number) {
        shoal::Cut cut = shoal::take_cut(opened_.mapping, *chains_[number % kKeys]);
        cut.tail = cut.root;
        cut.end.units = shoal::frame_units(kRecordBytes);
        const auto copy = [&](const std::byte* bytes, std::uint64_t) {
            std::memcpy(buffer_.data(), bytes, kRecordBytes);
        };
        const auto nothing = [](const shoal::SegmentExtent&, std::uint64_t) {};  // is spilled
        static_cast<void>(shoal::walk_cut(opened_.mapping, cut, copy, nothing));
        benchmark::DoNotOptimize(buffer_.data());
    }

    shoal::OpenedArena opened_;
    shoal::Blocks blocks_;
    shoal::Slots slots_;
    shoal::Epochs epochs_;
    shoal::Index index_;
    std::vector<std::byte> record_;
    shoal::ByteView value_{record_.data(), record_.size()};
    std::vector<shoal::Chain*> chains_;
    std::array<std::byte, kRecordBytes> buffer_{};
};

void protection(benchmark::State& state) {
    shoal::Options options;
    options.memory_limit_bytes = 1ULL << 30;
    options.reserve_bytes = 512ULL << 20;
    auto opened = shoal::create_in_memory(options, shoal::StoreImpl::fill_arena);
    if (!opened) return state.SkipWithError(opened.error().message.c_str());
    Rooms rooms(std::move(*opened));
    std::vector<double> append, append_bare, append_cost, append_says, together_cost, get, get_bare, get_cost;
    for (auto _ : state) {
        for (std::size_t turn = 0; turn < kTurns; ++turn) {
            append_bare.push_back(rooms.append_bare());
            append.push_back(rooms.append(1));
            append_cost.push_back(append.back() - append_bare.back());
            append_says.push_back(rooms.append_and_say_twice() - rooms.append(1));
            together_cost.push_back(rooms.append(kTurn) - rooms.append_bare());
            get_bare.push_back(rooms.get_bare());
            get.push_back(rooms.get());
            get_cost.push_back(get.back() - get_bare.back());
        }
    }
    state.counters["append_ns"] = median(append);
    state.counters["append_bare_ns"] = median(append_bare);
    state.counters["append_cost_ns"] = median(append_cost);
    state.counters["append_says_ns"] = median(append_says);
    state.counters["append_1024_cost_ns"] = median(together_cost);
    state.counters["get_ns"] = median(get);
    state.counters["get_bare_ns"] = median(get_bare);
    state.counters["get_cost_ns"] = median(get_cost);
}
BENCHMARK(protection)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
