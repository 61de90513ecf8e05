// shoal get: values to standard output, written from the arena itself.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"
#include "tool/streams.hpp"

namespace shoal::tool {
namespace {

constexpr char kGetExamples[] =
    R"(A key that has no value is named on standard error, the others are still written, and the exit code is 1.

Examples:
  shoal get /tmp/words apple                    the value, byte for byte
  shoal get /tmp/words apple pear > both        one after the other
  shoal get /tmp/words log --records            a record a line
  shoal get /tmp/words log -0                   a NUL after each record
  shoal get /tmp/words -x 00ff                  a key that is no text)";

struct GetArguments {
    std::string store;
    Options options;
    CLI::Option* keys = nullptr;
    KeyOptions key_options;
    bool records = false;
    bool nul = false;
    std::string separator = "\n";
};

Result<void> write_value(const Store& store, const std::string& key, Output& output) {
    return store.view(key).map([&](const View& view) { output.write(view.spans()); });
}

Result<void> write_records(const Store& store, const std::string& key, ByteView separator, Output& output) {
    return store.records(key).map([&](const Records& records) {
        std::vector<ByteView> pieces;
        pieces.reserve(2 * records.size());
        for (const ByteView record : records) {
            pieces.push_back(record);
            pieces.push_back(separator);
        }
        output.write(pieces);
    });
}

int run_get(const GetArguments& arguments) {
    int exit_code = kOk;
    const auto keys = read_keys(arguments.key_options, arguments.keys->results(), exit_code);
    if (!keys) return exit_code;
    if (keys->empty()) {
        complain("which key? 'shoal keys STORE' lists them; see 'shoal get --help'");
        return kWrongUse;
    }
    const auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());

    const ByteView separator = arguments.nul ? ByteView("\0", 1) : ByteView(arguments.separator);
    Output output;
    for (const std::string& key : *keys) {
        const Result<void> written =
            arguments.records ? write_records(*store, key, separator, output) : write_value(*store, key, output);
        if (written) continue;
        if (written.error().code != Code::kNotFound) return fail(written.error());
        complain(fmt::format("no such key in '{}': '{}'", printable(arguments.store), printable(key)));
        exit_code = kNo;
    }
    const ExitCode output_code = output.finish();
    return output_code == kOk ? exit_code : output_code;
}

}  // namespace

void add_get_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<GetArguments>();
    CLI::App* command = app.add_subcommand("get", "Write values to standard output");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    arguments->keys = add_operands(*command, "KEY", "Whose values to write");
    add_key_options(*command, arguments->key_options);
    command->add_flag("-r,--records", arguments->records, "Write a newline after each record");
    CLI::Option* separator =
        command->add_option("-s,--separator", arguments->separator, "Write TEXT after each record")
            ->type_name("TEXT");
    CLI::Option* nul = command->add_flag("-0,--null", arguments->nul, "Write a NUL after each record");
    nul->excludes(separator);
    add_sharing_options(*command, arguments->options);
    add_read_only_option(*command, arguments->options);
    command->footer(kGetExamples);
    command->callback([arguments, separator, &exit_code] {
        arguments->records = arguments->records || arguments->nul || separator->count() > 0;
        exit_code = run_get(*arguments);
    });
}

}  // namespace shoal::tool
