// Memory that is used over and over: a store far smaller than what goes through it.
#pragma once

#include <string>

#include <shoal/store.hpp>

namespace shoal_test {

// Appends and erases until the limit is reached; the error. None when what was erased comes back again and again.
inline shoal::Error turn_over_until_full(shoal::Store& store) {
    const std::string record(100'000, 'x');
    for (std::size_t round = 0; round < 10'000; ++round) {
        const auto appended = store.append("turned over", record);
        if (!appended) return appended.error();
        if (const auto erased = store.erase("turned over"); !erased) return erased.error();
    }
    return {};
}

}  // namespace shoal_test
