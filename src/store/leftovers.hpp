// What creators, destroyers and owners of temporary stores that were killed have left, and who takes it away: the
// next creator or destroyer of the same store, an attach that finds a temporary store without an owner, and
// Store::collect.
//
// An arena is garbage when its store's directory is gone, when the store.meta there does not name it, or when it is
// temporary; and when nobody has it open. That is judged twice: first without any lock, so that a store that is
// somebody's data is never locked; then, of what seems to be garbage, with its creation and presence bytes held
// (arena/presence.hpp), while nobody can create, open or remove it.
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

// Carries through what destroyers that were killed have begun at `path`: those who have such a store open are told,
// and its files go. True when there was one.
bool finish_destructions(int directory, const std::string& path, const Access& access);

// Removes what is left of earlier stores at `path`, whose directory is open as `directory`. `arena_dir`: where its
// arenas lie.
void sweep_leftovers(int directory, const std::string& path, const std::string& arena_dir, const Access& access);

// Removes the temporary store whose arena is open as `arena`, with the presence byte held alone. What cannot be
// removed is left to collect().
void remove_ended_store(int arena, const std::string& path, const Metadata& metadata) noexcept;

// See Store::collect.
[[nodiscard]] Result<std::vector<Leftover>> collect_leftovers(const CollectOptions& options);

// Gives store.meta in `directory` a name of its own that no open looks at; returns it. kNotFound, kPermission,
// kSystem.
[[nodiscard]] Result<std::string> set_metadata_aside(int directory);

}  // namespace shoal
