#include <pthread.h>

#include <atomic>
#include <new>

#include "python/binding/failure.hpp"
#include "python/binding/view.hpp"

namespace shoal::python {

namespace nb = nanobind;

namespace {

// Forks between the first process that imported the module and this one.
std::atomic<unsigned> forks_seen{0};

std::span<const ByteView> all_pieces(const std::variant<View, Records>& cut) {
    if (const auto* view = std::get_if<View>(&cut)) return view->spans();
    const auto& records = std::get<Records>(cut);
    return {records.begin(), records.end()};
}

nb::object memory_of(const PieceRange& range) {
    const nb::object owner = nb::cast(range);
    return nb::steal(PyMemoryView_FromObject(owner.ptr()));
}

int get_buffer(PyObject* self, Py_buffer* buffer, int flags) noexcept {
    try {
        const auto& range = *nb::inst_ptr<PieceRange>(self);
        range.check_process();
        const auto pieces = range.pieces();
        if (pieces.size() > 1) {
            PyErr_Format(PyExc_BufferError,
                         "the value lies in %zu pieces: take them one by one, or get() for all in one",
                         pieces.size());
            return -1;
        }
        const ByteView bytes = pieces.empty() ? ByteView("") : pieces.front();
        return PyBuffer_FillInfo(buffer, self, const_cast<std::byte*>(bytes.data()),
                                 static_cast<Py_ssize_t>(bytes.size()), 1, flags);
    } catch (nb::python_error& error) {
        error.restore();
        return -1;
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        return -1;
    }
}

nb::object item(const PieceRange& range, nb::handle index) {
    range.check_process();
    const auto size = static_cast<Py_ssize_t>(range.pieces().size());
    if (PySlice_Check(index.ptr())) {
        Py_ssize_t start = 0;
        Py_ssize_t stop = 0;
        Py_ssize_t step = 0;
        if (PySlice_Unpack(index.ptr(), &start, &stop, &step) != 0) throw nb::python_error();
        if (step != 1) throw nb::value_error("a View has slices of step 1 only");
        const Py_ssize_t count = PySlice_AdjustIndices(size, &start, &stop, step);
        return nb::cast(PieceRange(range, static_cast<std::size_t>(start), static_cast<std::size_t>(count)));
    }
    Py_ssize_t at = PyNumber_AsSsize_t(index.ptr(), PyExc_IndexError);
    if (at == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
    if (at < 0) at += size;
    if (at < 0 || at >= size) throw nb::index_error("View index out of range");
    return memory_of(PieceRange(range, static_cast<std::size_t>(at), 1));
}

constexpr const char* kDoc = R"(The bytes of a value where they lie: a sequence of read-only memoryviews.

It is one closed cut of the value and never changes. The bytes stay as long as
the view, or a memoryview or array made of it, lives, even when the key is
deleted or the store closed meanwhile; a view that is kept long keeps deleted
memory from reuse. What had been spilled was read into memory of the view's
own. A view of one piece has the buffer protocol itself. In a process that is
forked a view cannot be used.

Examples
--------
>>> import shoal
>>> store = shoal.Store.in_memory()
>>> store.extend("log", [b"one ", b"two"])
>>> view = store.view("log")
>>> len(view), view.nbytes
(2, 7)
>>> bytes(view[0]), view[-1].readonly
(b'one ', True)
)";

}  // namespace

PieceRange::PieceRange(View&& view)
    : cut_(std::make_shared<const std::variant<View, Records>>(std::move(view))),
      pieces_(all_pieces(*cut_)),
      forks_(forks_seen.load(std::memory_order_relaxed)) {}

PieceRange::PieceRange(Records&& records)
    : cut_(std::make_shared<const std::variant<View, Records>>(std::move(records))),
      pieces_(all_pieces(*cut_)),
      forks_(forks_seen.load(std::memory_order_relaxed)) {}

PieceRange::PieceRange(const PieceRange& from, std::size_t first, std::size_t count)
    : cut_(from.cut_), pieces_(from.pieces_.subspan(first, count)), forks_(from.forks_) {}

std::size_t PieceRange::bytes() const noexcept {
    std::size_t sum = 0;
    for (const ByteView piece : pieces_) sum += piece.size();
    return sum;
}

std::size_t PieceRange::loaded_bytes() const noexcept {
    return std::visit([](const auto& cut) { return cut.loaded_bytes(); }, *cut_);
}

void PieceRange::check_process() const {
    // relaxed: a child has one thread when it counts
    if (forks_ == forks_seen.load(std::memory_order_relaxed)) return;
    raise({Code::kInvalidArgument, "the view was made before this process was forked: make one in this process"});
}

void bind_view(nb::module_& module) {
    static const int registered =
        pthread_atfork(nullptr, nullptr, [] { forks_seen.fetch_add(1, std::memory_order_relaxed); });
    if (registered != 0) throw std::bad_alloc();
    static PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)}, {0, nullptr}};
    nb::class_<PieceRange>(module, "View", nb::type_slots(slots), nb::is_weak_referenceable(), nb::is_final(), kDoc)
        .def("__len__", [](const PieceRange& range) { return range.pieces().size(); })
        .def("__getitem__", item, nb::arg("index"))
        .def("__iter__", [](nb::handle self) { return nb::steal(PySeqIter_New(self.ptr())); })
        .def("__repr__",
             [](const PieceRange& range) {
                 return nb::str("<shoal.View of {} bytes in {} pieces>")
                     .attr("format")(range.bytes(), range.pieces().size());
             })
        .def_prop_ro("nbytes", &PieceRange::bytes, "Bytes of all pieces.")
        .def_prop_ro("loaded_bytes", &PieceRange::loaded_bytes,
                     "Bytes that had been spilled and were read from files for the view; of the whole value.");
}

}  // namespace shoal::python
