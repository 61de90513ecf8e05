#include <string>

#include <nanobind/stl/string.h>

#include "python/binding/failure.hpp"

namespace shoal::python {

namespace nb = nanobind;

namespace {

nb::object errors() { return nb::module_::import_("shoal.errors"); }

[[noreturn]] void throw_object(const nb::object& exception) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
    throw nb::python_error();
}

}  // namespace

void raise(const Error& error, Missing missing) {
    const bool no_store = error.code == Code::kNotFound && missing == Missing::kStore;
    const std::string code(no_store ? "no store" : name(error.code));
    // Messages may name files, whose names need not be UTF-8.
    const nb::object message = nb::steal(
        PyUnicode_DecodeFSDefaultAndSize(error.message.data(), static_cast<Py_ssize_t>(error.message.size())));
    if (!message.is_valid()) throw nb::python_error();
    throw_object(errors().attr("_made")(code, message, error.system_errno, error.count));
}

void raise_closed() { throw_object(errors().attr("Closed")("the store is closed: open it anew")); }

}  // namespace shoal::python
