#include "store/stored_value.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace shoal {

Result<bool> check_loaded(SpillFiles& files, ByteView key, std::span<StoredPart> stored,
                          const std::function<Result<std::optional<std::uint64_t>>()>& generation_now,
                          const std::function<void(StoredPart&)>& read_again) {
    const auto has_failed = [](const StoredPart& part) { return part.error.has_value(); };
    if (std::none_of(stored.begin(), stored.end(), has_failed)) return true;
    const auto now = generation_now();
    if (!now) return tl::unexpected(now.error());
    // Its room in the files was given back while we read.
    if (!*now || **now != stored.front().generation) return false;
    for (StoredPart& part : stored) {
        if (!part.error) continue;
        // Once more: what we have open under that number may have been removed, and another made.
        files.forget(stored_at(part.place).file);
        part.error.reset();
        part.lengths.clear();
        read_again(part);
        if (!part.error) continue;
        Error error = std::move(*part.error);
        error.message = fmt::format("a part of the value of the key with {} bytes cannot be read: {}", key.size(),
                                    error.message);
        return tl::unexpected(std::move(error));
    }
    return true;
}

}  // namespace shoal
