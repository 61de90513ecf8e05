// How often this process has called fcntl(2): the test's own fcntl stands before the C library's.
#pragma once

#include <cstdint>

namespace shoal_test {

[[nodiscard]] std::uint64_t lock_calls() noexcept;

}  // namespace shoal_test
