// The library's reports as the dataclasses of shoal.reports, field by field.
#pragma once

#include <nanobind/nanobind.h>

#include <shoal/store.hpp>

namespace shoal::python {

[[nodiscard]] nanobind::object report(const Stats& stats);
[[nodiscard]] nanobind::object report(const ValueSize& size);
[[nodiscard]] nanobind::object report(const Synced& synced);
[[nodiscard]] nanobind::object report(const BackedUp& backed_up);
[[nodiscard]] nanobind::object report(const Restored& restored);
[[nodiscard]] nanobind::object report(const Attached& attached);
[[nodiscard]] nanobind::object report(const Leftover& leftover);
[[nodiscard]] nanobind::object report(const VerifyReport& verified);

template <class T>
nanobind::list report(const std::vector<T>& many) {
    nanobind::list reports;
    for (const T& one : many) reports.append(report(one));
    return reports;
}

}  // namespace shoal::python
