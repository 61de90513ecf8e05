#include "arena/system_failure.hpp"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace shoal {

Code code_of(int cause) noexcept {
    switch (cause) {
        case EACCES:
        case EPERM:
        case EROFS:
        case ELOOP:
            return Code::kPermission;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:  // the process's limit on file sizes (ulimit -f)
            return Code::kNoSpace;
        case ENOENT:
            return Code::kNotFound;
        default:
            return Code::kSystem;
    }
}

tl::unexpected<Error> failed(const std::string& what, int cause) {
    const char* hint = cause == ELOOP ? " (a symbolic link is not followed here)" : "";
    return tl::unexpected(Error{code_of(cause), fmt::format("{}: {}{}", what, std::strerror(cause), hint), cause});
}

tl::unexpected<Error> stopped_by_caller(const std::string& what) {
    return tl::unexpected(Error{Code::kSystem, what + " was stopped by its caller", ECANCELED, 0});
}

}  // namespace shoal
