// A store in memory for tests of one process.
#pragma once

#include <cstdint>
#include <utility>

#include <shoal/store.hpp>

#include "result_checks.hpp"
#include "temporary_store.hpp"

namespace shoal_test {

inline shoal::Store new_store(std::uint64_t limit_bytes = 64 * kMiB) {
    auto store = shoal::Store::in_memory(with_limit(limit_bytes));
    REQUIRE_OK(store);
    return std::move(*store);
}

}  // namespace shoal_test
