// What stands on the command line: operands exactly as they were typed, and keys of any bytes.
//
// CLI11 reads meaning into some operands: "[a,b]" becomes two, "{}" none, "++" ends a subcommand, and "--" after
// an operand does too. Keys and values are anybody's data (JSON, for instance), so main() shields such arguments
// and all that come after "--", every option unshields what it gets, and add_operands() takes the words as they
// came.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <shoal/store.hpp>

namespace shoal::tool {

// The arguments after the program's name, last one first, as CLI::App::parse wants them.
[[nodiscard]] std::vector<std::string> shielded_arguments(int argc, const char* const* argv);

// To be called once all options of `app` and its subcommands have been added.
void unshield_options(CLI::App& app);

// Any number of operands; read them with Option::results().
CLI::Option* add_operands(CLI::App& command, const std::string& name, const std::string& description);

// At most one operand, read in the same way.
CLI::Option* add_operand(CLI::App& command, const std::string& name, const std::string& description);

struct KeyOptions {
    bool hex = false;                // the key operands are hex digits
    std::vector<std::string> files;  // each holds one key
};

void add_key_options(CLI::App& command, KeyOptions& options);

// --group and --any-owner.
void add_sharing_options(CLI::App& command, Options& options);

// --read-only, of a command that only reads.
void add_read_only_option(CLI::App& command, Options& options);

// --spill-dir and --codec.
void add_spill_options(CLI::App& command, std::string& spill_dir, Codec& codec);

// --memory and --arena-dir, of a command that makes a store.
void add_creation_options(CLI::App& command, Options& options);

// The store for a command that appends nothing, and so leaves spilling to others.
[[nodiscard]] Result<Store> attach_store(const std::string& path, Options options);

// The keys of `words`, then those of options.files; nothing after an error that it has reported, with its exit
// code in `exit_code`.
[[nodiscard]] std::optional<std::vector<std::string>> read_keys(const KeyOptions& options,
                                                                const std::vector<std::string>& words,
                                                                int& exit_code);

}  // namespace shoal::tool
