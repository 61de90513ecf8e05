#include "python/binding/arguments.hpp"

namespace shoal::python {
namespace {

[[noreturn]] void refuse(const char* format, nb::handle object) {
    PyErr_Format(PyExc_TypeError, format, Py_TYPE(object.ptr())->tp_name);
    throw nb::python_error();
}

}  // namespace

ByteView key_bytes(nb::handle key) {
    PyObject* const object = key.ptr();
    if (PyBytes_Check(object)) {
        return {static_cast<const void*>(PyBytes_AS_STRING(object)),
                static_cast<std::size_t>(PyBytes_GET_SIZE(object))};
    }
    if (!PyUnicode_Check(object)) refuse("a key is bytes or str, not %.200s", key);
    Py_ssize_t size = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(object, &size);
    if (text == nullptr) throw nb::python_error();
    return {static_cast<const void*>(text), static_cast<std::size_t>(size)};
}

std::string path_text(nb::handle path) {
    PyObject* bytes = nullptr;
    if (PyUnicode_FSConverter(path.ptr(), static_cast<void*>(&bytes)) == 0) throw nb::python_error();
    std::string text(PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes)));
    Py_DECREF(bytes);
    return text;
}

Value::Value(nb::handle object, int buffer_flags) {
    PyObject* const value = object.ptr();
    if (PyBytes_CheckExact(value) && buffer_flags == PyBUF_SIMPLE) {
        bytes_ = {static_cast<const void*>(PyBytes_AS_STRING(value)),
                  static_cast<std::size_t>(PyBytes_GET_SIZE(value))};
        return;
    }
    if (PyObject_CheckBuffer(value) == 0) {
        refuse(PyUnicode_Check(value) ? "a value is bytes, not %.200s: encode it"
                                      : "a value is bytes or another object with the buffer protocol, not %.200s",
               object);
    }
    if (PyObject_GetBuffer(value, &buffer_, buffer_flags) != 0) throw nb::python_error();
    bytes_ = {static_cast<const void*>(buffer_.buf), static_cast<std::size_t>(buffer_.len)};
}

Value::~Value() {
    if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
}

}  // namespace shoal::python
