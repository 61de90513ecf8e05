// shoal spill: what can go from memory to files, now.
#include <cstdint>
#include <memory>
#include <string>

#include <fmt/format.h>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/streams.hpp"
#include "tool/validators.hpp"

namespace shoal::tool {
namespace {

constexpr char kSpillExamples[] =
    R"(Says how many bytes of memory that freed; they are free when the last who reads there has gone on. Nobody needs
this: a store made with --spill-dir does it when its memory gets short.

Examples:
  shoal spill /tmp/words                        all that can be
  shoal spill /tmp/words --bytes 64M            until that has freed so much)";

struct SpillArguments {
    std::string store;
    Options options;
    std::uint64_t bytes = ~0ULL;
};

int run_spill(const SpillArguments& arguments) {
    auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    const auto spilled = store->spill(arguments.bytes);
    if (!spilled) return fail(spilled.error());
    Output output;
    output.add(fmt::format("{}\n", *spilled));
    return output.finish();
}

}  // namespace

void add_spill_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<SpillArguments>();
    CLI::App* command = app.add_subcommand("spill", "Write data of a store out to its files now");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    command
        ->add_option("-b,--bytes", arguments->bytes,
                     "Free so much memory, as 64M or 1G; default: all that is there now")
        ->type_name("SIZE")
        ->transform(byte_size());
    add_sharing_options(*command, arguments->options);
    command->footer(kSpillExamples);
    command->callback([arguments, &exit_code] { exit_code = run_spill(*arguments); });
}

}  // namespace shoal::tool
