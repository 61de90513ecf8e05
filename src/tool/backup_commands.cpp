// shoal backup and shoal restore: one portable file of all that a store holds, and a store made of it.
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>
#include <string>

#include <unistd.h>

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

constexpr char kBackupExamples[] =
    R"(Others may go on using the store. Each key's value in FILE has all that was acknowledged before the command began.
FILE is written as FILE.part, and gets its name when it is whole and durable; until then an earlier FILE stays.
FILE.part of a backup that was interrupted is gone on with by --resume. - is standard output.

Examples:
  shoal backup /tmp/words /backups/words
  shoal backup /tmp/words /backups/words --resume
  shoal backup /tmp/words - --codec zstd | ssh host shoal restore - /tmp/words)";

constexpr char kRestoreExamples[] =
    R"(No store may be at STORE; it is there when all of the backup is in it, and not before. It is as the one that was
backed up: its memory limit is at most what a new store here would get; if that one spilled, the new one keeps
its spill files in its directory, and outlives a reboot. - is standard input.

Examples:
  shoal restore /backups/words /tmp/words
  shoal restore /backups/words /tmp/words --memory 2G --spill-dir /var/tmp)";

struct BackupArguments {
    std::string store;
    std::string file;
    Options options;
    BackupOptions backup;
};

struct RestoreArguments {
    std::string file;
    std::string store;
    Options options;
};

int run_backup(BackupArguments& arguments) {
    const bool to_output = arguments.file == "-";
    if (to_output && ::isatty(STDOUT_FILENO) == 1) {
        complain("a backup is no text: send standard output to a file or a pipe, or name a file");
        return kWrongUse;
    }
    auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    ProgressLine line("backup");
    arguments.backup.progress = [&line](const BackupProgress& progress) {
        line.show(progress.fraction, progress.file_bytes);
        return true;
    };
    const BackupSink output = [](ByteView bytes) -> Result<void> {
        if (const int cause = write_fully(STDOUT_FILENO, bytes); cause != 0) {
            return tl::unexpected(Error{
                Code::kSystem, fmt::format("cannot write to standard output: {}", std::strerror(cause)), cause, 0});
        }
        return {};
    };
    const auto done =
        to_output ? store->backup(output, arguments.backup) : store->backup(arguments.file, arguments.backup);
    line.clear();
    if (!done) {
        const ExitCode code = fail(done.error());
        const std::string part = arguments.file + ".part";
        if (!to_output && ::access(part.c_str(), F_OK) == 0) {
            complain(fmt::format("what was written is in '{}': --resume goes on with it", printable(part)));
        }
        return code;
    }
    if (to_output) return kOk;
    Output text;
    text.add(fmt::format("{} keys, {} records of {} bytes in {} bytes", done->keys, done->records,
                         done->payload_bytes, done->file_bytes));
    if (done->resumed_bytes != 0) text.add(fmt::format("; {} of them were there", done->resumed_bytes));
    text.add("\n");
    return text.finish();
}

int run_restore(const RestoreArguments& arguments) {
    const bool from_input = arguments.file == "-";
    ProgressLine line("restore");
    RestoreOptions options;
    options.progress = [&line](const BackupProgress& progress) {
        line.show(progress.fraction, progress.file_bytes);
        return true;
    };
    const BackupSource input = [](std::span<std::byte> room) -> Result<std::size_t> {
        const auto count = read_some(STDIN_FILENO, {reinterpret_cast<char*>(room.data()), room.size()});
        if (count < 0) {
            const int cause = errno;
            return tl::unexpected(Error{
                Code::kSystem, fmt::format("cannot read standard input: {}", std::strerror(cause)), cause, 0});
        }
        return static_cast<std::size_t>(count);
    };
    const auto restored = from_input ? Store::restore(input, arguments.store, arguments.options, options)
                                     : Store::restore(arguments.file, arguments.store, arguments.options, options);
    line.clear();
    if (!restored) return fail(restored.error());
    Output text;
    text.add(fmt::format("{} keys, {} records of {} bytes, as of {:%Y-%m-%d %H:%M:%S} UTC{}\n", restored->keys,
                         restored->records, restored->payload_bytes,
                         fmt::gmtime(static_cast<std::time_t>(restored->begun_unix_s)),
                         restored->synced ? "; synced" : ""));
    return text.finish();
}

}  // namespace

void add_backup_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<BackupArguments>();
    CLI::App* command = app.add_subcommand("backup", "Write all that a store holds to one file");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    command->add_option("FILE", arguments->file, "Where to; - is standard output")->required()->type_name("");
    command->add_flag("--resume", arguments->backup.resume, "Go on with a backup to FILE that was interrupted");
    command
        ->add_option_function<std::string>(
            "--codec",
            [arguments](const std::string& text) {
                const auto parsed = parse_codec(text);
                if (!parsed) throw CLI::ValidationError("--codec", parsed.error().message);
                arguments->backup.codec = *parsed;
            },
            "Compress it: none, lz4, zstd:9, …; default: as the store's spilled data")
        ->type_name("CODEC");
    add_sharing_options(*command, arguments->options);
    command->footer(kBackupExamples);
    command->callback([arguments, &exit_code] { exit_code = run_backup(*arguments); });
}

void add_restore_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<RestoreArguments>();
    CLI::App* command = app.add_subcommand("restore", "Make a store of a backup");
    command->add_option("FILE", arguments->file, "The backup; - is standard input")->required()->type_name("");
    command->add_option("STORE", arguments->store, "The directory of the store to make")->required()->type_name("");
    command
        ->add_option("-m,--memory", arguments->options.memory_limit_bytes,
                     "Memory limit, as 512M or 8G; default: what it was, at most half of what is free")
        ->type_name("SIZE")
        ->transform(byte_size());
    command->add_option("--arena-dir", arguments->options.arena_dir, "Where its memory lies; default: a tmpfs")
        ->type_name("DIR");
    add_spill_options(*command, arguments->options.spill_dir, arguments->options.codec);
    command->add_flag("--durable", arguments->options.durable,
                      "It has spill files in its directory, and outlives a reboot");
    add_sharing_options(*command, arguments->options);
    command->footer(kRestoreExamples);
    command->callback([arguments, &exit_code] { exit_code = run_restore(*arguments); });
}

}  // namespace shoal::tool
