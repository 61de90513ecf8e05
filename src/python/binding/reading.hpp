// What reads values into objects of Python's.
#pragma once

#include <nanobind/nanobind.h>

#include <shoal/store.hpp>

namespace shoal::python {

// The value as `bytes`, copied once; null where the key has none.
[[nodiscard]] nanobind::object value_of(const Store& store, ByteView key);

// The values of a list of keys, which may hold such lists again, in lists of the same form; `missing` stands for
// what is not there. All are read together.
[[nodiscard]] nanobind::list values_of(const Store& store, nanobind::list keys, nanobind::handle missing);

[[nodiscard]] nanobind::list records_of(const Store& store, ByteView key);
[[nodiscard]] nanobind::list keys_of(const Store& store);

}  // namespace shoal::python
