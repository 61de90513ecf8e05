// Which crash points each file of tests has windows at: together they have them all.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "arena/crash_point.hpp"
#include "scene.hpp"

namespace shoal_test {

// A crash point, and the deed whose child comes to it.
struct Window {
    shoal::CrashPoint point;
    const Deed& deed;
    std::uint32_t passing = 1;       // of the point, at which the child stops or dies
    std::uint64_t leaked_bytes = 0;  // that one death may leave: a block that was taken and is nobody's yet
    std::size_t deaths = 20;
};

const std::vector<Window>& windows_of_operations();  // crash_points_test.cpp

std::set<shoal::CrashPoint> points_in_operations();  // crash_points_test.cpp
std::set<shoal::CrashPoint> points_in_lives();       // lives_test.cpp
std::set<shoal::CrashPoint> points_in_syncs();       // sync_windows_test.cpp
std::set<shoal::CrashPoint> points_in_restoring();   // sync_windows_test.cpp
std::set<shoal::CrashPoint> points_in_backups();     // backup_windows_test.cpp
std::set<shoal::CrashPoint> points_in_forks();       // fork_windows_test.cpp

}  // namespace shoal_test
