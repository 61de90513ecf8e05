// shoal stat: what a store holds and what it takes.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"
#include "tool/streams.hpp"

namespace shoal::tool {
namespace {

constexpr char kStatExamples[] =
    R"(Counting visits every key. The fields of --json are named as in shoal::Stats; sizes are in bytes.

Examples:
  shoal stat /tmp/words
  shoal stat --json /tmp/words | python3 -m json.tool)";

struct StatArguments {
    std::string store;
    Options options;
    bool json = false;
};

// "12.0 MiB (12582912)", or the plain number below 1 KiB.
std::string size_text(std::uint64_t bytes) {
    constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) return fmt::format("{} bytes", bytes);
    double amount = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    while (amount >= 1024 && unit + 1 < std::size(kUnits)) {
        amount /= 1024;
        ++unit;
    }
    return fmt::format("{:.1f} {} ({} bytes)", amount, kUnits[unit], bytes);
}

// Of payload bytes, or that takes up in files.
template <class Row>
void add_spilling(const Stats& stats, const Row& row) {
    row("resident", size_text(stats.payload_bytes - std::min(stats.spilled_bytes, stats.payload_bytes)));
    row("spilled", fmt::format("{}, {} of the segments", size_text(stats.spilled_bytes), stats.spilled_segments));
    const double ratio = stats.stored_bytes == 0
                             ? 1
                             : static_cast<double>(stats.spilled_bytes) / static_cast<double>(stats.stored_bytes);
    row("stored",
        fmt::format("{}, {:.2f} times smaller by codec {}", size_text(stats.stored_bytes), ratio, stats.codec));
    row("spill folder", printable(stats.spill_dir));
    row("spill files", fmt::format("{}, {} on disk", stats.spill_files, size_text(stats.disk_bytes)));
    row("written by", stats.io_engine);
    row("synced",
        stats.synced_unix_s == 0
            ? "never: lost when the machine's memory is ('shoal sync')"
            : fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(stats.synced_unix_s))));
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    if (stats.spill_errno != 0) row("last error", std::strerror(stats.spill_errno));
}

std::string as_table(const Stats& stats) {
    fmt::memory_buffer table;
    const auto row = [&table](std::string_view label, const std::string& value) {
        fmt::format_to(std::back_inserter(table), "{:<16}{}\n", label, value);
    };
    row("store", printable(stats.path));
    row("arena", printable(stats.arena_path));
    if (!stats.arena_note.empty()) row("", printable(stats.arena_note));
    row("store id", stats.store_id);
    row("keys", fmt::to_string(stats.keys));
    row("records", fmt::to_string(stats.records));
    row("payload", size_text(stats.payload_bytes));
    row("memory used", size_text(stats.used_bytes));
    row("memory taken", size_text(stats.real_bytes));
    row("memory limit", size_text(stats.memory_limit_bytes));
    row("index", size_text(stats.index_bytes));
    row("segments", fmt::to_string(stats.segments));
    if (!stats.spill_dir.empty()) add_spilling(stats, row);
    row("retired", fmt::format("{} objects that wait for their last reader", stats.retired_objects));
    row("attached", fmt::format("{} threads of at most {}", stats.slots_in_use, stats.slots_total));
    for (const Attached& each : stats.held_back_by) {
        row("held back by", fmt::format("process {}{} {}: {}{}, for {:.1f} s at least", each.process_id,
                                        each.thread_id > 0 ? fmt::format(" thread {}", each.thread_id) : "",
                                        printable(each.command), each.stopped ? "stopped, " : "", each.doing,
                                        static_cast<double>(each.behind_ms) / 1000));
    }
    row("epoch", fmt::to_string(stats.epoch));
    return fmt::to_string(table);
}

std::string as_json(const Stats& stats) {
    auto held_back_by = nlohmann::ordered_json::array();
    for (const Attached& each : stats.held_back_by) {
        held_back_by.push_back({{"process_id", each.process_id},
                                {"thread_id", each.thread_id},
                                {"command", each.command},
                                {"stopped", each.stopped},
                                {"doing", each.doing},
                                {"behind_ms", each.behind_ms}});
    }
    const nlohmann::ordered_json fields = {
        {"path", stats.path},
        {"arena_path", stats.arena_path},
        {"arena_note", stats.arena_note},
        {"store_id", stats.store_id},
        {"memory_limit_bytes", stats.memory_limit_bytes},
        {"real_bytes", stats.real_bytes},
        {"used_bytes", stats.used_bytes},
        {"keys", stats.keys},
        {"records", stats.records},
        {"payload_bytes", stats.payload_bytes},
        {"segments", stats.segments},
        {"index_bytes", stats.index_bytes},
        {"spilled_bytes", stats.spilled_bytes},
        {"spilled_segments", stats.spilled_segments},
        {"spill_dir", stats.spill_dir},
        {"codec", stats.codec},
        {"spill_files", stats.spill_files},
        {"stored_bytes", stats.stored_bytes},
        {"disk_bytes", stats.disk_bytes},
        {"io_engine", stats.io_engine},
        {"synced_unix_s", stats.synced_unix_s},
        {"spill_errno", stats.spill_errno},
        {"retired_objects", stats.retired_objects},
        {"slots_in_use", stats.slots_in_use},
        {"slots_total", stats.slots_total},
        {"epoch", stats.epoch},
        {"held_back_by", held_back_by},
    };
    // A path need not be UTF-8, JSON must be: what is not becomes U+FFFD.
    return fields.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int run_stat(const StatArguments& arguments) {
    const auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    const auto stats = store->stats();
    if (!stats) return fail(stats.error());
    Output output;
    output.add(arguments.json ? as_json(*stats) : as_table(*stats));
    return output.finish();
}

}  // namespace

void add_stat_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<StatArguments>();
    CLI::App* command = app.add_subcommand("stat", "Show what a store holds and what it takes");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    command->add_flag("-j,--json", arguments->json, "Write JSON");
    add_sharing_options(*command, arguments->options);
    add_read_only_option(*command, arguments->options);
    command->footer(kStatExamples);
    command->callback([arguments, &exit_code] { exit_code = run_stat(*arguments); });
}

}  // namespace shoal::tool
