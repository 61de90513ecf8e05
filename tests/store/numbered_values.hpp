// What is wrong with the keys "0", "1" and so on, which should have these values; "" for nothing.
#pragma once

#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "result_checks.hpp"

namespace shoal_test {

inline std::string compare(const shoal::Store& store, const std::vector<std::string>& values) {
    for (std::size_t key = 0; key < values.size(); ++key) {
        const auto value = store.get(std::to_string(key));
        EXPECT_OK(value);
        EXPECT(value->text() == values[key]);
    }
    return {};
}

}  // namespace shoal_test
