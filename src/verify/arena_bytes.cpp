#include "verify/arena_bytes.hpp"

#include <unistd.h>

#include <algorithm>

#include "arena/atomic.hpp"

namespace shoal {

// The kernel goes from page to page until it finds a hole. So each range is asked for once: from below, where a
// question within a range would make it go through the rest of that range again.
ArenaBytes::ArenaBytes(const Mapping& mapping) : mapping_(&mapping), data_(mapping.bytes() / kKernelPage) {
    const std::uint64_t bytes = mapping.bytes();
    for (std::uint64_t at = 0; at < bytes;) {
        const std::uint64_t begin = next_data(at, bytes);
        if (begin == bytes) return;
        const off_t hole = ::lseek(mapping.descriptor(), static_cast<off_t>(begin), SEEK_HOLE);
        if (hole < 0) return;  // it is cut short; what has_data() asks for is answered one by one
        at = std::min(std::max(static_cast<std::uint64_t>(hole), begin + 1), bytes);
        for (std::uint64_t page = begin / kKernelPage; page < at / kKernelPage; ++page) data_.set(page);
    }
}

bool ArenaBytes::has_data(std::uint64_t kernel_page) noexcept {
    if (data_.test(kernel_page)) return true;
    // It may have come since. Fails with ENXIO when there is no data behind; a file system that cannot tell calls
    // everything data.
    const auto offset = static_cast<off_t>(kernel_page * kKernelPage);
    if (::lseek(mapping_->descriptor(), offset, SEEK_DATA) != offset) return false;
    data_.set(kernel_page);
    return true;
}

bool ArenaBytes::allocated(std::uint64_t offset, std::uint64_t bytes) noexcept {
    if (!inside(offset, bytes)) return false;
    for (std::uint64_t page = offset / kKernelPage; page * kKernelPage < offset + bytes; ++page) {
        if (!has_data(page)) return false;
    }
    return true;
}

std::uint64_t ArenaBytes::next_data(std::uint64_t offset, std::uint64_t end) const noexcept {
    const off_t data = ::lseek(mapping_->descriptor(), static_cast<off_t>(offset), SEEK_DATA);
    return data < 0 ? end : std::min(static_cast<std::uint64_t>(data), end);  // negative: see has_data
}

std::uint64_t ArenaBytes::word(std::uint64_t offset) noexcept {
    if (!has_data(offset / kKernelPage)) return 0;
    return mapping_->at<AtomicWord>(offset)->load(std::memory_order_acquire);  // pairs with whoever released it
}

std::uint8_t ArenaBytes::byte(std::uint64_t offset) noexcept {
    if (!has_data(offset / kKernelPage)) return 0;
    return mapping_->at<Atomic<std::uint8_t>>(offset)->load(std::memory_order_acquire);  // as word()
}

const std::byte* ArenaBytes::first_not_zero(std::uint64_t offset, std::uint64_t bytes) noexcept {
    const std::uint64_t end_offset = offset + bytes;
    while (offset < end_offset) {
        if (!has_data(offset / kKernelPage)) {
            offset = next_data(offset, end_offset);
            continue;
        }
        const std::uint64_t count = std::min(end_offset - offset, kKernelPage - offset % kKernelPage);
        const auto* begin = mapping_->at<std::byte>(offset);
        const auto* end = begin + count;
        const auto* at = begin;
        std::uint64_t any = 0;
        for (; any == 0 && end - at >= 64; at += any == 0 ? 64 : 0) {
            std::uint64_t words[8];
            std::memcpy(words, at, sizeof words);
            for (const std::uint64_t word : words) any |= word;
        }
        at = std::find_if(at, end, [](std::byte value) { return value != std::byte{0}; });
        if (at != end) return at;
        offset += count;
    }
    return nullptr;
}

}  // namespace shoal
