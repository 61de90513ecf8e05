// The names of a store's checkpoints: `shoal-<id>-checkpoint-<number>` in its spill folder, and `.new` behind that
// while one is written. A checkpoint without a number is of a build that wrote no numbers: it counts as number 0.
//
// Thread safety: every function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <shoal/error.hpp>

namespace shoal {

struct CheckpointName {
    std::uint64_t number = 0;
    bool is_unpublished = false;  // it is being written, or its sync has not ended
};

// What the names of all of a store's files in the folder begin with. `id_text`: its id in 32 hex digits.
[[nodiscard]] std::string spill_name_prefix(const std::string& id_text);
[[nodiscard]] std::string checkpoint_path(const std::string& folder, const std::string& id_text,
                                          std::uint64_t number);
// Nothing where the name is no checkpoint's of that store.
[[nodiscard]] std::optional<CheckpointName> checkpoint_name(std::string_view name, const std::string& id_text);
// All of the store in the folder, by number, the newest first. Errors: as of opendir(3).
[[nodiscard]] Result<std::vector<CheckpointName>> checkpoints_in(const std::string& folder,
                                                                 const std::string& id_text);

}  // namespace shoal
