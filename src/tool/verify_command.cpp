// shoal verify: whether a store is sound, and what is in it.
#include <cstdint>
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
#include "tool/progress_line.hpp"
#include "tool/streams.hpp"

namespace shoal::tool {
namespace {

constexpr char kVerifyExamples[] =
    R"(Checks every invariant that the headers in src/ name, and says which one is broken, at which offset of the arena.
A store that others are using is checked as far as that goes; the output says what was left out. Leaked blocks, of
processes that were killed, are no damage. The fields of --json are named as in shoal::VerifyReport.

Exit code 0 when the store is sound, 3 when it is damaged, 1 when it is sound and could not be repaired.

Examples:
  shoal verify /tmp/words
  shoal verify --repair /tmp/words              gives leaked memory back
  shoal verify --json /tmp/words | python3 -m json.tool)";

struct VerifyArguments {
    std::string store;
    bool json = false;
    bool no_files = false;
    VerifyOptions options;
};

std::string as_text(const VerifyReport& report) {
    fmt::memory_buffer text;
    const auto line = [&text](const std::string& what) { fmt::format_to(std::back_inserter(text), "{}\n", what); };
    const auto row = [&](std::string_view label, const std::string& value) {
        line(fmt::format("{:<16}{}", label, value));
    };
    row("store", printable(report.path));
    row("arena", printable(report.arena_path));
    for (const Damage& damage : report.damage) {
        row("damaged", fmt::format("{}, at {:#x}: {}", damage.invariant, damage.offset, printable(damage.what)));
    }
    if (report.damage_count > report.damage.size()) {
        row("", fmt::format("and {} more", report.damage_count - report.damage.size()));
    }
    for (const std::string& what : report.not_checked) row("not checked", what);
    row("keys", fmt::format("{}, and {} erased ones still in the index", report.keys, report.erased_keys));
    row("records",
        fmt::format("{} of {} bytes, in {} segments", report.records, report.payload_bytes, report.segments));
    if (report.spilled_segments != 0) {
        row("spilled",
            fmt::format("{} segments of {} bytes, of those", report.spilled_segments, report.spilled_bytes));
    }
    if (report.extents_read != 0) {
        row("files",
            fmt::format("{} extents of {} bytes of payload read", report.extents_read, report.stored_payload_read));
    }
    if (report.synced_unix_s != 0) {
        row("synced", fmt::format("{} keys, {:%Y-%m-%d %H:%M:%S} UTC", report.synced_keys,
                                  fmt::gmtime(static_cast<std::time_t>(report.synced_unix_s))));
    }
    row("unfinished",
        fmt::format("{} frames that a writer has claimed and not committed", report.unfinished_frames));
    row("index", fmt::format("{} nodes, {} leaves", report.index_nodes, report.index_leaves));
    row("attached", fmt::format("{} threads, and {} that died and wait for recovery", report.slots_attached,
                                report.slots_dead));
    if (report.at_rest) {
        row("blocks", fmt::format("{} reachable, {} retired, {} in the hands of the dead", report.blocks_reachable,
                                  report.blocks_retired, report.blocks_of_dead));
        row("free", fmt::format("{} blocks, {} of them set aside by the dead; {} of {} pages", report.blocks_free,
                                report.blocks_free_in_sources, report.pages_free, report.pages));
        row("leaked", fmt::format("{} blocks of {} bytes", report.blocks_leaked, report.leaked_bytes));
    }
    if (report.repaired_blocks != 0) {
        row("repaired",
            fmt::format("{} blocks of {} bytes given back", report.repaired_blocks, report.repaired_bytes));
    }
    if (!report.not_repaired.empty()) row("not repaired", report.not_repaired);
    line(report.sound() ? "sound" : fmt::format("damaged: {} findings", report.damage_count));
    return fmt::to_string(text);
}

std::string as_json(const VerifyReport& report) {
    nlohmann::ordered_json damage = nlohmann::ordered_json::array();
    for (const Damage& one : report.damage) {
        damage.push_back({{"invariant", one.invariant}, {"offset", one.offset}, {"what", one.what}});
    }
    const nlohmann::ordered_json fields = {
        {"path", report.path},
        {"arena_path", report.arena_path},
        {"sound", report.sound()},
        {"at_rest", report.at_rest},
        {"not_checked", report.not_checked},
        {"damage_count", report.damage_count},
        {"damage", damage},
        {"keys", report.keys},
        {"erased_keys", report.erased_keys},
        {"records", report.records},
        {"payload_bytes", report.payload_bytes},
        {"unfinished_frames", report.unfinished_frames},
        {"segments", report.segments},
        {"spilled_segments", report.spilled_segments},
        {"spilled_bytes", report.spilled_bytes},
        {"extents_read", report.extents_read},
        {"stored_payload_read", report.stored_payload_read},
        {"synced_unix_s", report.synced_unix_s},
        {"synced_keys", report.synced_keys},
        {"index_leaves", report.index_leaves},
        {"index_nodes", report.index_nodes},
        {"slots_attached", report.slots_attached},
        {"slots_dead", report.slots_dead},
        {"blocks_reachable", report.blocks_reachable},
        {"blocks_retired", report.blocks_retired},
        {"blocks_of_dead", report.blocks_of_dead},
        {"blocks_free", report.blocks_free},
        {"blocks_free_in_sources", report.blocks_free_in_sources},
        {"blocks_leaked", report.blocks_leaked},
        {"leaked_bytes", report.leaked_bytes},
        {"pages", report.pages},
        {"pages_free", report.pages_free},
        {"not_repaired", report.not_repaired},
        {"repaired_blocks", report.repaired_blocks},
        {"repaired_bytes", report.repaired_bytes},
    };
    // A path need not be UTF-8, JSON must be: what is not becomes U+FFFD.
    return fields.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int run_verify(VerifyArguments& arguments) {
    ProgressLine line("check");
    arguments.options.progress = [&line](const CheckProgress& progress) {
        line.show(progress.fraction, progress.bytes);
        return true;
    };
    const auto report = Store::verify(arguments.store, arguments.options);
    line.clear();
    if (!report) return fail(report.error());
    Output output;
    output.add(arguments.json ? as_json(*report) : as_text(*report));
    if (const int written = output.finish(); written != kOk) return written;
    if (report->sound() && !report->not_repaired.empty()) {
        complain(
            fmt::format("the store '{}' is not repaired: {}", printable(arguments.store), report->not_repaired));
        return kNo;
    }
    if (report->sound()) return kOk;
    complain(fmt::format("the store '{}' is damaged: {}", printable(arguments.store),
                         report->damage.empty() ? "" : printable(report->damage.front().what)));
    return kStoreError;
}

}  // namespace

void add_verify_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<VerifyArguments>();
    CLI::App* command = app.add_subcommand("verify", "Check a store, and count what is in it");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    command->add_flag("-j,--json", arguments->json, "Write JSON");
    command->add_flag("--repair", arguments->options.repair,
                      "Give leaked memory back, when nobody has the store open and nothing is damaged");
    command->add_flag("--no-files", arguments->no_files, "Leave out what is in spill files, which is all read");
    add_sharing_options(*command, arguments->options.access);
    command->footer(kVerifyExamples);
    command->callback([arguments, &exit_code] {
        arguments->options.files = !arguments->no_files;
        exit_code = run_verify(*arguments);
    });
}

}  // namespace shoal::tool
