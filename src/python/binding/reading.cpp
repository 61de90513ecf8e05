#include <algorithm>
#include <cstring>
#include <exception>
#include <vector>

#include "python/binding/arguments.hpp"
#include "python/binding/failure.hpp"
#include "python/binding/gil.hpp"
#include "python/binding/reading.hpp"
#include "python/binding/view.hpp"

namespace shoal::python {
namespace {

// Values of a list are read so many together: many reads of files are under way at once, and what is copied once
// more, into objects of Python's, takes little memory beside them, and the same again and again.
constexpr std::size_t kBytesAtOnce = 4 << 20;
constexpr std::size_t kKeysAtFirst = 8;
constexpr std::size_t kPartBytes = 16 << 20;  // of one value whose progress is shown

nb::bytes copied(ByteView bytes) { return nb::bytes(bytes.data(), bytes.size()); }

// Lists within lists deeper than Python itself goes are a mistake, or contain themselves.
void flatten(nb::list keys, std::vector<ByteView>& flat, std::vector<nb::object>& held) {
    if (Py_EnterRecursiveCall(" in a list of keys") != 0) throw nb::python_error();
    struct Leave {
        ~Leave() { Py_LeaveRecursiveCall(); }
    } leave;
    for (nb::handle key : keys) {
        if (PyList_Check(key.ptr())) {
            flatten(nb::borrow<nb::list>(key), flat, held);
        } else {
            flat.push_back(key_bytes(key));
            held.push_back(nb::borrow(key));  // the list may change while the lock is let go
        }
    }
}

nb::list unflatten(nb::list keys, const std::vector<nb::object>& values, std::size_t& at) {
    nb::list made;
    for (nb::handle key : keys) {
        if (PyList_Check(key.ptr())) {
            made.append(unflatten(nb::borrow<nb::list>(key), values, at));
        } else {
            made.append(values.at(at++));
        }
    }
    return made;
}

// False where `take` said so. No exception passes through the library.
template <class Take>
Result<bool> for_each_part(const Store& store, ByteView key, std::size_t part_bytes, Take&& take) {
    std::exception_ptr failure;
    bool whole = true;
    Result<void> done = store.records(key, part_bytes, [&](const Records& part) {
        try {
            whole = take(part);
        } catch (...) {
            failure = std::current_exception();
            whole = false;
        }
        return whole;
    });
    if (failure) std::rethrow_exception(failure);
    return done.map([&] { return whole; });
}

}  // namespace

nb::object value_of(const Store& store, ByteView key) {
    Result<ValueSize> size = store.size(key);
    std::size_t bytes = 0;
    for (;;) {  // again where it grew meanwhile
        if (size) {
            bytes = size->bytes;
        } else if (size.error().code == Code::kNotFound) {
            return {};
        } else {
            raise(size.error());
        }
        PyObject* object = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(bytes));
        if (object == nullptr) throw nb::python_error();
        nb::object value = nb::steal(object);
        Result<std::size_t> filled;
        {
            const Released released(bytes);
            filled = store.get_into(key, {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(object)), bytes});
        }
        if (filled && *filled == bytes) return value;
        if (filled) {  // records in flight, that it was made with room for, are not in it
            object = value.release().ptr();
            if (_PyBytes_Resize(&object, static_cast<Py_ssize_t>(*filled)) != 0) throw nb::python_error();
            return nb::steal(object);
        }
        if (filled.error().code == Code::kBufferTooSmall) {
            size = ValueSize{filled.error().count, 0};
        } else {
            size = tl::unexpected(std::move(filled.error()));
        }
    }
}

void each_part(const Store& store, ByteView key, nb::handle take, std::size_t part_bytes) {
    value_or_raise(for_each_part(store, key, part_bytes, [&](const Records& part) {
        const nb::object answer = take(PieceRange(Records(part)));
        return answer.ptr() != Py_False;
    }));
}

nb::object value_by_parts(const Store& store, ByteView key, nb::handle progress) {
    for (;;) {  // again where it grew between the two calls
        const Result<ValueSize> size = store.size(key);
        if (!size && size.error().code == Code::kNotFound) return {};
        if (!size) raise(size.error());
        PyObject* object = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size->bytes));
        if (object == nullptr) throw nb::python_error();
        nb::object value = nb::steal(object);
        std::size_t filled = 0;
        const Result<bool> whole = for_each_part(store, key, kPartBytes, [&](const Records& part) {
            if (part.bytes() > size->bytes - filled) return false;
            {
                const Released released(part.bytes());
                for (const ByteView record : part) {
                    if (!record.empty())
                        std::memcpy(PyBytes_AS_STRING(object) + filled, record.data(), record.size());
                    filled += record.size();
                }
            }
            progress(part.bytes());
            return true;
        });
        if (!whole && whole.error().code == Code::kNotFound) return {};
        if (!whole) raise(whole.error());
        if (!*whole) {
            progress(-static_cast<Py_ssize_t>(filled));
            continue;
        }
        if (filled == size->bytes) return value;
        object = value.release().ptr();
        if (_PyBytes_Resize(&object, static_cast<Py_ssize_t>(filled)) != 0) throw nb::python_error();
        return nb::steal(object);
    }
}

nb::list values_of(const Store& store, nb::list keys, nb::handle missing, nb::handle progress) {
    std::vector<ByteView> flat;
    std::vector<nb::object> held;
    flatten(keys, flat, held);
    std::vector<nb::object> values;
    values.reserve(flat.size());
    for (std::size_t keys_at_once = kKeysAtFirst; values.size() < flat.size();) {
        const std::span<const ByteView> left = std::span(flat).subspan(values.size());
        const std::span<const ByteView> asked = left.first(std::min(keys_at_once, left.size()));
        std::vector<Result<Bytes>> results;
        {
            const Released released;
            results = store.get(asked);
        }
        std::size_t bytes = 0;
        for (const Result<Bytes>& result : results) {
            if (result) {
                bytes += result->size();
                values.push_back(copied(*result));
            } else if (result.error().code == Code::kNotFound) {
                values.push_back(nb::borrow(missing));
            } else {
                raise(result.error());
            }
        }
        if (!progress.is_none()) progress(bytes);
        keys_at_once = asked.size() * kBytesAtOnce / std::max(bytes, std::size_t{1}) + 1;
    }
    std::size_t at = 0;
    return unflatten(keys, values, at);
}

nb::list records_of(const Store& store, ByteView key) {
    Result<Records> records;
    {
        const Released released;
        records = store.records(key);
    }
    nb::list list;
    for (const ByteView record : value_or_raise(std::move(records))) list.append(copied(record));
    return list;
}

nb::list keys_of(const Store& store) {
    Result<std::vector<Bytes>> keys;
    {
        const Released released;
        keys = store.keys();
    }
    nb::list list;
    for (const Bytes& key : value_or_raise(std::move(keys))) list.append(copied(key));
    return list;
}

}  // namespace shoal::python
