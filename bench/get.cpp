// Get: a resident value into memory of our own, against memcpy of the same bytes in the same run, and small keys.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "temporary_store.hpp"
#include "workload.hpp"

namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

enum class Way { kGet, kGetInto, kView, kRecords, kMemcpy };

// The value of `records` records of `record_bytes` as the records' source has it.
std::vector<std::byte> joined(std::size_t records, std::size_t record_bytes) {
    const auto source = bench::make_records(record_bytes, std::min(records, bench::kDistinctRecords));
    std::vector<std::byte> value(records * record_bytes);
    for (std::size_t number = 0; number < records; ++number) {
        std::memcpy(value.data() + number * record_bytes,
                    source.data() + number % bench::kDistinctRecords * record_bytes, record_bytes);
    }
    return value;
}

// Checks the value by every way there is to read it.
std::string check(shoal::Store& store, const std::vector<std::byte>& expected, std::size_t records) {
    const auto value = store.get("value");
    if (!value || !(shoal::ByteView(*value) == shoal::ByteView(expected)))
        return "get differs from what was appended";
    const auto view = store.view("value");
    const auto boundaries = store.records("value");
    const auto size = store.size("value");
    if (!view || view->bytes() != expected.size()) return "view differs from what was appended";
    if (!boundaries || boundaries->size() != records) return "records() differs from what was appended";
    if (!size || size->records != records || size->bytes != expected.size()) return "size() is wrong";
    return {};
}

void get_value(benchmark::State& state, Way way, std::size_t records, std::size_t record_bytes) {
    bench::TemporaryStore store(kGiB);
    if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
    const auto expected = joined(records, record_bytes);
    for (std::size_t number = 0; number < records; ++number) {
        const auto done =
            store->append("value", shoal::ByteView(expected.data() + number * record_bytes, record_bytes));
        if (!done) return state.SkipWithError(done.error().message.c_str());
    }
    const std::string error = check(*store, expected, records);
    if (!error.empty()) return state.SkipWithError(error.c_str());

    std::vector<std::byte> out(expected.size(), std::byte{1});
    bool right = true;
    for (auto _ : state) {
        switch (way) {
            case Way::kGet:
                right &= store->get("value")->size() == expected.size();
                break;
            case Way::kGetInto:
                right &= *store->get_into("value", out) == expected.size();
                break;
            case Way::kView:
                right &= store->view("value")->bytes() == expected.size();
                break;
            case Way::kRecords:
                right &= store->records("value")->size() == records;
                break;
            case Way::kMemcpy:
                std::memcpy(out.data(), expected.data(), expected.size());
        }
        benchmark::DoNotOptimize(out.data());
        benchmark::ClobberMemory();
    }
    if (!right || (way == Way::kGetInto && out != expected)) return state.SkipWithError("a value came back wrong");
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(expected.size()));
}
// clang-format off
#define GET(name, ...) BENCHMARK_CAPTURE(get_value, name, __VA_ARGS__) \
    ->MinTime(0.1)->UseRealTime()->Unit(benchmark::kMicrosecond)
//  what                      way             records  bytes
GET(1M_memcpy,                Way::kMemcpy,         1, 1 << 20);
GET(1M_one_record_get,        Way::kGet,            1, 1 << 20);
GET(1M_one_record_get_into,   Way::kGetInto,        1, 1 << 20);
GET(1M_one_record_view,       Way::kView,           1, 1 << 20);
GET(1M_1K_records_get,        Way::kGet,         1024, 1024);
GET(1M_1K_records_get_into,   Way::kGetInto,     1024, 1024);
GET(1M_1K_records_view,       Way::kView,        1024, 1024);
GET(10000_64B_memcpy,         Way::kMemcpy,    10'000, 64);
GET(10000_64B_get,            Way::kGet,       10'000, 64);
GET(10000_64B_get_into,       Way::kGetInto,   10'000, 64);
GET(10000_64B_view,           Way::kView,      10'000, 64);
GET(10000_64B_records,        Way::kRecords,   10'000, 64);
// clang-format on

// A random key's 64 B value; range(0) keys, range(1) of them asked for in one call.
void get_small(benchmark::State& state) {
    const auto keys = static_cast<std::uint32_t>(state.range(0));
    const auto at_once = static_cast<std::size_t>(state.range(1));
    bench::TemporaryStore store(2 * kGiB);
    if (!store.error().empty()) return state.SkipWithError(store.error().c_str());
    const auto names = bench::make_keys(keys);
    const auto source = bench::make_records(64);
    std::vector<shoal::Pair> pairs;
    for (std::size_t number = 0; number < keys; ++number) {
        const std::byte* record = source.data() + number % bench::kDistinctRecords * 64;
        pairs.emplace_back(names[number], shoal::ByteView(record, 64));
    }
    if (const auto done = store->append(pairs); !done) return state.SkipWithError(done.error().message.c_str());
    const auto picks = bench::make_picks(std::size_t{1} << 16, keys, 1);
    std::vector<shoal::ByteView> asked(at_once);
    std::size_t at = 0;
    std::size_t bytes = 0;
    for (auto _ : state) {
        if (at_once == 1) {
            bytes += store->get(names[picks[at++ % picks.size()]])->size();
        } else {
            for (shoal::ByteView& key : asked) key = names[picks[at++ % picks.size()]];
            for (const auto& value : store->get(asked)) bytes += value->size();
        }
    }
    if (bytes != at * 64) return state.SkipWithError("a value came back wrong");
    state.SetItemsProcessed(static_cast<std::int64_t>(at));
}
BENCHMARK(get_small)
    ->ArgNames({"keys", "at_once"})
    ->Args({10'000, 1})
    ->Args({10'000, 64})
    ->Args({1'000'000, 1})
    ->Args({1'000'000, 64})
    ->MinTime(0.1)
    ->UseRealTime()
    ->Unit(benchmark::kNanosecond);

}  // namespace
