// Which bytes of an arena may be read at all: inside the file, and not in a hole of it.
//
// Reading a hole of a mapped tmpfs file allocates memory, and is a SIGBUS where there is none. A hole is all zeroes
// anyway; so it is asked for, not touched.
//
// Thread safety: none; one verification has one. A crash leaves nothing: the file's state is only read.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "arena/mapping.hpp"

namespace shoal {

// Bits, all 0 at first, of which only what is touched takes memory.
class SparseBits {
public:
    explicit SparseBits(std::uint64_t count)
        : words_(static_cast<std::uint64_t*>(std::calloc(count / 64 + 1, sizeof(std::uint64_t)))) {
        if (words_ == nullptr) throw std::bad_alloc();
    }
    [[nodiscard]] bool test(std::uint64_t bit) const noexcept {
        return (words_.get()[bit / 64] >> (bit % 64) & 1) != 0;
    }
    void set(std::uint64_t bit) noexcept { words_.get()[bit / 64] |= 1ULL << (bit % 64); }

private:
    struct Free {
        void operator()(std::uint64_t* words) const noexcept { std::free(words); }
    };
    std::unique_ptr<std::uint64_t, Free> words_;
};

class ArenaBytes {
public:
    explicit ArenaBytes(const Mapping& mapping);

    [[nodiscard]] const Mapping& mapping() const noexcept { return *mapping_; }

    [[nodiscard]] bool inside(std::uint64_t offset, std::uint64_t bytes) const noexcept {
        return offset <= mapping_->bytes() && bytes <= mapping_->bytes() - offset;
    }
    // Whether all of it lies in the file, and none of it in a hole.
    [[nodiscard]] bool allocated(std::uint64_t offset, std::uint64_t bytes) noexcept;

    // The first offset of [offset, end) that lies in no hole; `end` where there is none.
    [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t end) const noexcept;

    // The word at an offset inside the file; 0 in a hole.
    [[nodiscard]] std::uint64_t word(std::uint64_t offset) noexcept;
    [[nodiscard]] std::uint8_t byte(std::uint64_t offset) noexcept;
    // The first byte of [offset, offset + bytes) that is not 0, or null. Inside the file.
    [[nodiscard]] const std::byte* first_not_zero(std::uint64_t offset, std::uint64_t bytes) noexcept;

private:
    static constexpr std::uint64_t kKernelPage = 4096;

    [[nodiscard]] bool has_data(std::uint64_t kernel_page) noexcept;

    const Mapping* mapping_;
    SparseBits data_;  // kernel pages that are known to be in no hole
};

}  // namespace shoal
