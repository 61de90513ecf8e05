// Store.backup and Store.restore of Python: to and from files by name, or objects that write and read.
#pragma once

#include <nanobind/nanobind.h>

#include <shoal/backup.hpp>
#include <shoal/options.hpp>

#include "python/binding/open_store.hpp"

namespace shoal::python {

// `target` and `source`: a path, or an object with `write` or `read` of bytes. `progress`: None, or called with
// the bytes of payload since its last call. What they raise comes through.
[[nodiscard]] BackedUp backup(const OpenStore& store, nanobind::handle target, bool resume, nanobind::handle codec,
                              nanobind::handle progress);
[[nodiscard]] Restored restore(nanobind::handle source, const std::string& path, const Options& options,
                               nanobind::handle progress);

}  // namespace shoal::python
