// shoal rm, drop, destroy: take away keys, all keys, the store itself.
#include <memory>
#include <string>

#include <fmt/format.h>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"

namespace shoal::tool {
namespace {

constexpr char kRmExamples[] = R"(Examples:
  shoal rm /tmp/words apple pear                exit code 1 when one of them was not there
  shoal rm -f /tmp/words apple                  no complaint about that
  shoal rm -x /tmp/words 00ff                   a key that is no text)";

constexpr char kDropExamples[] = R"(Programs that have the store open go on with an empty one.

Example:
  shoal drop /tmp/words)";

constexpr char kDestroyExamples[] =
    R"(Removes the arena, the metadata and, when nothing else is in it, the directory. A store that programs have open
stays, and the error names them; with --force it goes, and those programs get an error from then on.

Examples:
  shoal destroy /tmp/words
  shoal destroy -f /tmp/words                   no complaint when there is none, or when it is open)";

struct RemoveArguments {
    std::string store;
    Options options;
    CLI::Option* keys = nullptr;
    KeyOptions key_options;
    bool force = false;
};

int run_rm(const RemoveArguments& arguments) {
    int exit_code = kOk;
    const auto keys = read_keys(arguments.key_options, arguments.keys->results(), exit_code);
    if (!keys) return exit_code;
    if (keys->empty()) {
        complain("which key? 'shoal keys STORE' lists them, 'shoal drop STORE' removes all; see 'shoal rm --help'");
        return kWrongUse;
    }
    auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    for (const std::string& key : *keys) {
        const auto had_one = store->erase(key);
        if (!had_one) return fail(had_one.error());
        if (*had_one || arguments.force) continue;
        complain(fmt::format("no such key in '{}': '{}'", printable(arguments.store), printable(key)));
        exit_code = kNo;
    }
    return exit_code;
}

int run_drop(const RemoveArguments& arguments) {
    auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    const auto dropped = store->drop();
    return dropped ? kOk : fail(dropped.error());
}

int run_destroy(const RemoveArguments& arguments) {
    Options options = arguments.options;
    options.force = arguments.force;
    const auto destroyed = Store::destroy(arguments.store, options);
    if (destroyed) return kOk;
    if (arguments.force && destroyed.error().code == Code::kNotFound) return kOk;
    return fail(destroyed.error());
}

CLI::App* add_command(CLI::App& app, const char* name, const char* description, RemoveArguments& arguments) {
    CLI::App* command = app.add_subcommand(name, description);
    command->add_option("STORE", arguments.store, "The store's directory")->required()->type_name("");
    return command;
}

}  // namespace

void add_rm_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<RemoveArguments>();
    CLI::App* command = add_command(app, "rm", "Remove keys and their values", *arguments);
    arguments->keys = add_operands(*command, "KEY", "What to remove");
    add_key_options(*command, arguments->key_options);
    command->add_flag("-f,--force", arguments->force, "A key that is not there is no error");
    add_sharing_options(*command, arguments->options);
    command->footer(kRmExamples);
    command->callback([arguments, &exit_code] { exit_code = run_rm(*arguments); });
}

void add_drop_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<RemoveArguments>();
    CLI::App* command = add_command(app, "drop", "Remove every key of a store", *arguments);
    add_sharing_options(*command, arguments->options);
    command->footer(kDropExamples);
    command->callback([arguments, &exit_code] { exit_code = run_drop(*arguments); });
}

void add_destroy_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<RemoveArguments>();
    CLI::App* command = add_command(app, "destroy", "Remove a store, leaving no trace of it", *arguments);
    command->add_flag("-f,--force", arguments->force,
                      "A store that is not there is no error, and one that is open goes");
    add_sharing_options(*command, arguments->options);
    command->footer(kDestroyExamples);
    command->callback([arguments, &exit_code] { exit_code = run_destroy(*arguments); });
}

}  // namespace shoal::tool
