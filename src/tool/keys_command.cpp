// shoal keys: the names of what is in a store.
#include <memory>
#include <string>

#include <unistd.h>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"
#include "tool/streams.hpp"

namespace shoal::tool {
namespace {

constexpr char kKeysExamples[] =
    R"(The keys come in no order. On a terminal, bytes that are not printable text are shown as \n, \t or \xNN and a
backslash as \\ (also with --escape); into a pipe or a file they go as they are, so for keys that may hold a
newline use -0, or --hex, which 'shoal get -x' reads.

Examples:
  shoal keys /tmp/words | sort
  shoal keys /tmp/words --prefix user: | wc -l
  shoal keys -0 /tmp/words | xargs -0 shoal get /tmp/words --
  shoal keys --hex /tmp/words | xargs shoal rm -x /tmp/words)";

struct KeysArguments {
    std::string store;
    Options options;
    std::string prefix;
    bool nul = false;
    bool hex = false;
    bool escape = false;
};

int run_keys(const KeysArguments& arguments) {
    const auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());

    const bool escape = arguments.escape || (!arguments.nul && ::isatty(STDOUT_FILENO) == 1);
    const std::string_view end = arguments.nul ? std::string_view("\0", 1) : std::string_view("\n");
    Output output;
    const auto walked = store->for_each_key(arguments.prefix, [&](ByteView key) {
        if (arguments.hex) {
            output.add(to_hex(key));
        } else if (escape) {
            output.add(printable(key));
        } else {
            output.add(key.text());
        }
        return output.add(end);
    });
    if (!walked) {
        static_cast<void>(output.finish());
        return fail(walked.error());
    }
    return output.finish();
}

}  // namespace

void add_keys_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<KeysArguments>();
    CLI::App* command = app.add_subcommand("keys", "List the keys of a store");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    command->add_option("-p,--prefix", arguments->prefix, "Only keys that begin with TEXT")->type_name("TEXT");
    CLI::Option* nul =
        command->add_flag("-0,--null", arguments->nul, "End each key with a NUL, and escape nothing");
    CLI::Option* hex = command->add_flag("-x,--hex", arguments->hex, "Write keys in hex")->excludes(nul);
    command->add_flag("-e,--escape", arguments->escape, "Escape as on a terminal")->excludes(nul)->excludes(hex);
    add_sharing_options(*command, arguments->options);
    add_read_only_option(*command, arguments->options);
    command->footer(kKeysExamples);
    command->callback([arguments, &exit_code] { exit_code = run_keys(*arguments); });
}

}  // namespace shoal::tool
