// How often a store was restored from a checkpoint. Each arena of a store has the number of the restore that made
// it, and the names of its spill files and checkpoints bear that number: two arenas of one store never write to the
// same file, also where locks on store.meta mean nothing (another store.meta was put in its place, for instance).
//
//   shoal-<id>-0007.spill            a spill file of the store's first arena, whose number is 0
//   shoal-<id>-r3-0007.spill         a spill file of the arena of the third restore
//   shoal-<id>-checkpoint-<number>   the number's upper bits are the restore's, so that a later arena's is higher
//   shoal-<id>-restores              text: the number of the newest restore, and which store.meta it was for; an
//                                    arena with a lower number is not the store's any more
//
// An arena also reads the files of arenas before it, which its checkpoint names, and never writes to them: of a
// file number the name with the highest restore is meant that is not later than the checkpoint.
//
// Thread safety: every function. A crash while the newest number is written leaves text that counts as none; the
// names of files still give the number of the next restore, and an attach writes the text again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include <shoal/error.hpp>

#include "arena/store_home.hpp"
#include "arena/store_id.hpp"

namespace shoal {

inline constexpr unsigned kRestoreShift = 32;  // 4 billion syncs of each arena
inline constexpr std::uint64_t kMostRestores = 1 << 22;
[[nodiscard]] constexpr std::uint64_t restore_of_sync(std::uint64_t sync) noexcept { return sync >> kRestoreShift; }
[[nodiscard]] constexpr std::uint64_t first_sync_of(std::uint64_t restore) noexcept {
    return restore << kRestoreShift;
}

struct SpillFileName {
    std::uint64_t restore = 0;
    std::uint32_t number = 0;
};

// Of "shoal-<id>-0007.spill" or "shoal-<id>-r3-0007.spill", which SpillFiles writes; nothing where it is no spill
// file's name of that store. `id_text`: the store's id in 32 hex digits.
[[nodiscard]] std::optional<SpillFileName> spill_file_name(std::string_view text, const std::string& id_text);
inline constexpr std::string_view kRestoresName = "restores";  // behind the store's prefix
// What lies beside the spill files and says how often the store was restored.
[[nodiscard]] std::string restores_path(const std::string& folder, const std::string& id_text);

// Whose files are taken.
using CheckOwner = std::function<Result<void>(const struct stat& info, const std::string& what)>;
// Those of the owner of `own`, which is one of the store's other files, or of its group where that shares it.
[[nodiscard]] bool belongs_with(const struct stat& own, const struct stat& info) noexcept;

// A number that no file in the folder bears, and no arena before. Errors: as of opendir(3), and of newest_restore.
[[nodiscard]] Result<std::uint64_t> next_restore(const std::string& folder, const std::string& id_text,
                                                 const CheckOwner& check);

struct NewestRestore {
    std::uint64_t number = 0;
    MetaIdentity meta{};  // of the store.meta; unknown in a text of before
};
// As `restores_path` says; 0 where it says nothing, or is of an owner who is not taken. kIncompatible where it is
// of a later version.
[[nodiscard]] Result<NewestRestore> newest_restore(const std::string& folder, const std::string& id_text,
                                                   const CheckOwner& check);
// Makes it say so, durably. `grant` gives a new file its group and mode: 0 or an errno.
[[nodiscard]] Result<void> say_restore(const std::string& folder, const std::string& id_text,
                                       const NewestRestore& restore,
                                       const std::function<int(int descriptor)>& grant);

}  // namespace shoal
