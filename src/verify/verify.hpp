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
#include <vector>

#include <shoal/verify.hpp>

#include "store/directory.hpp"
#include "verify/inspection.hpp"

namespace shoal {

[[nodiscard]] Result<VerifyReport> verify_store(const std::string& path, const VerifyOptions& options);

// Of an arena that this process has opened and taken no slot of. Nothing when somebody has one, or came meanwhile.
// `leaks`: what a repair gives back.
struct Leaks {
    std::vector<LeakedBlock> blocks;
    std::vector<std::uint64_t> lost_pages;
};
[[nodiscard]] std::optional<VerifyReport> verify_at_rest(const Mapping& mapping, Leaks* leaks = nullptr);

// Gives them back; nobody else has the arena open.
void return_leaks(const Mapping& mapping, const Leaks& leaks);

}  // namespace shoal
