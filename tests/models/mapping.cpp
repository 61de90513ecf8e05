// Stands in for src/arena/mapping.cpp in models: memory of this process, which the model's threads share, and which
// is always real, but where a model watches for holes (world.hpp).
#include "arena/mapping.hpp"

#include <utility>

#include <boost/interprocess/anonymous_shared_memory.hpp>

namespace shoal {

Result<Mapping> Mapping::map(int, LockDescription&& locks, std::uint64_t bytes, const std::string&, For) {
    return Mapping(std::move(locks), boost::interprocess::anonymous_shared_memory(bytes), {});
}

Mapping::Mapping(LockDescription&& locks, boost::interprocess::mapped_region&& region, Guard&& guard, For) noexcept
    : locks_(std::move(locks)),
      region_(std::move(region)),
      guard_(std::move(guard)),
      base_(static_cast<std::byte*>(region_.get_address())),
      bytes_(region_.get_size()),
      reach_(bytes_) {}

int Mapping::allocate(std::uint64_t offset, std::uint64_t bytes) const noexcept {
    model::make_real(base_ + offset, bytes);
    return 0;
}
int Mapping::write_zeroes(std::uint64_t, std::uint64_t) const noexcept { return 0; }

}  // namespace shoal
