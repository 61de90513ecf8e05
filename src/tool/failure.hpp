// The one place where an error becomes a line on standard error and an exit code.
#pragma once

#include <string_view>

#include <shoal/error.hpp>

#include "tool/exit_codes.hpp"

namespace shoal::tool {

[[nodiscard]] ExitCode exit_code_for(Code code) noexcept;

// Prints "shoal: <what>" to standard error.
void complain(std::string_view what);

// Prints the error's message and returns its exit code.
[[nodiscard]] ExitCode fail(const Error& error);

// For a system call of the tool's own: "shoal: <what>: <text of error_number>".
[[nodiscard]] ExitCode fail_system(std::string_view what, int error_number);

}  // namespace shoal::tool
