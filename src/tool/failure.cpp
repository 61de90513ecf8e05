#include "tool/failure.hpp"

#include <cstdio>
#include <cstring>

#include <fmt/format.h>

namespace shoal::tool {

ExitCode exit_code_for(Code code) noexcept {
    switch (code) {
        case Code::kInvalidArgument:
            return kWrongUse;
        case Code::kNotFound:  // a missing key is answered by the commands themselves: here it is the store
        case Code::kBufferTooSmall:
        case Code::kMemoryLimit:
        case Code::kIncompatible:
        case Code::kDamaged:
        case Code::kArenaGone:
        case Code::kInUse:
        case Code::kCopied:
        case Code::kDestroyed:
        case Code::kTooManyThreads:
        case Code::kReadOnly:
            return kStoreError;
        case Code::kNoSpace:
        case Code::kPermission:
        case Code::kSystem:
            return kSystemError;
    }
    return kSystemError;
}

void complain(std::string_view what) {
    // Nobody is left to be told when standard error itself cannot be written.
    fmt::memory_buffer line;
    fmt::format_to(std::back_inserter(line), "shoal: {}\n", what);
    std::fwrite(line.data(), 1, line.size(), stderr);
}

ExitCode fail(const Error& error) {
    complain(error.message);
    return exit_code_for(error.code);
}

ExitCode fail_system(std::string_view what, int error_number) {
    complain(fmt::format("{}: {}", what, std::strerror(error_number)));
    return kSystemError;
}

}  // namespace shoal::tool
