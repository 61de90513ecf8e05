// A verification of one arena, put together from its parts; and the repair of leaks.
//
// At rest means that nobody has a slot: nobody then reads or writes the arena's data. That is asked for before and
// after, and the process table compared: who came and went meanwhile has left a new generation there. Only a repair
// keeps others out (Slots waits for it).
//
// Thread safety: beside anything. A crash leaves nothing; one of a repair, at most a leak that was there before.
#pragma once

#include <optional>
#include <string>

#include <shoal/verify.hpp>

#include "store/directory.hpp"

namespace shoal {

[[nodiscard]] Result<VerifyReport> verify_store(const std::string& path, const VerifyOptions& options);

// What has been opened, and has not been given a slot. Nothing when somebody came meanwhile.
[[nodiscard]] std::optional<VerifyReport> verify_at_rest(const Mapping& mapping);

}  // namespace shoal
