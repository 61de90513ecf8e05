// shoal ps: who is attached to a store, and what each is doing.
#include <cstdint>
#include <memory>
#include <string>

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

constexpr char kPsExamples[] =
    R"(A line for each thread that has used the store and is there still, one for the views of each process, and one
for its spilling. DOING is idle, reading, appending, erasing, dropping, reclaiming, recovering or spilling; BEHIND
says for how long at least a thread has kept erased memory from reuse. A dead one is recovered by whoever meets it.
The ids of a process in another container are its own.

Examples:
  shoal ps /tmp/words
  shoal ps --json /tmp/words | python3 -m json.tool)";

struct PsArguments {
    std::string store;
    Options options;
    bool json = false;
};

std::string thread_text(const Attached& each) {
    if (each.is_views) return "views";
    return each.is_spiller ? "spiller" : fmt::to_string(each.thread_id);
}

const char* state_text(const Attached& each) {
    if (!each.alive) return "dead";
    return each.stopped ? "stopped" : "alive";
}

std::string as_table(const std::vector<Attached>& all) {
    fmt::memory_buffer table;
    const auto row = [&table](const auto&... cells) {
        fmt::format_to(std::back_inserter(table), "{:>4} {:>8} {:>8} {:<7} {:<11} {:>9}  {}\n", cells...);
    };
    row("SLOT", "PROCESS", "THREAD", "STATE", "DOING", "BEHIND", "COMMAND");
    for (const Attached& each : all) {
        row(each.slot, each.process_id, thread_text(each), state_text(each), each.doing,
            each.behind_ms == 0 ? "" : fmt::format("{:.1f} s", static_cast<double>(each.behind_ms) / 1000),
            each.same_namespace ? printable(each.command) : "(in another pid namespace)");
    }
    return fmt::to_string(table);
}

std::string as_json(const std::vector<Attached>& all) {
    auto rows = nlohmann::ordered_json::array();
    for (const Attached& each : all) {
        rows.push_back({{"slot", each.slot},
                        {"process_id", each.process_id},
                        {"thread_id", each.thread_id},
                        {"is_views", each.is_views},
                        {"is_spiller", each.is_spiller},
                        {"same_namespace", each.same_namespace},
                        {"command", each.command},
                        {"alive", each.alive},
                        {"stopped", each.stopped},
                        {"inside", each.inside},
                        {"doing", each.doing},
                        {"epochs_behind", each.epochs_behind},
                        {"behind_ms", each.behind_ms}});
    }
    // A command's name need not be UTF-8, JSON must be: what is not becomes U+FFFD.
    return rows.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int run_ps(const PsArguments& arguments) {
    const auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    const auto all = store->attached();
    if (!all) return fail(all.error());
    Output output;
    output.add(arguments.json ? as_json(*all) : as_table(*all));
    return output.finish();
}

}  // namespace

void add_ps_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<PsArguments>();
    CLI::App* command = app.add_subcommand("ps", "Show who is attached to a store");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    command->add_flag("-j,--json", arguments->json, "Write JSON");
    add_sharing_options(*command, arguments->options);
    command->footer(kPsExamples);
    command->callback([arguments, &exit_code] { exit_code = run_ps(*arguments); });
}

}  // namespace shoal::tool
