// The error of a file, or of a part of one, whose format is of a version that this build does not know: a later
// build wrote it. Every file of a store bears its version, and every version before it is read (src/FORMAT.md).
#pragma once

#include <cstdint>
#include <string_view>

#include <fmt/format.h>

#include <shoal/error.hpp>

namespace shoal {

[[nodiscard]] inline tl::unexpected<Error> is_of_later_version(std::string_view what, std::uint64_t version,
                                                               std::uint64_t newest_known) {
    return tl::unexpected(Error{
        Code::kIncompatible,
        fmt::format("{} is of version {} of its format, and this build reads versions up to {}: use the build "
                    "that wrote it, or a later one",
                    what, version, newest_known)});
}

}  // namespace shoal
