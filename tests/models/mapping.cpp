// Stands in for src/arena/mapping.cpp in models: memory of this process, which the model's threads share, and which
// is always real.
#include "arena/mapping.hpp"

#include <utility>

#include <boost/interprocess/anonymous_shared_memory.hpp>

namespace shoal {

Result<Mapping> Mapping::map(int descriptor, std::uint64_t bytes, const std::string&) {
    return Mapping(descriptor, boost::interprocess::anonymous_shared_memory(bytes), {});
}

Mapping::Mapping(int descriptor, boost::interprocess::mapped_region&& region, Guard&& guard) noexcept
    : descriptor_(descriptor),
      region_(std::move(region)),
      guard_(std::move(guard)),
      base_(static_cast<std::byte*>(region_.get_address())),
      bytes_(region_.get_size()) {}

Mapping::Mapping(Mapping&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      region_(std::move(other.region_)),
      guard_(std::move(other.guard_)),
      base_(std::exchange(other.base_, nullptr)),
      bytes_(other.bytes_) {}

Mapping::~Mapping() = default;

int Mapping::allocate(std::uint64_t, std::uint64_t) const noexcept { return 0; }
int Mapping::write_zeroes(std::uint64_t, std::uint64_t) const noexcept { return 0; }
void Mapping::reopen(Before) noexcept {}

}  // namespace shoal
