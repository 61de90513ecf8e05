// shoal sync and shoal recover: what outlives the machine's memory, and that it comes back.
#include <cstdint>
#include <memory>
#include <string>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"
#include "tool/progress_line.hpp"
#include "tool/streams.hpp"
#include "tool/validators.hpp"

namespace shoal::tool {
namespace {

constexpr char kSyncExamples[] =
    R"(What was appended or erased before, by any process, outlives a reboot then: the store comes back when it is
opened. It must have been made with --spill-dir or --durable. Says how many keys that are and what was written.

Examples:
  shoal append /var/tmp/words --durable apple red
  shoal sync /var/tmp/words)";

constexpr char kRecoverExamples[] =
    R"(Every command that opens the store does the same; this one reads all of it besides, and says what is damaged.
Exit code 0 when all is there as it was synced last, 3 when there is nothing to bring back, or some is damaged: the
keys that it names give an error, all others are there.

A copy of a store's directory, which every other command refuses while its original lives, is a store of its own
from then on, as the original was synced last before it was copied.

Examples:
  shoal recover /var/tmp/words
  shoal recover /var/tmp/words --memory 2G      with another limit than it had)";

struct SyncArguments {
    std::string store;
    Options options;
};

int run_sync(const SyncArguments& arguments) {
    auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    const auto synced = store->sync();
    if (!synced) return fail(synced.error());
    Output output;
    output.add(fmt::format("{} keys, {} records of {} bytes; {} of them written now\n", synced->keys,
                           synced->records, synced->payload_bytes, synced->copied_bytes));
    return output.finish();
}

int run_recover(const SyncArguments& arguments) {
    ProgressLine restoring("restore");
    ProgressLine checking("check");
    RecoverOptions options;
    options.progress = [&](const CheckProgress& progress) {
        if (progress.step == CheckProgress::Step::kRestoring) {
            restoring.show(progress.fraction, progress.bytes);
        } else {
            checking.show(progress.fraction, progress.bytes);
        }
        return true;
    };
    const auto recovery = Store::recover(arguments.store, arguments.options, options);
    checking.clear();
    if (!recovery) return fail(recovery.error());
    const VerifyReport& found = recovery->found;
    Output output;
    output.add(recovery->restored ? "restored\n" : "its arena is there: nothing was done\n");
    if (found.synced_unix_s != 0) {
        output.add(fmt::format("synced {:%Y-%m-%d %H:%M:%S} UTC\n",
                               fmt::gmtime(static_cast<std::time_t>(found.synced_unix_s))));
    }
    output.add(fmt::format("{} keys, {} records of {} bytes\n", found.keys, found.records, found.payload_bytes));
    for (const Damage& damage : found.damage) output.add(fmt::format("damaged: {}\n", printable(damage.what)));
    if (found.damage_count > found.damage.size()) {
        output.add(fmt::format("and {} more\n", found.damage_count - found.damage.size()));
    }
    if (const int written = output.finish(); written != kOk) return written;
    if (found.sound()) return kOk;
    complain(fmt::format("the store '{}' is back, but for what is damaged", printable(arguments.store)));
    return kStoreError;
}

}  // namespace

void add_sync_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<SyncArguments>();
    CLI::App* command = app.add_subcommand("sync", "Make what a store holds outlive the machine's memory");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    add_sharing_options(*command, arguments->options);
    command->footer(kSyncExamples);
    command->callback([arguments, &exit_code] { exit_code = run_sync(*arguments); });
}

void add_recover_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<SyncArguments>();
    CLI::App* command = app.add_subcommand("recover", "Bring a store back whose memory is gone, as after a reboot");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    command
        ->add_option("-m,--memory", arguments->options.memory_limit_bytes,
                     "Its memory limit, as 512M or 2G; default: what it was")
        ->type_name("SIZE")
        ->transform(byte_size());
    add_sharing_options(*command, arguments->options);
    command->footer(kRecoverExamples);
    command->callback([arguments, &exit_code] { exit_code = run_recover(*arguments); });
}

}  // namespace shoal::tool
