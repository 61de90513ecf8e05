// The arena in this process: an open file, mapped whole, made real piece by piece.
//
// Thread safety: const after construction but for descriptor(), which the fork handler replaces in the child.
// A crash leaves nothing: the kernel unmaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <boost/interprocess/mapped_region.hpp>
#include <shoal/error.hpp>

#include "arena/layout.hpp"

namespace shoal {

// How far this process may write into a file (ulimit -f). Beyond it the kernel would not only refuse but raise
// SIGXFSZ, which ends the process.
[[nodiscard]] std::uint64_t file_size_limit() noexcept;

class Mapping {
public:
    // Maps `bytes` of the file; takes the descriptor over, and closes it on failure too.
    [[nodiscard]] static Result<Mapping> map(int descriptor, std::uint64_t bytes, const std::string& name);

    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&&) = delete;
    ~Mapping();

    template <class T>
    [[nodiscard]] T* at(ArenaOffset offset) const noexcept {
        return reinterpret_cast<T*>(base_ + raw(offset));
    }
    template <class T>
    [[nodiscard]] T* at(std::uint64_t offset) const noexcept {
        return reinterpret_cast<T*>(base_ + offset);
    }
    [[nodiscard]] ArenaHeader& header() const noexcept { return *reinterpret_cast<ArenaHeader*>(base_); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return region_.get_size(); }
    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

    // Allocate the file's bytes [offset, offset + length), so that writing there cannot fault for lack of space. 0
    // or an errno (ENOSPC; EFBIG beyond file_size_limit). allocate() keeps what is there and may be repeated by
    // anyone. write_zeroes() is for whoever owns the bytes alone: what fallocate gives is not yet zeroed inside the
    // kernel, and then each kernel page faults at its first write; what was written once is mapped 16 kernel pages
    // at a fault.
    [[nodiscard]] int allocate(std::uint64_t offset, std::uint64_t length) const noexcept;
    [[nodiscard]] int write_zeroes(std::uint64_t offset, std::uint64_t length) const noexcept;

    // Opens the file anew, so that its locks are this process's own, and closes the description before, which a
    // parent or child may share and whose locks would outlive the one or the other. The process's presence
    // (arena/presence.hpp) goes over without a gap. Async-signal-safe. `before`: whose the description before is.
    enum class Before { kOurs, kParents };
    void reopen(Before before) noexcept;

private:
    Mapping(int descriptor, boost::interprocess::mapped_region&& region) noexcept;

    int descriptor_;
    boost::interprocess::mapped_region region_;
    std::byte* base_;
};

}  // namespace shoal
