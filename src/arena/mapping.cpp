#include "arena/mapping.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <boost/interprocess/exceptions.hpp>

namespace shoal {
namespace {

namespace ipc = boost::interprocess;

// What Boost's mapped_region asks of a thing that can be mapped.
struct OpenFile {
    int descriptor;
    [[nodiscard]] ipc::mapping_handle_t get_mapping_handle() const noexcept {
        return ipc::ipcdetail::mapping_handle_from_file_handle(descriptor);
    }
};

}  // namespace

Result<Mapping> Mapping::map(int descriptor, std::uint64_t bytes, const std::string& name) {
    try {
        return Mapping(descriptor, ipc::mapped_region(OpenFile{descriptor}, ipc::read_write, 0, bytes));
    } catch (const ipc::interprocess_exception& failure) {
        ::close(descriptor);
        const int cause = failure.get_native_error();
        return tl::unexpected(Error{cause == ENOMEM ? Code::kMemoryLimit : Code::kSystem,
                                    fmt::format("cannot map {} bytes of arena {}: {}; lower memory_limit_bytes or "
                                                "raise the process's address-space limit (ulimit -v)",
                                                bytes, name, std::strerror(cause)),
                                    cause});
    }
}

Mapping::Mapping(int descriptor, ipc::mapped_region&& region) noexcept
    : descriptor_(descriptor), region_(std::move(region)), base_(static_cast<std::byte*>(region_.get_address())) {}

Mapping::Mapping(Mapping&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      region_(std::move(other.region_)),
      base_(std::exchange(other.base_, nullptr)) {}

Mapping::~Mapping() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

int Mapping::make_real(std::uint64_t offset, std::uint64_t length) const noexcept {
    for (;;) {
        if (::fallocate(descriptor_, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return 0;
        if (errno != EINTR) return errno;
    }
}

void Mapping::reopen_after_fork() noexcept {
    char path[32] = "/proc/self/fd/";
    char digits[12];
    int count = 0;
    for (int rest = descriptor_; count == 0 || rest != 0; rest /= 10) {
        digits[count++] = static_cast<char>('0' + rest % 10);
    }
    for (std::size_t at = std::strlen(path); count > 0;) path[at++] = digits[--count];
    const int fresh = ::open(path, O_RDWR | O_CLOEXEC);
    ::close(descriptor_);
    descriptor_ = fresh;  // -1 where /proc is missing: taking a slot then fails with EBADF, and says so
}

}  // namespace shoal
