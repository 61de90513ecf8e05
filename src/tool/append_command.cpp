// shoal append: records from the command line, from the whole of standard input, or from its lines.
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shoal/store.hpp>

#include "tool/commands.hpp"
#include "tool/failure.hpp"
#include "tool/operands.hpp"
#include "tool/streams.hpp"

namespace shoal::tool {
namespace {

constexpr char kAppendExamples[] =
    R"(Without VALUE the whole of standard input is one record, also when it is empty. The store is made if there is
none; --memory, --arena-dir, --spill-dir and --codec count only then. With --spill-dir it holds more than its
memory: what does not fit goes to files there; --durable makes a new store keep such files in its directory.

Examples:
  shoal append /tmp/words apple red green       two records
  shoal append /tmp/words photo < photo.jpg     one record
  tail -f app.log | shoal append /tmp/words log --lines
  shoal append /tmp/words json -- '-1' '[2]'    -- ends the options
  shoal append /tmp/words --memory 512M apple red
  shoal append /tmp/logs --memory 64M --spill-dir /var/tmp --codec zstd log --lines < app.log)";

constexpr std::size_t kFirstReadBytes = 64 * 1024;
constexpr std::size_t kLargestReadBytes = 64 * 1024 * 1024;
constexpr std::size_t kLineBufferBytes = 1024 * 1024;

struct AppendArguments {
    std::string store;
    CLI::Option* key = nullptr;
    CLI::Option* values = nullptr;
    KeyOptions key_options;
    Options options;
    bool lines = false;
};

ExitCode append_values(Store& store, Key& key, const std::vector<std::string>& values) {
    std::vector<Pair> batch;
    batch.reserve(values.size());
    for (const std::string& value : values) batch.emplace_back(key, value);
    const auto appended = store.append(batch);
    if (appended) return kOk;
    complain(fmt::format("{} of {} values were appended", appended.error().count, values.size()));
    return fail(appended.error());
}

// Memory that is filled by reading; unlike a string's it is not zeroed first.
struct Chunk {
    explicit Chunk(std::size_t bytes) : data(new char[bytes]), capacity(bytes) {}
    [[nodiscard]] std::span<char> room() const { return {data.get() + size, capacity - size}; }

    std::unique_ptr<char[]> data;
    std::size_t capacity;
    std::size_t size = 0;
};

ExitCode fail_reading() { return fail_system("cannot read standard input", errno); }

ExitCode append_input(Store& store, Key& key) {
    // A file's size makes one chunk of it, with a byte to spare in which its end is found.
    struct stat status {};
    const bool is_file = ::fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode);
    std::size_t next_bytes = is_file ? static_cast<std::size_t>(status.st_size) + 1 : kFirstReadBytes;

    std::vector<Chunk> chunks;
    for (;;) {
        if (chunks.empty() || chunks.back().room().empty()) {
            chunks.emplace_back(next_bytes);
            next_bytes = std::min(2 * chunks.back().capacity, kLargestReadBytes);
        }
        const std::ptrdiff_t count = read_some(STDIN_FILENO, chunks.back().room());
        if (count < 0) return fail_reading();
        if (count == 0) break;
        chunks.back().size += static_cast<std::size_t>(count);
    }
    std::vector<ByteView> pieces;
    for (const Chunk& chunk : chunks) pieces.emplace_back(chunk.data.get(), chunk.size);
    const auto appended = store.append(key, pieces);
    return appended ? kOk : fail(appended.error());
}

// Appends every line that is complete, and at the end of the input what is left. A batch is what one read
// brings, so lines that come slowly are in the store as soon as they are whole.
ExitCode append_lines(Store& store, Key& key) {
    Chunk buffer(kLineBufferBytes);
    std::vector<Pair> batch;
    std::size_t appended_lines = 0;
    std::size_t searched = 0;  // the bytes before this hold no newline
    for (bool more = true; more;) {
        if (buffer.room().empty()) {  // one line fills it all
            Chunk larger(2 * buffer.capacity);
            std::memcpy(larger.data.get(), buffer.data.get(), buffer.size);
            larger.size = buffer.size;
            buffer = std::move(larger);
        }
        const std::ptrdiff_t count = read_some(STDIN_FILENO, buffer.room());
        if (count < 0) return fail_reading();
        more = count > 0;
        buffer.size += static_cast<std::size_t>(count);

        batch.clear();
        std::string_view rest(buffer.data.get(), buffer.size);
        for (std::size_t newline = rest.find('\n', searched); newline != std::string_view::npos;
             newline = rest.find('\n')) {
            batch.emplace_back(key, rest.substr(0, newline + 1));
            rest.remove_prefix(newline + 1);
        }
        if (!more && !rest.empty()) {
            batch.emplace_back(key, rest);
            rest.remove_prefix(rest.size());
        }
        const auto appended = store.append(batch);
        if (!appended) {
            complain(fmt::format("the first {} lines of the input were appended, the next was not",
                                 appended_lines + appended.error().count));
            return fail(appended.error());
        }
        appended_lines += batch.size();
        std::memmove(buffer.data.get(), rest.data(), rest.size());
        buffer.size = rest.size();
        searched = rest.size();
    }
    return kOk;
}

int run_append(const AppendArguments& arguments) {
    std::vector<std::string> words = arguments.key->results();
    std::vector<std::string> values = arguments.values->results();
    if (!arguments.key_options.files.empty()) {  // the key is in a file, so every operand is a value
        values.insert(values.begin(), words.begin(), words.end());
        words.clear();
    }
    int exit_code = kOk;
    const auto keys = read_keys(arguments.key_options, words, exit_code);
    if (!keys) return exit_code;
    if (keys->size() != 1) {
        complain(keys->empty() ? "which key? See 'shoal append --help'"
                               : "append takes one key: give --key-file once");
        return kWrongUse;
    }
    if (arguments.lines && !values.empty()) {
        complain("--lines reads standard input: leave the values away, or --lines");
        return kWrongUse;
    }
    auto store = Store::open(arguments.store, arguments.options);
    if (!store) return fail(store.error());
    auto key = store->key(keys->front());
    if (!key) return fail(key.error());
    const ExitCode appended = arguments.lines  ? append_lines(*store, *key)
                              : values.empty() ? append_input(*store, *key)
                                               : append_values(*store, *key, values);
    if (appended != kOk || !arguments.options.durable) return appended;
    const auto synced = store->sync();
    return synced ? kOk : fail(synced.error());
}

}  // namespace

void add_append_command(CLI::App& app, int& exit_code) {
    const auto arguments = std::make_shared<AppendArguments>();
    CLI::App* command = app.add_subcommand("append", "Append records to a key's value");
    command->add_option("STORE", arguments->store, "The store's directory; made if need be")
        ->required()
        ->type_name("");
    arguments->key = add_operand(*command, "KEY", "What to append to");
    arguments->values = add_operands(*command, "VALUE", "Each is a record; without any, standard input is read");
    add_key_options(*command, arguments->key_options);
    command->add_flag("-l,--lines", arguments->lines, "Each line of standard input, newline included, is a record");
    add_creation_options(*command, arguments->options);
    add_spill_options(*command, arguments->options.spill_dir, arguments->options.codec);
    command->add_flag("--durable", arguments->options.durable,
                      "Sync the store in the end, so that it outlives a reboot; a new one can then");
    add_sharing_options(*command, arguments->options);
    command->footer(kAppendExamples);
    command->callback([arguments, &exit_code] { exit_code = run_append(*arguments); });
}

}  // namespace shoal::tool
