// Errors are values: what every shoal call that can fail returns.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace shoal {

// What went wrong. A program decides by the code; a person reads Error::message.
enum class Code {
    kInvalidArgument,  // the call itself is wrong; nothing was touched
    kNotFound,         // no such key, or no store at that path
    kBufferTooSmall,   // get_into: Error::count is the number of bytes that the value needs
    kMemoryLimit,      // the store's own limit is reached; what was acknowledged stays
    kNoSpace,       // the file system of the arena, or of spill files, is full, or ulimit -f is too low; as above
    kPermission,    // the operating system refused, or the files belong to somebody else
    kIncompatible,  // the arena is of another layout of shoal, or a file of a later version; the message names both
    kDamaged,       // bytes in the metadata, the arena or a spill file cannot be right; the message names where
    kArenaGone,     // the store's directory is there and its arena is not (a reboot, or somebody removed it)
    kInUse,         // processes have the store open where it must not be; the message names them, as far as it can
    kCopied,        // the store's directory is a copy of another store's, which lives; the message says what to do
    kDestroyed,     // the store was destroyed while this process had it open
    kTooManyThreads,  // every slot of the process table is taken
    kReadOnly,        // the call changes a store, or attaches to it, that was opened with Options::read_only
    kSystem,          // another system call failed: see Error::system_errno
};

// The code's name as a word, "memory limit" for instance; static storage.
[[nodiscard]] __attribute__((visibility("default"))) std::string_view name(Code code) noexcept;

struct Error {
    Code code{};
    std::string message;    // what, where, and what to do about it; one line
    int system_errno = 0;   // errno of the call that failed, 0 where none did
    std::size_t count = 0;  // append(batch): pairs appended before the error, always a prefix;
                            // kBufferTooSmall: bytes needed; otherwise 0
};

template <class T>
using Result = tl::expected<T, Error>;

}  // namespace shoal
