#include "python/binding/key_iterator.hpp"

#include "python/binding/failure.hpp"
#include "python/binding/gil.hpp"
#include "python/binding/open_store.hpp"

namespace shoal::python {

namespace nb = nanobind;

KeyIterator::KeyIterator(nb::handle open_store, ByteView prefix)
    : owner_(nb::borrow(open_store)), cursor_(prefix) {}

nb::object KeyIterator::next() {
    if (reading_) throw nb::value_error("another thread is reading the next keys of this iterator");
    const std::shared_ptr<Store> store = nb::cast<const OpenStore&>(owner_).store();
    if (given_ == cursor_.keys().size()) {
        reading_ = true;
        Result<bool> some;
        try {
            const Released released;  // with a prefix that few keys have a batch may take a walk over all
            some = store->next_keys(cursor_);
        } catch (...) {
            reading_ = false;
            throw;
        }
        reading_ = false;
        given_ = 0;
        if (!value_or_raise(std::move(some))) throw nb::stop_iteration();
    }
    const ByteView key = cursor_.keys()[given_++];
    return nb::bytes(key.data(), key.size());
}

void bind_key_iterator(nb::module_& module) {
    nb::class_<KeyIterator>(module, "KeyIterator", nb::is_final(), "The keys of a Store, one at a time.")
        .def("__iter__", [](nb::handle self) { return nb::borrow(self); })
        .def("__next__", &KeyIterator::next);
}

}  // namespace shoal::python
