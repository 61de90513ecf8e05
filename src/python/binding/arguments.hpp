// What Python passes in: keys, and values of any type with the buffer protocol, as bytes that are not copied.
//
// All of it is for a thread that holds the interpreter's lock, and throws what nanobind makes an exception of.
#pragma once

#include <string>

#include <nanobind/nanobind.h>

#include <shoal/bytes.hpp>

namespace shoal::python {

namespace nb = nanobind;

// A key's bytes: those of `bytes`, or a str's UTF-8, which the str keeps. They are there as long as the object is.
[[nodiscard]] ByteView key_bytes(nb::handle key);

// A path as the file system has it: of str, bytes or os.PathLike.
[[nodiscard]] std::string path_text(nb::handle path);

// A value's bytes. What is not `bytes` is held by the buffer protocol until this goes: nobody can resize it.
class Value {
public:
    explicit Value(nb::handle object) : Value(object, PyBUF_SIMPLE) {}
    Value(const Value&) = delete;
    Value& operator=(const Value&) = delete;
    ~Value();

    [[nodiscard]] ByteView bytes() const noexcept { return bytes_; }

protected:
    Value(nb::handle object, int buffer_flags);
    [[nodiscard]] void* writable() const noexcept { return buffer_.buf; }

private:
    ByteView bytes_;
    Py_buffer buffer_{};  // obj is null where nothing is held
};

// Memory that a value is to be put into.
class Destination : private Value {
public:
    explicit Destination(nb::handle object) : Value(object, PyBUF_WRITABLE) {}
    [[nodiscard]] std::span<std::byte> span() const noexcept {
        return {static_cast<std::byte*>(writable()), bytes().size()};
    }
};

}  // namespace shoal::python
