// The subcommands. Each function adds one to `app`; when it is the one that is asked for it runs at the end of
// the parse and leaves its exit code in `exit_code`.
#pragma once

#include <CLI/CLI.hpp>

namespace shoal::tool {

void add_append_command(CLI::App& app, int& exit_code);
void add_get_command(CLI::App& app, int& exit_code);
void add_keys_command(CLI::App& app, int& exit_code);
void add_stat_command(CLI::App& app, int& exit_code);
void add_export_command(CLI::App& app, int& exit_code);
void add_import_command(CLI::App& app, int& exit_code);
void add_spill_command(CLI::App& app, int& exit_code);
void add_sync_command(CLI::App& app, int& exit_code);
void add_recover_command(CLI::App& app, int& exit_code);
void add_backup_command(CLI::App& app, int& exit_code);
void add_restore_command(CLI::App& app, int& exit_code);
void add_ps_command(CLI::App& app, int& exit_code);
void add_gc_command(CLI::App& app, int& exit_code);
void add_rm_command(CLI::App& app, int& exit_code);
void add_drop_command(CLI::App& app, int& exit_code);
void add_destroy_command(CLI::App& app, int& exit_code);
void add_verify_command(CLI::App& app, int& exit_code);
void add_shuffle_command(CLI::App& app, int& exit_code);

}  // namespace shoal::tool
