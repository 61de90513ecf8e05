// Memory with a page that cannot be touched right before and right behind it: a codec's library is not built with
// AddressSanitizer, and would not be seen where it reads or writes outside of what it was given.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>

#include <shoal/bytes.hpp>

namespace shoal_test {

// Pages for `bytes` at most; the bytes lie at their end, or where `at_front` is said at their beginning.
class GuardedBytes {
public:
    explicit GuardedBytes(std::size_t bytes, bool at_front = false) : bytes_(bytes) {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const std::size_t inner = (bytes + page - 1) / page * page;
        mapped_bytes_ = inner + 2 * page;
        void* mapped = ::mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) std::abort();
        mapped_ = static_cast<std::byte*>(mapped);
        if (inner != 0 && ::mprotect(mapped_ + page, inner, PROT_READ | PROT_WRITE) != 0) std::abort();
        data_ = mapped_ + page + (at_front ? 0 : inner - bytes);
    }
    explicit GuardedBytes(shoal::ByteView copied, bool at_front = false) : GuardedBytes(copied.size(), at_front) {
        if (!copied.empty()) std::memcpy(data_, copied.data(), copied.size());
    }
    GuardedBytes(const GuardedBytes&) = delete;
    GuardedBytes& operator=(const GuardedBytes&) = delete;
    ~GuardedBytes() { ::munmap(mapped_, mapped_bytes_); }

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_, bytes_}; }
    operator shoal::ByteView() const noexcept { return {data_, bytes_}; }

private:
    std::size_t bytes_;
    std::size_t mapped_bytes_ = 0;
    std::byte* mapped_ = nullptr;
    std::byte* data_ = nullptr;
};

}  // namespace shoal_test
