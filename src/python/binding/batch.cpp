#include "python/binding/batch.hpp"
#include "python/binding/failure.hpp"
#include "python/binding/gil.hpp"

namespace shoal::python {
namespace {

template <class Use>
void for_each_item(nb::handle mapping, Use&& use) {
    if (!PyDict_CheckExact(mapping.ptr())) {
        for (nb::handle item : mapping.attr("items")()) use(item[0], item[1]);
        return;
    }
    Py_ssize_t position = 0;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    const Py_ssize_t size = PyDict_GET_SIZE(mapping.ptr());
    while (PyDict_Next(mapping.ptr(), &position, &key, &value) != 0) {
        use(nb::handle(key), nb::handle(value));
        // A value of a class of the user's runs code of the user's when it is asked for its buffer.
        if (PyDict_GET_SIZE(mapping.ptr()) != size) {
            PyErr_SetString(PyExc_RuntimeError, "dictionary changed size during append");
            throw nb::python_error();
        }
    }
}

}  // namespace

bool is_mapping(nb::handle object) { return PyDict_Check(object.ptr()) || nb::hasattr(object, "items"); }

void Batch::add_mapping(nb::handle mapping) {
    const std::size_t records = nb::len(mapping);
    pairs_.reserve(records);
    held_.reserve(2 * records);
    for_each_item(mapping, [&](nb::handle key, nb::handle value) { add(key, value); });
}

void Batch::add_records(nb::handle key, nb::handle records) {
    // One record in place of many would be taken apart into its bytes.
    if (PyObject_CheckBuffer(records.ptr()) != 0 || PyUnicode_Check(records.ptr())) {
        PyErr_SetString(PyExc_TypeError, "records is an iterable of records: for a single one there is append");
        throw nb::python_error();
    }
    for (nb::handle record : records) add(key, record);
}

void Batch::add_records_of_mapping(nb::handle mapping) {
    for_each_item(mapping, [&](nb::handle key, nb::handle records) { add_records(key, records); });
}

void Batch::add_pairs(nb::handle pairs) {
    for (nb::handle pair : pairs) {
        const nb::object both = nb::steal(PySequence_Tuple(pair.ptr()));
        if (!both.is_valid()) throw nb::python_error();
        if (PyTuple_GET_SIZE(both.ptr()) != 2) {
            PyErr_SetString(PyExc_ValueError, "each of pairs is a key and a record");
            throw nb::python_error();
        }
        add(PyTuple_GET_ITEM(both.ptr(), 0), PyTuple_GET_ITEM(both.ptr(), 1));
    }
}

void Batch::add(nb::handle key, nb::handle value) {
    const ByteView name = key_bytes(key);
    held_.push_back(nb::borrow(key));
    ByteView record;
    if (PyBytes_CheckExact(value.ptr())) {
        record = Value(value).bytes();
        held_.push_back(nb::borrow(value));
    } else {
        record = buffers_.emplace_front(value).bytes();
    }
    pairs_.emplace_back(name, record);
    bytes_ += record.size();
}

void Batch::append_to(Store& store) const {
    Result<void> done;
    {
        const Released released(bytes_);
        done = store.append(std::span<const Pair>(pairs_));
    }
    value_or_raise(std::move(done));
}

}  // namespace shoal::python
