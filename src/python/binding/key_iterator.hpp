// The iterator over the keys of a shoal.Store of Python.
#pragma once

#include <cstddef>

#include <nanobind/nanobind.h>

#include <shoal/key_cursor.hpp>

namespace shoal::python {

// Gives one key at a time, of batches that Store::next_keys reads. It keeps the Store object, not the store open.
//
// Thread safety: the caller holds the interpreter's lock, which is let go while a batch is read. A second thread
// that asks meanwhile gets ValueError, as from a generator.
class KeyIterator {
public:
    KeyIterator(nanobind::handle open_store, ByteView prefix);

    [[nodiscard]] nanobind::object next();  // StopIteration after the last key; Closed once the store is

private:
    nanobind::object owner_;  // an OpenStore
    KeyCursor cursor_;
    std::size_t given_ = 0;  // of the batch
    bool reading_ = false;
};

void bind_key_iterator(nanobind::module_& module);

}  // namespace shoal::python
