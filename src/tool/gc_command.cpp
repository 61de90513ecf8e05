// shoal gc: takes away what killed processes have left.
#include <cstdint>
#include <memory>
#include <string>

#include <fmt/format.h>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"
#include "tool/streams.hpp"

namespace shoal::tool {
namespace {

constexpr char kGcExamples[] =
    R"(Looks at the arenas in /dev/shm, in $XDG_RUNTIME_DIR and in each DIR. Garbage is an arena whose store's directory is
gone, which no store.meta names, or whose store is temporary and has no owner left. What a process has open is never
touched. A store whose directory was moved elsewhere counts as gone: look first, with --dry-run.

Exit code 4 when something that should go could not be removed.

Examples:
  shoal gc --dry-run
  shoal gc /mnt/tmpfs)";

struct GcArguments {
    CLI::Option* dirs = nullptr;
    CollectOptions options;
};

int run_gc(GcArguments& arguments) {
    arguments.options.dirs = arguments.dirs->results();
    const auto found = Store::collect(arguments.options);
    if (!found) return fail(found.error());
    Output output;
    std::uint64_t bytes = 0;
    std::size_t removed = 0;
    int exit_code = kOk;
    for (const Leftover& each : *found) {
        if (each.system_errno != 0) {
            complain(fmt::format("{}: {}", printable(each.arena_path), printable(each.why)));
            exit_code = kSystemError;
            continue;
        }
        const char* done = !each.removed ? "left" : arguments.options.dry_run ? "would remove" : "removed";
        output.add(fmt::format("{} {} ({} bytes): {}\n", done, printable(each.arena_path), each.bytes,
                               printable(each.why)));
        if (!each.removed) continue;
        bytes += each.bytes;
        ++removed;
    }
    output.add(fmt::format("{} {}, {} bytes {}\n", removed, removed == 1 ? "arena" : "arenas", bytes,
                           arguments.options.dry_run ? "to free" : "freed"));
    const ExitCode output_code = output.finish();
    return output_code == kOk ? exit_code : output_code;
}

}  // namespace

void add_gc_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<GcArguments>();
    CLI::App* command = app.add_subcommand("gc", "Remove arenas that killed processes have left");
    arguments->dirs = add_operands(*command, "DIR", "A folder to look into as well");
    command->add_flag("-n,--dry-run", arguments->options.dry_run, "Remove nothing, only say what would go");
    command->footer(kGcExamples);
    command->callback([arguments, &exit_code] { exit_code = run_gc(*arguments); });
}

}  // namespace shoal::tool
