// shoal shuffle: the rows of files, put into a file a partition (src/shuffle does it; here are its options).
#include <map>
#include <memory>
#include <string>

#include <unistd.h>

#include "shuffle/shuffle.hpp"
#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/streams.hpp"
#include "tool/validators.hpp"

namespace shoal::tool {
namespace {

using shuffling::Format;
using shuffling::OnBadRow;
using shuffling::ShuffleCause;
using shuffling::ShuffleOptions;

constexpr char kShuffleExamples[] =
    R"(--by is a column's name (CSV, TSV), a top-level key (jsonl) or a field's number from 1 (lines). A row goes to
partition XXH3_64bits(value) % N, where the value is what the field says: unquoted, unescaped. --out appears only
when all is done, with manifest.json: rows, bytes and checksum of each file (xxh128sum verifies them). TSV has no
quoting; for tab-separated text with quotes: --format csv --delimiter '\t'. Empty lines are skipped and counted.

Examples:
  shoal shuffle flights.csv --by tailnum --partitions 16 --out by-plane
  shoal shuffle 2013-*.csv --by carrier --by-value --out by-carrier
  shoal shuffle huge.csv --by id --partitions 256 --memory 512M --out by-id
  shoal shuffle huge.csv --by id --partitions 50000 --memory 2G --spill-dir /var/tmp --codec lz4 --out by-id
  zcat log.jsonl.gz | shoal shuffle - --format jsonl --by user --partitions 8 --out users
  shoal shuffle /etc/passwd --format lines --delimiter : --by 7 --by-value --out by-shell)";

struct ShuffleArguments {
    ShuffleOptions options;
    CLI::Option* inputs = nullptr;
    std::string delimiter;
    bool quiet = false;
    bool json = false;
};

[[nodiscard]] ExitCode exit_code_for(ShuffleCause cause) noexcept {
    switch (cause) {
        case ShuffleCause::kUsage:
            return kWrongUse;
        case ShuffleCause::kBadInput:
            return kBadInput;
        case ShuffleCause::kStore:
            return kStoreError;
        case ShuffleCause::kSystem:
        case ShuffleCause::kWorker:
        case ShuffleCause::kInterrupted:
            return kSystemError;
    }
    return kSystemError;
}

int run_shuffle(ShuffleArguments& arguments) {
    ShuffleOptions& options = arguments.options;
    options.inputs = arguments.inputs->results();
    if (arguments.delimiter == "\\t") arguments.delimiter = "\t";
    if (arguments.delimiter.size() > 1) {
        complain("--delimiter is one byte, or \\t");
        return kWrongUse;
    }
    if (!arguments.delimiter.empty()) options.delimiter = arguments.delimiter.front();
    options.progress = !arguments.quiet && isatty(STDERR_FILENO) == 1;
    const auto summary = shuffling::shuffle(options);
    if (!summary) {
        complain(summary.error().message);
        return exit_code_for(summary.error().cause);
    }
    Output output;
    output.add(arguments.json    ? shuffling::summary_json(*summary)
               : arguments.quiet ? ""
                                 : shuffling::summary_table(*summary));
    return output.finish();
}

void add_input_options(CLI::App& command, ShuffleArguments& arguments) {
    static const std::map<std::string, Format> kFormats = {{"auto", Format::kAuto},
                                                           {"csv", Format::kCsv},
                                                           {"tsv", Format::kTsv},
                                                           {"jsonl", Format::kJsonLines},
                                                           {"lines", Format::kLines}};
    static const std::map<std::string, OnBadRow> kOnBadRow = {{"fail", OnBadRow::kFail}, {"skip", OnBadRow::kSkip}};
    ShuffleOptions& options = arguments.options;
    arguments.inputs = add_operands(command, "INPUT", "Files to read; - is standard input")->required();
    command.add_option("--by", options.by, "Where a row's key is")->required()->type_name("COLUMN");
    command
        .add_option("--format", options.format,
                    "csv, tsv, jsonl or lines; default: by the first input's extension, else csv")
        ->type_name("FORMAT")
        ->transform(CLI::Transformer(kFormats));
    command.add_option("--delimiter", arguments.delimiter, "Between fields: one byte, or \\t")->type_name("BYTE");
    command
        .add_option("--on-bad-row", options.on_bad_row,
                    "fail: a malformed row ends the job (the default); skip: it is left out and counted")
        ->type_name("ACTION")
        ->transform(CLI::Transformer(kOnBadRow));
}

void add_output_options(CLI::App& command, ShuffleArguments& arguments) {
    ShuffleOptions& options = arguments.options;
    auto* partitions =
        command.add_option("-n,--partitions", options.partitions, "How many partitions")->type_name("N");
    auto* by_value = command.add_flag("--by-value", options.by_value, "One partition a distinct value instead");
    partitions->excludes(by_value);
    command.add_option("-o,--out", options.out_dir, "The folder to make")->required()->type_name("DIR");
    command.add_flag("-f,--force", options.force, "Replace the folder if it is there and not empty");
    command.add_flag("-q,--quiet", arguments.quiet, "No progress bar and no summary table");
    command.add_flag("-j,--json", arguments.json, "Write the summary as JSON");
}

void add_resource_options(CLI::App& command, ShuffleOptions& options) {
    command.add_option("-w,--workers", options.workers, "Worker processes; default: one a CPU")->type_name("W");
    command
        .add_option("-m,--memory", options.memory_limit_bytes,
                    "Memory for the rows on their way, as 512M or 8G; default: ample for the inputs")
        ->type_name("SIZE")
        ->transform(byte_size());
    add_spill_options(command, options.spill_dir, options.codec);
    command.add_flag("--page-cache", options.page_cache,
                     "Rows that --memory does not hold go through the page cache: where much memory is idle");
    command
        .add_option("--store", options.store_path,
                    "Pass the rows through a store here, new or empty, and destroy it at the end")
        ->type_name("STORE");
    command.add_flag("--keep-store", options.keep_store, "Leave the store of --store, rows and all");
    command.add_option("--chunk", options.chunk_bytes, "Input a worker takes at a time; changes no result")
        ->type_name("SIZE")
        ->transform(byte_size());
}

}  // namespace

void add_shuffle_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<ShuffleArguments>();
    CLI::App* command = app.add_subcommand("shuffle", "Put the rows of files into one file a partition");
    add_input_options(*command, *arguments);
    add_output_options(*command, *arguments);
    add_resource_options(*command, arguments->options);
    command->footer(kShuffleExamples);
    command->callback([arguments, &exit_code] { exit_code = run_shuffle(*arguments); });
}

}  // namespace shoal::tool
