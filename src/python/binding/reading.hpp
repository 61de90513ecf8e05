// What reads values into objects of Python's.
#pragma once

#include <nanobind/nanobind.h>

#include <shoal/store.hpp>

namespace shoal::python {

// The value as `bytes`, copied once; null where the key has none.
[[nodiscard]] nanobind::object value_of(const Store& store, ByteView key);

// The same part by part; `progress` is called with the bytes of each.
[[nodiscard]] nanobind::object value_by_parts(const Store& store, ByteView key, nanobind::handle progress);

// The values of a list of keys, which may hold such lists again, in lists of the same form; `missing` stands for
// what is not there. Some megabytes are read together; `progress`, where it is not None, is called with their
// bytes.
[[nodiscard]] nanobind::list values_of(const Store& store, nanobind::list keys, nanobind::handle missing,
                                       nanobind::handle progress);

// Calls `take` with a View of each part of a value, until it returns False.
void each_part(const Store& store, ByteView key, nanobind::handle take, std::size_t part_bytes);

[[nodiscard]] nanobind::list records_of(const Store& store, ByteView key);
[[nodiscard]] nanobind::list keys_of(const Store& store);

}  // namespace shoal::python
