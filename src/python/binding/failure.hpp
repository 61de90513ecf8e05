// Errors of the library as exceptions of shoal.errors.
#pragma once

#include <utility>

#include <nanobind/nanobind.h>

#include <shoal/error.hpp>

namespace shoal::python {

// What kNotFound is about.
enum class Missing { kKey, kStore };

// Throws the Python exception for the error. Needs the interpreter's lock.
[[noreturn]] void raise(const Error& error, Missing missing = Missing::kKey);

// The value, or the exception.
template <class T>
T value_or_raise(Result<T>&& result, Missing missing = Missing::kKey) {
    if (!result) [[unlikely]]
        raise(result.error(), missing);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// The exception for the use of a closed store.
[[noreturn]] void raise_closed();

}  // namespace shoal::python
