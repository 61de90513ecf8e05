// What a system call that failed means to shoal.
#pragma once

#include <string>

#include <shoal/error.hpp>

namespace shoal {

// kPermission, kNoSpace, kNotFound or kSystem, by the errno.
[[nodiscard]] Code code_of(int cause) noexcept;
// That, and as message "what: its text".
[[nodiscard]] tl::unexpected<Error> failed(const std::string& what, int cause);
// kSystem and ECANCELED: a callback of `what` has said that it is to end.
[[nodiscard]] tl::unexpected<Error> stopped_by_caller(const std::string& what);

}  // namespace shoal
