#include "store/stored_value.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace shoal {

Result<bool> check_loaded(ByteView key, std::span<StoredPart> stored,
                          const std::function<Result<bool>(const StoredPart&)>& still_named,
                          const std::function<void(StoredPart&)>& read_again) {
    const auto failed = [&] {
        return std::find_if(stored.begin(), stored.end(),
                            [](const StoredPart& part) { return part.error.has_value(); });
    };
    if (failed() == stored.end()) return true;
    // An error counts when the chain names that place after the read that had it. Else its room in the files was
    // given back while we read: the key was erased, or the segment merged.
    for (bool again = true;; again = false) {
        for (const StoredPart& part : stored) {
            if (!part.error) continue;
            auto named = still_named(part);
            if (!named || !*named) return named;
        }
        if (!again) break;
        for (StoredPart& part : stored) {
            if (!part.error) continue;
            part.error.reset();
            part.lengths.clear();
            read_again(part);
        }
        if (failed() == stored.end()) return true;
    }
    Error error = std::move(*failed()->error);
    error.message =
        fmt::format("a part of the value of the key with {} bytes cannot be read: {}", key.size(), error.message);
    return tl::unexpected(std::move(error));
}

}  // namespace shoal
