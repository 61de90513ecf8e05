// What creators, destroyers and owners of temporary stores that were killed have left, and who takes it away: the
// next creator or destroyer of the same store, an attach that finds a temporary store without an owner, and
// Store::collect.
//
// An arena is garbage when its store's directory is gone, when the store.meta there does not name it, or when it is
// temporary; and when nobody has it open. That is judged twice: first without any lock, so that a store that is
// somebody's data is never locked; then, of what seems to be garbage, with its creation and presence bytes held
// (arena/presence.hpp), while nobody can create, open or remove it.
//
// A directory that this process does not find may be there all the same. So what seems to be garbage is left,
// unless by force, where its home (store/home.hpp) is in another mount namespace or on a file system that is not
// mounted here, where the store was synced, and while it is younger than asked. None of that says anything of an
// arena that has never had a store.meta, or whose store was destroyed, but for the first two: those hide whether it
// has one.
//
// store.meta goes before its arena, by a rename. A destroyer takes it whosever it is. Who removes a store that has
// ended means only that store's, which no rename can say: the name that it gets says whose it should be, and
// whoever finds another's under it puts that back (restore_metadata), since that store lives.
//
// Thread safety: beside anything. A crash leaves what was not removed yet to the next. Only its own file's name is
// ever unlinked, looked up by inode.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <shoal/error.hpp>
#include <shoal/leftover.hpp>

#include "store/access.hpp"
#include "store/metadata.hpp"

namespace shoal {

inline constexpr std::string_view kArenaPrefix = "shoal-";

// Removes the spill files of a destroyed store, whose metadata has been set aside in `directory` under the name
// `aside`; its owner's only. 0 or an errno.
[[nodiscard]] int remove_spill_files_of(int directory, const std::string& aside, const Metadata& metadata);

// Carries through what destroyers that were killed or stopped have begun at `path`: those who have such a store
// open are told, and its files go. True when there was one. Hidden files of creators that were killed go too.
bool finish_destructions(int directory, const std::string& path, const Access& access);

// Gives a store that lives its store.meta back, where one who removed another has set it aside. True when there was
// one.
bool restore_metadata(int directory, const std::string& path, const Access& access);

// Gives store.meta, which was set aside as `aside`, its name back. False: another has come meanwhile.
[[nodiscard]] bool put_metadata_back(int directory, const std::string& aside);

// Removes what is left of earlier stores at `path`, whose directory is open as `directory`. `arena_dir`: where its
// arenas lie.
void sweep_leftovers(int directory, const std::string& path, const std::string& arena_dir, const Access& access);

// Removes the temporary store whose arena is open as `arena`, when somebody has held the presence byte alone: from
// then on it has ended. What cannot be removed is left to the next attach or creation at `path`, and to collect().
// Throws std::bad_alloc, as after a crash at that point.
void remove_ended_store(int arena, const std::string& path, const Metadata& metadata);

// See Store::collect.
[[nodiscard]] Result<std::vector<Leftover>> collect_leftovers(const CollectOptions& options);

// Gives store.meta in `directory` a name of its own that begins with `prefix` and that no open looks at; returns
// it. kNotFound, kPermission, kSystem.
[[nodiscard]] Result<std::string> set_metadata_aside(int directory, const std::string& prefix);

}  // namespace shoal
