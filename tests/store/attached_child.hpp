// A child that has a store open and has appended to it, and then comes to its end in one way or another.
#pragma once

#include <string>

#include <shoal/store.hpp>

#include "child.hpp"
#include "result_checks.hpp"

namespace shoal_test {

// The store is open during `end`, and closed behind it.
inline Child start_attached(const std::string& path, const Child::Body& end) {
    return Child::start([&]() -> std::string {
        auto own = shoal::Store::attach(path);
        EXPECT_OK(own);
        EXPECT_OK(own->append("k", "v"));
        return end();
    });
}

}  // namespace shoal_test
