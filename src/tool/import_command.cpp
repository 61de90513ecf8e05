// shoal import: rows of other systems, appended.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <shoal/store.hpp>

#include "arena/descriptor.hpp"
#include "interchange/rows.hpp"
#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"
#include "tool/streams.hpp"
#include "tool/validators.hpp"

namespace shoal::tool {
namespace {

constexpr char kImportExamples[] =
    R"(Appends a record per row of an Arrow IPC stream, with the columns key and record (binary or utf8), or with --jsonl
of lines such as {"key":"…","record":"…"}; "key_base64" and "record_base64" stand for bytes that are no text. The
store is made if there is none; --memory, --arena-dir, --spill-dir and --codec count only then. What is wrong with a
row names it: all rows before it are in the store then, and none behind it.

Examples:
  shoal import /tmp/words words.arrow
  shoal export /tmp/words | shoal import /tmp/copy --memory 1G
  jq -c '{key: .user, record: tojson}' events.jsonl | shoal import /tmp/events --jsonl)";

struct ImportArguments {
    std::string store;
    CLI::Option* file = nullptr;
    Options options;
    std::string prefix;
    std::size_t batch_bytes = interchange::kBatchBytes;
    bool json_lines = false;
};

// Rows on their way into the store.
class Importer {
public:
    Importer(Store& store, const ImportArguments& arguments) : store_(&store), arguments_(&arguments) {}

    [[nodiscard]] ExitCode take(std::span<const Pair> rows) {
        for (const Pair& row : rows) {
            ++row_number_;
            if (!row.key.text().starts_with(arguments_->prefix)) continue;
            if (row.key.size() > kMaxKeyBytes) {
                const ExitCode before = append();
                if (before != kOk) return before;
                complain(fmt::format("row {}: its key has {} bytes; the maximum is {}", row_number_, row.key.size(),
                                     kMaxKeyBytes));
                tell();
                return kBadInput;
            }
            batch_.push_back(row);
            numbers_.push_back(row_number_);
            bytes_ += row.key.size() + row.value.size() + sizeof(Pair);
            if (bytes_ < arguments_->batch_bytes) continue;
            if (const ExitCode appended = append(); appended != kOk) return appended;
        }
        return append();  // they are valid until the next ones are asked for
    }
    // What is in the store, where not all is.
    void tell() const { complain(fmt::format("{} rows before that were appended, and none behind it", appended_)); }

private:
    [[nodiscard]] ExitCode append() {
        if (batch_.empty()) return kOk;
        const auto appended = store_->append(batch_);
        if (!appended) {
            const std::size_t done = appended.error().count;
            appended_ += done;
            const ExitCode code = fail(appended.error());
            complain(fmt::format("row {} was not appended", numbers_[std::min(done, numbers_.size() - 1)]));
            tell();
            return code;
        }
        appended_ += batch_.size();
        batch_.clear();
        numbers_.clear();
        bytes_ = 0;
        return kOk;
    }

    Store* store_;
    const ImportArguments* arguments_;
    std::vector<Pair> batch_;
    std::vector<std::uint64_t> numbers_;  // of its rows in the input
    std::size_t bytes_ = 0;
    std::uint64_t row_number_ = 0;
    std::uint64_t appended_ = 0;
};

ExitCode fail_input(const Error& error) {
    complain(error.message);
    return error.code == Code::kInvalidArgument ? kBadInput : kSystemError;
}

int run_import(const ImportArguments& arguments) {
    const auto& files = arguments.file->results();
    const bool from_file = !files.empty() && files.front() != "-";
    const Descriptor file(from_file ? ::open(files.front().c_str(), O_RDONLY | O_CLOEXEC) : -1);
    if (from_file && file.get() < 0) {
        return fail_system(fmt::format("cannot read '{}'", printable(files.front())), errno);
    }
    const auto read = [descriptor = from_file ? file.get() : STDIN_FILENO](std::span<char> room) {
        return read_some(descriptor, room);
    };
    const auto rows = arguments.json_lines ? interchange::read_json_lines(read) : interchange::read_arrow(read);
    auto next = rows->next();  // before the store is made: input that is nothing of the kind makes none
    if (!next) return fail_input(next.error());
    auto store = Store::open(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    Importer importer(*store, arguments);
    for (; next && !next->empty(); next = rows->next()) {
        if (const ExitCode taken = importer.take(*next); taken != kOk) return taken;
    }
    if (!next) {
        const ExitCode failed = fail_input(next.error());
        importer.tell();
        return failed;
    }
    if (!arguments.options.durable) return kOk;
    const auto synced = store->sync();
    return synced ? kOk : fail(synced.error());
}

}  // namespace

void add_import_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<ImportArguments>();
    CLI::App* command = app.add_subcommand("import", "Append the records of an Arrow stream or of JSON lines");
    command->add_option("STORE", arguments->store, "The store's directory; made if need be")
        ->required()
        ->type_name("");
    arguments->file = add_operand(*command, "FILE", "Where from; default, or -: standard input");
    command->add_option("-p,--prefix", arguments->prefix, "Only keys that begin with TEXT")->type_name("TEXT");
    command->add_flag("--jsonl", arguments->json_lines, "JSON lines in place of Arrow");
    command
        ->add_option("--max-batch", arguments->batch_bytes, "Bytes of rows that are appended at once; default: 4M")
        ->type_name("SIZE")
        ->transform(byte_size());
    add_creation_options(*command, arguments->options);
    add_spill_options(*command, arguments->options.spill_dir, arguments->options.codec);
    command->add_flag("--durable", arguments->options.durable,
                      "Sync the store in the end, so that it outlives a reboot; a new one can then");
    add_sharing_options(*command, arguments->options);
    command->footer(kImportExamples);
    command->callback([arguments, &exit_code] { exit_code = run_import(*arguments); });
}

}  // namespace shoal::tool
