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

    // Allocates the file's bytes [offset, offset + length), so that writing there cannot fault for lack of
    // space. 0 or an errno (ENOSPC). May be repeated.
    [[nodiscard]] int make_real(std::uint64_t offset, std::uint64_t length) const noexcept;

    // Only in a child just forked: opens the file anew, so that its locks are the child's own, and closes the
    // description shared with the parent, whose death would not show otherwise. Async-signal-safe.
    void reopen_after_fork() noexcept;

private:
    Mapping(int descriptor, boost::interprocess::mapped_region&& region) noexcept;

    int descriptor_;
    boost::interprocess::mapped_region region_;
    std::byte* base_;
};

}  // namespace shoal
