// What a system call that failed means to shoal.
#pragma once

#include <string>

#include <shoal/error.hpp>

namespace shoal {

// kPermission, kNoSpace, kNotFound or kSystem, by the errno.
[[nodiscard]] Code code_of(int cause) noexcept;
// That, and as message "what: its text".
[[nodiscard]] tl::unexpected<Error> failed(const std::string& what, int cause);

}  // namespace shoal
