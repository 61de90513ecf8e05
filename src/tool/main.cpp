// The command `shoal`: a thin shell around shoal::Store, one file a subcommand or two.
#include <csignal>
#include <memory>
#include <new>
#include <sstream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tool/commands.hpp"
#include "tool/exit_codes.hpp"
#include "tool/failure.hpp"
#include "tool/help.hpp"
#include "tool/operands.hpp"
#include "tool/streams.hpp"

namespace shoal::tool {
namespace {

constexpr char kFooter[] = R"(Examples:
  shoal append /tmp/words apple red             make the store if need be, append a record
  seq 1000 | shoal append /tmp/words n --lines  a record a line
  shoal get /tmp/words n | tail -1
  shoal stat /tmp/words
  shoal destroy /tmp/words

Exit codes: 0 done; 1 no such key, no repair; 2 wrong use; 3 the store: none there, full, damaged, incompatible,
gone, in use or destroyed; 4 the system: permission, disk, input or output; 5 bad input data.)";

// Help and version go to standard output, through Output so that a full disk is noticed and `| head` is not.
int print_or_complain(const CLI::App& app, const CLI::ParseError& outcome) {
    if (outcome.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
        std::ostringstream text;
        std::ostringstream unused;
        (void)app.exit(outcome, text, unused);
        Output output;
        output.add(text.str());
        return output.finish();
    }
    const auto commands = app.get_subcommands();
    complain(outcome.what());
    fmt::print(stderr, "See 'shoal{} --help'.\n", commands.empty() ? "" : " " + commands.front()->get_name());
    return kWrongUse;
}

int run(int argc, const char* const* argv) {
    int exit_code = kOk;
    CLI::App app("A store of values that grow, which the processes of one host share", "shoal");
    app.require_subcommand(1);
    app.set_version_flag("--version", "shoal " SHOAL_VERSION, "Print the version and exit");
    app.formatter(std::make_shared<HelpFormatter>());
    app.set_help_flag("-h,--help", "Print this help and exit");
    app.footer(kFooter);
    add_append_command(app, exit_code);
    add_get_command(app, exit_code);
    add_keys_command(app, exit_code);
    add_stat_command(app, exit_code);
    add_export_command(app, exit_code);
    add_import_command(app, exit_code);
    add_spill_command(app, exit_code);
    add_sync_command(app, exit_code);
    add_recover_command(app, exit_code);
    add_backup_command(app, exit_code);
    add_restore_command(app, exit_code);
    add_ps_command(app, exit_code);
    add_verify_command(app, exit_code);
    add_rm_command(app, exit_code);
    add_drop_command(app, exit_code);
    add_destroy_command(app, exit_code);
    add_gc_command(app, exit_code);
    add_shuffle_command(app, exit_code);
    unshield_options(app);
    try {
        app.parse(shielded_arguments(argc, argv));
    } catch (const CLI::ParseError& outcome) {
        return print_or_complain(app, outcome);
    }
    return exit_code;
}

}  // namespace
}  // namespace shoal::tool

int main(int argc, char** argv) {
    using namespace shoal::tool;
    // A reader that goes away shows as EPIPE, which Output passes over in silence.
    (void)std::signal(SIGPIPE, SIG_IGN);
    try {
        return run(argc, argv);
    } catch (const std::bad_alloc&) {
        complain("out of memory");
        return kSystemError;
    }
}
