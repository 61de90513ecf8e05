// What a store's size costs when it is attached to, first used, emptied and destroyed.
//
//     compare_lifecycle FOLDER MIB
//
// The store has that many MiB of 1 KiB records in 1,000 keys. The process that attaches is a fresh one: nothing of
// the arena is mapped there. Prints seconds as JSON.
#include <cstdio>
#include <cstdlib>
#include <optional>

#include <shoal/store.hpp>

#include "task.hpp"
#include "team.hpp"

namespace {

using compare::fail;

template <class Value>
Value taken(shoal::Result<Value> result) {
    if (!result) fail(result.error().message);
    return std::move(*result);
}
void done(const shoal::Result<void>& result) {
    if (!result) fail(result.error().message);
}

void fill(const std::string& path, std::uint64_t bytes) {
    shoal::Options options;
    // Values of one length all end in last segments that are as empty, three quarters at worst.
    options.memory_limit_bytes = bytes * 4 + (std::uint64_t{64} << 20);
    const auto keys = bench::make_keys(1000);
    const auto source = bench::make_records(1024);
    std::vector<shoal::Pair> pairs;
    shoal::Store writer = taken(shoal::Store::open(path, options));
    for (std::uint64_t record = 0; record < bytes / 1024; ++record) {
        pairs.emplace_back(keys[record % keys.size()],
                           shoal::ByteView(source.data() + record % bench::kDistinctRecords * 1024, 1024));
        if (pairs.size() == bench::kBatchPairs || record + 1 == bytes / 1024) {
            done(writer.append(pairs));
            pairs.clear();
        }
    }
}

// In a process that has not been attached before.
class Visit {
public:
    enum Number : unsigned { kAttach, kFirstAppend, kFirstGet, kDrop, kHeldBytes, kLast };

    explicit Visit(const std::string& path) {
        bench::Team team(1, [&](unsigned) -> bench::Team::Round {
            return [&](unsigned) -> std::string {
                double last = bench::now_seconds();
                const auto lap = [&](Number number) {
                    const double now = bench::now_seconds();
                    bench::Team::number(number) = now - last;
                    last = bench::now_seconds();
                };
                shoal::Store store = taken(shoal::Store::attach(path));
                lap(kAttach);
                done(store.append("first", "record"));
                lap(kFirstAppend);
                const auto value = taken(store.get("key-00000007"));
                lap(kFirstGet);
                bench::Team::number(kHeldBytes) = static_cast<double>(value.size());
                last = bench::now_seconds();
                done(store.drop());
                lap(kDrop);
                return {};
            };
        });
        team.run();
        if (!team.error().empty()) fail(team.error());
        for (unsigned number = 0; number < kLast; ++number) seconds_[number] = team.number(0, number);
    }
    [[nodiscard]] double operator[](Number number) const { return seconds_[number]; }

private:
    double seconds_[kLast];
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s FOLDER MIB\n", argv[0]);
        return 2;
    }
    try {
        const std::string path = std::string(argv[1]) + "/store";
        const std::uint64_t bytes = std::strtoull(argv[2], nullptr, 10) << 20;
        fill(path, bytes);
        const Visit visit(path);
        if (visit[Visit::kHeldBytes] < static_cast<double>(bytes / 1024 / 1000 * 1024)) fail("a record was lost");
        const double start = bench::now_seconds();
        done(shoal::Store::destroy(path));
        std::printf(
            "{\"error\": \"\", \"attach\": %.9f, \"first append\": %.9f, \"first get\": %.9f, \"drop\": %.9f, "
            "\"destroy\": %.9f}\n",
            visit[Visit::kAttach], visit[Visit::kFirstAppend], visit[Visit::kFirstGet], visit[Visit::kDrop],
            bench::now_seconds() - start);
    } catch (const std::exception& failure) {
        std::printf("{\"error\": \"%s\"}\n", failure.what());
        return 1;
    }
}
