#include "arena/mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <boost/interprocess/exceptions.hpp>

namespace shoal {
namespace {

namespace ipc = boost::interprocess;

// Fault-around and huge pages work in windows of addresses: file offset and address must agree in their low bits.
constexpr std::uint64_t kAlignment = 2ULL << 20;
constexpr std::uint64_t kKernelPageBytes = 4096;
constexpr std::uint64_t kFenceBytes = 64 * 1024;  // behind the guard: addresses without memory (I2)

// What Boost's mapped_region asks of a thing that can be mapped.
struct OpenFile {
    int descriptor;
    [[nodiscard]] ipc::mapping_handle_t get_mapping_handle() const noexcept {
        return ipc::ipcdetail::mapping_handle_from_file_handle(descriptor);
    }
};

// Addresses set aside, of which the arena takes a part that begins at a multiple of kAlignment, and the guard what
// is behind it. What is left over goes back at once, the arena's part with its mapped_region: each address is
// unmapped by one owner.
class Addresses {
public:
    explicit Addresses(std::uint64_t bytes) noexcept : bytes_(bytes + kAlignment + kGuardBytes + kFenceBytes) {
        void* begin = ::mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        begin_ = begin == MAP_FAILED ? nullptr : static_cast<std::byte*>(begin);
    }
    Addresses(const Addresses&) = delete;
    Addresses& operator=(const Addresses&) = delete;
    ~Addresses() {
        if (begin_ != nullptr) ::munmap(begin_, bytes_);
    }
    [[nodiscard]] void* aligned() const noexcept {  // null where there were none to be had
        if (begin_ == nullptr) return nullptr;
        return reinterpret_cast<void*>(round_up(reinterpret_cast<std::uintptr_t>(begin_), kAlignment));
    }
    // The arena has taken [at, at + bytes): what follows is its guard, the rest goes back.
    [[nodiscard]] Guard keep(void* at, std::uint64_t bytes) noexcept {
        auto* kept = static_cast<std::byte*>(at);
        std::byte* end = begin_ + bytes_;
        std::byte* guard = kept + bytes;
        std::byte* fence = guard + kGuardBytes;
        if (kept > begin_) ::munmap(begin_, static_cast<std::size_t>(kept - begin_));
        if (end > fence + kFenceBytes) {
            ::munmap(fence + kFenceBytes, static_cast<std::size_t>(end - (fence + kFenceBytes)));
        }
        begin_ = nullptr;
        usable_ = ::mprotect(guard, kGuardBytes, PROT_READ | PROT_WRITE) == 0;
        return {guard, kGuardBytes + kFenceBytes};
    }
    [[nodiscard]] bool usable() const noexcept { return usable_; }

private:
    std::byte* begin_;
    std::size_t bytes_;
    bool usable_ = false;
};

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // of Linux 5.14; older headers lack it
#endif

}  // namespace

std::uint64_t file_size_limit() noexcept {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return ~0ULL;
    return limit.rlim_cur;
}

Result<Mapping> Mapping::map(int descriptor, LockDescription&& locks, std::uint64_t bytes, const std::string& name,
                             For use) {
    if (const int cause = locks.keep(); cause != 0) {
        return tl::unexpected(
            Error{Code::kSystem, fmt::format("cannot keep the locks of arena {}: {}", name, std::strerror(cause)),
                  cause});
    }
    try {
        Addresses addresses(bytes);
        void* at = addresses.aligned();
        if (at == nullptr) throw ipc::interprocess_exception(ipc::error_info(ENOMEM));
        const ipc::mode_t mode = use == For::kReading ? ipc::read_only : ipc::read_write;
        ipc::mapped_region region(OpenFile{descriptor}, mode, 0, bytes, at, MAP_FIXED);
        Guard guard = addresses.keep(at, bytes);
        if (!addresses.usable()) throw ipc::interprocess_exception(ipc::error_info(ENOMEM));
        return Mapping(std::move(locks), std::move(region), std::move(guard), use);
    } catch (const ipc::interprocess_exception& failure) {
        const int cause = failure.get_native_error();
        return tl::unexpected(Error{cause == ENOMEM ? Code::kMemoryLimit : Code::kSystem,
                                    fmt::format("cannot map {} bytes of arena {}: {}; lower memory_limit_bytes or "
                                                "raise the process's address-space limit (ulimit -v)",
                                                bytes, name, std::strerror(cause)),
                                    cause});
    }
}

Mapping::Mapping(LockDescription&& locks, ipc::mapped_region&& region, Guard&& guard, For use) noexcept
    : locks_(std::move(locks)),
      region_(std::move(region)),
      guard_(std::move(guard)),
      base_(static_cast<std::byte*>(region_.get_address())),
      bytes_(region_.get_size()),
      reach_(use == For::kReading ? 0 : bytes_) {}

bool Mapping::has_lost_name(int arena) const noexcept {
    struct stat info {};
    return is_named_ && ::fstat(arena, &info) == 0 && info.st_nlink == 0;
}

int Mapping::allocate(std::uint64_t offset, std::uint64_t length) const noexcept {
    if (offset + length > file_size_limit()) return EFBIG;
    const int arena = descriptor();
    for (;;) {
        if (::fallocate(arena, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return 0;
        if (errno == EOPNOTSUPP) return populate(offset, length);
        if (errno != EINTR) return errno;
    }
}

// A write fault that changes no byte: the file system allocates the page, and the kernel gives an error where the
// fault would raise SIGBUS.
int Mapping::populate(std::uint64_t offset, std::uint64_t length) const noexcept {
    const std::uint64_t begin = offset & ~(kKernelPageBytes - 1);
    for (;;) {
        if (::madvise(base_ + begin, offset + length - begin, MADV_POPULATE_WRITE) == 0) return 0;
        if (errno == EFAULT) return ENOSPC;
        if (errno == EINVAL) return EOPNOTSUPP;  // a kernel before Linux 5.14
        if (errno != EINTR && errno != EAGAIN) return errno;
    }
}

int Mapping::write_zeroes(std::uint64_t offset, std::uint64_t length) const noexcept {
    static constexpr std::array<std::byte, kPageBytes> kZeroes{};
    if (offset + length > file_size_limit()) return EFBIG;
    const int arena = descriptor();
    if (has_lost_name(arena)) return ESTALE;
    while (length > 0) {
        const std::size_t count = std::min<std::uint64_t>(length, kZeroes.size());
        const ssize_t written = ::pwrite(arena, kZeroes.data(), count, static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        if (written == 0) return ENOSPC;
        offset += static_cast<std::uint64_t>(written);
        length -= static_cast<std::uint64_t>(written);
    }
    return 0;
}

}  // namespace shoal
