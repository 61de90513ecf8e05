// A spill file's own header, written and read.
#pragma once

#include <cstdint>
#include <span>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>

#include "spill/layout.hpp"

namespace shoal {

struct SpillFileIdentity {
    SpillStoreId store_id{};
    std::uint32_t file_number = 0;
    std::uint64_t created_unix_s = 0;
    std::uint32_t restore = 0;  // of the arena that made it (spill/restores.hpp)

    friend bool operator==(const SpillFileIdentity&, const SpillFileIdentity&) = default;
};

void write_file_header(const SpillFileIdentity& identity, std::span<std::byte, kSpillFileHeaderBytes> out) noexcept;

// `bytes`: the file's first kSpillFileHeaderBytes, or as many as it has. kIncompatible: of another version.
// kDamaged: anything else; the message says what is wrong, and the caller adds which file it is.
[[nodiscard]] Result<SpillFileIdentity> parse_file_header(ByteView bytes);

}  // namespace shoal
