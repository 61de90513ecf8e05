#include "tool/operands.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "tool/exit_codes.hpp"
#include "tool/failure.hpp"
#include "tool/printable.hpp"
#include "tool/validators.hpp"

namespace shoal::tool {
namespace {

constexpr char kShield = '=';

bool needs_shield(std::string_view word) {
    if (word.empty()) return false;
    return word.front() == kShield || word.front() == '[' || word.front() == '{' || word == "++";
}

std::optional<std::string> read_key_file(const std::string& path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
    if (!file) return std::nullopt;
    std::string bytes;
    char piece[4096];
    while (const std::size_t count = std::fread(piece, 1, sizeof piece, file.get())) bytes.append(piece, count);
    if (std::ferror(file.get()) != 0) return std::nullopt;
    return bytes;
}

CLI::Option* add_raw(CLI::App& command, const std::string& name, const std::string& description) {
    // The words stay in the option: converting them is where CLI11 would read meaning into them.
    return command.add_option(name, CLI::callback_t([](const CLI::results_t&) { return true; }), description);
}

}  // namespace

std::vector<std::string> shielded_arguments(int argc, const char* const* argv) {
    std::vector<std::string> arguments;
    bool only_operands = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--" && !only_operands) {
            only_operands = true;
        } else {
            const bool shield = only_operands || needs_shield(word);
            arguments.emplace_back(shield ? kShield + std::string(word) : std::string(word));
        }
    }
    std::reverse(arguments.begin(), arguments.end());
    return arguments;
}

void unshield_options(CLI::App& app) {
    for (CLI::Option* option : app.get_options()) {
        if (option->get_items_expected_max() == 0) continue;  // a flag
        option->transform(CLI::Validator(
            [](std::string& word) {
                if (!word.empty() && word.front() == kShield) word.erase(0, 1);
                return std::string();
            },
            ""));
    }
    for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) unshield_options(*command);
}

CLI::Option* add_operands(CLI::App& command, const std::string& name, const std::string& description) {
    return add_raw(command, name, description)
        ->expected(1, CLI::detail::expected_max_vector_size)
        ->allow_extra_args();
}

CLI::Option* add_operand(CLI::App& command, const std::string& name, const std::string& description) {
    return add_raw(command, name, description);
}

void add_key_options(CLI::App& command, KeyOptions& options) {
    command.add_flag("-x,--hex-key", options.hex, "KEY is in hex, two digits a byte: 666f6f is foo");
    command.add_option("--key-file", options.files, "The whole of FILE is one key; stands for a KEY operand")
        ->type_name("FILE")
        ->allow_extra_args(false);
}

void add_sharing_options(CLI::App& command, Options& options) {
    command
        .add_option("-g,--group", options.group,
                    "Share the store within GROUP, a name or number: a new one is made so, another's is taken")
        ->type_name("GROUP");
    command.add_flag("--any-owner", options.any_owner, "Take the store whoever owns it, and can so disturb you");
}

void add_read_only_option(CLI::App& command, Options& options) {
    command.add_flag("--read-only", options.read_only,
                     "Write nothing and take no place among those who use the store: for read-only mounts");
}

void add_creation_options(CLI::App& command, Options& options) {
    command
        .add_option("-m,--memory", options.memory_limit_bytes,
                    "Memory limit of a new store, as 512M or 8G; default: half of what is free to it")
        ->type_name("SIZE")
        ->transform(byte_size());
    command.add_option("--arena-dir", options.arena_dir, "Where a new store's memory lies; default: a tmpfs")
        ->type_name("DIR");
}

void add_spill_options(CLI::App& command, std::string& spill_dir, Codec& codec) {
    command.add_option("--spill-dir", spill_dir, "Folder for what memory does not hold; default: it must hold all")
        ->type_name("DIR");
    command
        .add_option_function<std::string>(
            "--codec",
            [&codec](const std::string& text) {
                const auto parsed = parse_codec(text);
                if (!parsed) throw CLI::ValidationError("--codec", parsed.error().message);
                codec = *parsed;
            },
            "Compress what goes there: none (the default), lz4, zstd:9, blosc:8, …")
        ->type_name("CODEC");
}

Result<Store> attach_store(const std::string& path, Options options) {
    options.spill_thread = false;
    return Store::attach(path, options);
}

std::optional<std::vector<std::string>> read_keys(const KeyOptions& options, const std::vector<std::string>& words,
                                                  int& exit_code) {
    std::vector<std::string> keys;
    for (const std::string& word : words) {
        std::optional<std::string> key = options.hex ? from_hex(word) : word;
        if (!key) {
            complain(fmt::format("'{}' is not a key in hex: give two digits a byte, as 666f6f for foo",
                                 printable(word)));
            exit_code = kWrongUse;
            return std::nullopt;
        }
        keys.push_back(std::move(*key));
    }
    for (const std::string& path : options.files) {
        std::optional<std::string> key = read_key_file(path);
        if (!key) {
            exit_code = fail_system(fmt::format("cannot read the key in '{}'", printable(path)), errno);
            return std::nullopt;
        }
        keys.push_back(std::move(*key));
    }
    return keys;
}

}  // namespace shoal::tool
