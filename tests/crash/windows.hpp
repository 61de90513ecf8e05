// Which crash points each file of tests has windows at: together they have them all.
#pragma once

#include <set>

#include "arena/crash_point.hpp"

namespace shoal_test {

std::set<shoal::CrashPoint> points_in_operations();  // crash_points_test.cpp
std::set<shoal::CrashPoint> points_in_lives();       // lives_test.cpp
std::set<shoal::CrashPoint> points_in_syncs();       // sync_windows_test.cpp

}  // namespace shoal_test
