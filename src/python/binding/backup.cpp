#include "python/binding/backup.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <string>

#include <nanobind/stl/string.h>

#include "python/binding/arguments.hpp"
#include "python/binding/failure.hpp"
#include "python/binding/gil.hpp"

namespace shoal::python {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;

// What Python does in the midst of a call that has let the interpreter's lock go. Keeps what it raises.
class Callbacks {
public:
    explicit Callbacks(nb::handle progress) : progress_(progress) {}

    [[nodiscard]] BackupCallback progress() {
        return [this](const BackupProgress& now) {
            return run([&] {
                if (PyErr_CheckSignals() != 0) throw nb::python_error();  // so that it can be interrupted
                if (progress_.is_none()) return;
                // Of a value that was erased while it was read, less than before.
                if (now.payload_bytes > told_) progress_(now.payload_bytes - told_);
                told_ = std::max(told_, now.payload_bytes);
            });
        };
    }
    [[nodiscard]] BackupSink to(nb::handle target) {
        return [this, write = nb::object(target.attr("write"))](ByteView bytes) -> Result<void> {
            const bool written = run([&] {
                auto* memory = reinterpret_cast<char*>(const_cast<std::byte*>(bytes.data()));
                const nb::object all =
                    nb::steal(PyMemoryView_FromMemory(memory, static_cast<Py_ssize_t>(bytes.size()), PyBUF_READ));
                if (!all.is_valid()) throw nb::python_error();
                for (std::size_t done = 0; done < bytes.size();) {
                    const nb::object rest = all[nb::slice(nb::int_(done), nb::none(), nb::none())];
                    const nb::object count = write(rest);
                    rest.attr("release")();  // the bytes go with this call
                    // A raw file says how much it took; what says nothing took all.
                    const std::size_t some =
                        nb::isinstance<nb::int_>(count) ? nb::cast<std::size_t>(count) : bytes.size() - done;
                    done += std::min(some, bytes.size() - done);
                }
                all.attr("release")();
            });
            return written ? Result<void>{} : tl::unexpected(stopped());
        };
    }
    [[nodiscard]] BackupSource from(nb::handle source) {
        return [this, read = nb::object(source.attr("read"))](std::span<std::byte> room) -> Result<std::size_t> {
            std::size_t count = 0;
            const bool done = run([&] {
                const nb::object some = read(std::min(room.size(), kReadBytes));
                const Value bytes(some);
                count = bytes.bytes().size();
                if (count > room.size()) throw nb::value_error("read gave more bytes than it was asked for");
                if (count != 0) std::memcpy(room.data(), bytes.bytes().data(), count);
            });
            return done ? Result<std::size_t>(count) : tl::unexpected(stopped());
        };
    }

    // What a callback has raised, or the result.
    template <class T>
    T value_or_raise(Result<T>&& result) {
        if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
        return python::value_or_raise(std::move(result), Missing::kStore);
    }

private:
    template <class Work>
    bool run(Work&& work) noexcept {
        const nb::gil_scoped_acquire held;
        try {
            work();
            return true;
        } catch (...) {
            raised_ = std::current_exception();
            return false;
        }
    }
    static Error stopped() { return {Code::kSystem, "stopped by an exception", ECANCELED, 0}; }

    nb::handle progress_;
    std::uint64_t told_ = 0;
    std::exception_ptr raised_;
};

bool has_method(nb::handle object, const char* name) { return nb::hasattr(object, name); }

template <class Call>
auto without_lock(Callbacks& callbacks, Call&& call) {
    auto result = [&] {
        const Released released;
        return call();
    }();
    return callbacks.value_or_raise(std::move(result));
}

}  // namespace

BackedUp backup(const OpenStore& self, nb::handle target, bool resume, nb::handle codec, nb::handle progress) {
    const std::shared_ptr<Store> store = self.store();
    Callbacks callbacks(progress);
    BackupOptions options;
    options.resume = resume;
    options.progress = callbacks.progress();
    if (!codec.is_none()) options.codec = value_or_raise(parse_codec(nb::cast<std::string>(codec)));
    if (has_method(target, "write")) {
        const BackupSink sink = callbacks.to(target);
        return without_lock(callbacks, [&] { return store->backup(sink, options); });
    }
    const std::string path = path_text(target);
    return without_lock(callbacks, [&] { return store->backup(path, options); });
}

Restored restore(nb::handle source, const std::string& path, const Options& options, nb::handle progress) {
    Callbacks callbacks(progress);
    const RestoreOptions restoring{callbacks.progress()};
    if (has_method(source, "read")) {
        const BackupSource bytes = callbacks.from(source);
        return without_lock(callbacks, [&] { return Store::restore(bytes, path, options, restoring); });
    }
    const std::string file = path_text(source);
    return without_lock(callbacks, [&] { return Store::restore(file, path, options, restoring); });
}

}  // namespace shoal::python
