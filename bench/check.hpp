// Whether a store holds exactly what a round appended, and nothing spoiled.
#pragma once

#include <string>

#include <shoal/store.hpp>

#include "workload.hpp"

namespace bench {

// Counts every key's records and bytes, compares each record of the first key with what writers had, and empties
// the store. Returns what is wrong, or nothing.
std::string check_and_drop(shoal::Store& store, const Workload& shape);

}  // namespace bench
