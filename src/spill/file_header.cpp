#include "spill/file_header.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/format_version.hpp"

namespace shoal {
namespace {

constexpr std::size_t kSummedFrom = offsetof(SpillFileHeader, store_id);

std::uint64_t checksum_of(const std::byte* page) noexcept {
    return XXH3_64bits(page + kSummedFrom, kSpillFileHeaderBytes - kSummedFrom);
}

tl::unexpected<Error> damaged_header(std::string what) {
    return tl::unexpected(Error{Code::kDamaged, std::move(what)});
}

}  // namespace

void write_file_header(const SpillFileIdentity& identity,
                       std::span<std::byte, kSpillFileHeaderBytes> out) noexcept {
    SpillFileHeader header{};
    header.magic = kSpillFileMagic;
    header.store_id = identity.store_id;
    header.created_unix_s = identity.created_unix_s;
    header.file_number = identity.file_number;
    header.restore = identity.restore;
    std::fill(out.begin(), out.end(), std::byte{0});
    std::memcpy(out.data(), &header, sizeof header);
    header.checksum = checksum_of(out.data());
    std::memcpy(out.data(), &header, sizeof header);
}

Result<SpillFileIdentity> parse_file_header(ByteView bytes) {
    if (bytes.size() < kSpillFileHeaderBytes)
        return damaged_header(fmt::format("its header is cut off after {} bytes", bytes.size()));
    SpillFileHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if ((header.magic & ~kVersionMask) != (kSpillFileMagic & ~kVersionMask))
        return damaged_header(fmt::format("no spill file begins with {:016x}", header.magic));
    if (header.magic != kSpillFileMagic) {
        return is_of_later_version("it", header.magic & kVersionMask, kSpillFileMagic & kVersionMask);
    }
    if (checksum_of(bytes.data()) != header.checksum)
        return damaged_header("the checksum of its header does not match");
    const auto rest = bytes.span().first(kSpillFileHeaderBytes).subspan(sizeof header);
    if (std::any_of(rest.begin(), rest.end(), [](std::byte byte) { return byte != std::byte{0}; })) {
        return damaged_header("its header is not filled up with zeroes");
    }
    return SpillFileIdentity{header.store_id, header.file_number, header.created_unix_s, header.restore};
}

}  // namespace shoal
