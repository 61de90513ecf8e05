// shoal export: every record of a store as a row that other systems read.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <shoal/store.hpp>

#include "interchange/rows.hpp"
#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/printable.hpp"
#include "tool/streams.hpp"
#include "tool/validators.hpp"

namespace shoal::tool {
namespace {

constexpr char kExportExamples[] =
    R"(Writes an Arrow IPC stream with the columns key (binary) and record (large_binary), a row per record; rows of a
key follow each other, in the order of its records. With --jsonl a line per record: {"key":"…","record":"…"}, where
bytes that are no UTF-8 are in base64, as "key_base64" or "record_base64". The keys come in no order. Each key is
given as it is when its turn comes: beside processes that append this is no snapshot of all keys.
A FILE that is there is replaced when all is written.

Examples:
  shoal export /tmp/words words.arrow           polars.read_ipc_stream("words.arrow")
  shoal export /tmp/words --jsonl | jq .record
  shoal export /tmp/words --prefix user: | ssh host shoal import /tmp/users)";

struct ExportArguments {
    std::string store;
    CLI::Option* file = nullptr;
    Options options;
    std::string prefix;
    std::size_t batch_bytes = interchange::kBatchBytes;
    bool json_lines = false;
};

// What is written to: standard output, a device or a pipe, or a new file, which gets its name when it is whole.
class Target {
public:
    // Nothing after an error that it has reported.
    [[nodiscard]] static std::optional<Target> open(const std::string& path) {
        if (path == "-") return Target(STDOUT_FILENO, "", "");
        struct stat info {};
        const bool is_there = ::stat(path.c_str(), &info) == 0;
        const bool is_file = !is_there || S_ISREG(info.st_mode);
        std::string written = is_file ? path + ".part" : path;
        const int flags = is_file ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_WRONLY | O_CLOEXEC;
        const int descriptor = ::open(written.c_str(), flags, 0666);
        if (descriptor < 0) {
            static_cast<void>(fail_system(fmt::format("cannot write '{}'", printable(written)), errno));
            return std::nullopt;
        }
        return Target(descriptor, is_file ? std::move(written) : "", path);
    }
    Target(Target&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)),
          part_(std::exchange(other.part_, "")),
          path_(std::move(other.path_)) {}
    Target& operator=(Target&&) = delete;
    ~Target() {
        if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
        if (!part_.empty()) ::unlink(part_.c_str());
    }
    [[nodiscard]] Output output() const {
        return path_.empty() ? Output() : Output(descriptor_, fmt::format("'{}'", printable(path_)));
    }
    // All is written.
    [[nodiscard]] ExitCode keep() {
        if (part_.empty()) return kOk;
        if (::fsync(descriptor_) != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) {
            return fail_system(fmt::format("cannot write '{}'", printable(path_)), errno);
        }
        part_.clear();
        return kOk;
    }

private:
    Target(int descriptor, std::string part, std::string path)
        : descriptor_(descriptor), part_(std::move(part)), path_(std::move(path)) {}

    int descriptor_;
    std::string part_;  // its name until it is whole; empty: it has none of its own
    std::string path_;
};

int run_export(const ExportArguments& arguments) {
    const auto store = attach_store(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    auto target = Target::open(arguments.file->results().empty() ? "-" : arguments.file->results().front());
    if (!target) return kSystemError;

    Output output = target->output();
    const auto write = [&](std::span<const ByteView> pieces) { return output.write(pieces); };
    const auto rows = arguments.json_lines ? interchange::write_json_lines(write, arguments.batch_bytes)
                                           : interchange::write_arrow(write, arguments.batch_bytes);
    std::optional<Error> failure;
    bool goes_on = true;
    const auto walked = store->for_each_key(arguments.prefix, [&](ByteView key) {
        const auto read = store->records(key, arguments.batch_bytes, [&](const Records& part) {
            for (const ByteView record : part) {
                goes_on = rows->add(key, record);
                if (!goes_on) break;
            }
            return goes_on;
        });
        if (!read && read.error().code != Code::kNotFound) failure = read.error();  // else it was erased meanwhile
        return goes_on && !failure;
    });
    if (!walked) failure = walked.error();
    if (failure) {
        static_cast<void>(output.finish());
        return fail(*failure);
    }
    if (goes_on) goes_on = rows->finish();
    const ExitCode written = output.finish();
    return written == kOk && goes_on ? target->keep() : written;
}

}  // namespace

void add_export_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<ExportArguments>();
    CLI::App* command = app.add_subcommand("export", "Write all records as an Arrow stream or as JSON lines");
    command->add_option("STORE", arguments->store, "The store's directory")->required()->type_name("");
    arguments->file = add_operand(*command, "FILE", "Where to; default, or -: standard output");
    command->add_option("-p,--prefix", arguments->prefix, "Only keys that begin with TEXT")->type_name("TEXT");
    command->add_flag("--jsonl", arguments->json_lines, "JSON lines in place of Arrow");
    command
        ->add_option("--max-batch", arguments->batch_bytes,
                     "Bytes of rows that are gathered in memory, and make one Arrow batch; default: 4M")
        ->type_name("SIZE")
        ->transform(byte_size());
    add_sharing_options(*command, arguments->options);
    add_read_only_option(*command, arguments->options);
    command->footer(kExportExamples);
    command->callback([arguments, &exit_code] { exit_code = run_export(*arguments); });
}

}  // namespace shoal::tool
