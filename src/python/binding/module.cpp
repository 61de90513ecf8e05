// The extension module shoal._native; what users import from it is in shoal/__init__.py.
#include <nanobind/nanobind.h>

#include "python/binding/key_iterator.hpp"
#include "python/binding/open_store.hpp"
#include "python/binding/view.hpp"

NB_MODULE(_native, module) {
    // At an interpreter's end modules may still hold stores and views, which is no mistake of anybody's.
    nanobind::set_leak_warnings(false);
    shoal::python::bind_view(module);
    shoal::python::bind_key_iterator(module);
    shoal::python::bind_store(module);
    nanobind::module_::import_("atexit").attr("register")(
        nanobind::cpp_function(shoal::python::close_temporary_stores));
}
