// Store::restore: a new store, filled from a backup before any other process can find it.
//
// The arena is made and named as of every new store; store.meta, which makes it a store, is named when all of the
// backup is in it and, where it spills, durable. So a store is there as a whole or not at all.
//
// Thread safety: every function, beside anything. A crash leaves an arena that no store.meta names, and its spill
// files: the next creator at the path removes both, or gc.
#pragma once

#include <cstdint>
#include <string>

#include <shoal/backup.hpp>
#include <shoal/options.hpp>

namespace shoal {

// `what`: the backup's name in errors. `file_bytes`: of the backup, for progress; 0 where unknown.
[[nodiscard]] Result<Restored> restore_backup(const BackupSource& source, const std::string& what,
                                              std::uint64_t file_bytes, const std::string& path,
                                              const Options& options, const RestoreOptions& restore_options);
// From the file of that name.
[[nodiscard]] Result<Restored> restore_backup(const std::string& file, const std::string& path,
                                              const Options& options, const RestoreOptions& restore_options);

}  // namespace shoal
