// Option values that are numbers in a notation of their own. Each turns the word into decimal digits, which
// CLI11 then converts, or gives the reason why it cannot.
#pragma once

#include <CLI/CLI.hpp>

namespace shoal::tool {

// Bytes: a whole number, alone or with K, M, G or T for powers of 1024 ("512M"; "512MiB" means the same).
[[nodiscard]] CLI::Validator byte_size();

}  // namespace shoal::tool
