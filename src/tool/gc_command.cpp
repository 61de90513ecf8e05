// shoal gc: takes away what killed processes have left.
#include <cstdint>
#include <map>
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
touched. Left, unless by --force, is what may be a store's that cannot be seen from here: what was in use less than
AGE ago, what was synced, what was last open in another mount namespace (a container), and what has its directory on
a file system that is not mounted here now.

Exit code 4 when something that should go could not be removed.

Examples:
  shoal gc --dry-run
  shoal gc --min-age 1h /mnt/tmpfs
  shoal gc --force --dry-run)";

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
        const bool could = each.needs_force && !each.removed;
        output.add(fmt::format("{} {} ({} bytes): {}{}\n", done, printable(each.arena_path), each.bytes,
                               printable(each.why), could ? " (--force takes it)" : ""));
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
    command->add_flag("--only", arguments->options.only_dirs, "Look into the DIRs alone")->needs(arguments->dirs);
    command->add_flag("-n,--dry-run", arguments->options.dry_run, "Remove nothing, only say what would go");
    command
        ->add_option("--min-age", arguments->options.min_age_s,
                     "How long it must have been unused, in seconds or with s, m, h or d")
        ->type_name("AGE")
        ->default_str("1d")
        ->transform(CLI::AsNumberWithUnit(
            std::map<std::string, std::uint64_t>{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}},
            CLI::AsNumberWithUnit::CASE_SENSITIVE));
    command->add_flag("-f,--force", arguments->options.force,
                      "Take also what may be a store's that cannot be seen from here");
    command->footer(kGcExamples);
    command->callback([arguments, &exit_code] { exit_code = run_gc(*arguments); });
}

}  // namespace shoal::tool
