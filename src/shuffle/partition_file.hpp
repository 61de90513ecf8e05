// One partition's file: what it is called, and how it is written.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "shuffle/failure.hpp"

struct XXH3_state_s;

namespace shoal::shuffling {

// The name of the file for a distinct value: "value-", the value with every byte but [A-Za-z0-9._-], and a leading
// dot, as %XX, and the extension. A value whose name would be longer than 200 bytes is cut and bears the XXH3-128
// of the whole behind a '~', which no other name holds: so two values never share a name (short of a collision of
// 128 bits).
[[nodiscard]] std::string value_file_name(std::string_view value, std::string_view extension);

// XXH3-128 as xxh128sum prints it: 32 hex digits, big end first.
using Digest = std::array<unsigned char, 16>;
[[nodiscard]] std::string hex(const Digest& digest);

// Writes a file from many pieces and computes its checksum on the way. Small pieces are gathered, large ones
// written from where they lie. Thread safety: none. A failure or crash leaves a part of the file, in a folder that
// goes too.
class PartitionFile {
public:
    // The file must not exist. `folder_fd` is its folder's.
    [[nodiscard]] static Outcome<PartitionFile> create(int folder_fd, const std::string& name);
    PartitionFile(PartitionFile&&) noexcept;
    PartitionFile& operator=(PartitionFile&&) noexcept;
    ~PartitionFile();

    [[nodiscard]] Outcome<void> write(std::string_view piece);

    // Writes out what was gathered and closes.
    [[nodiscard]] Outcome<void> finish();

    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] Digest digest() const;

private:
    PartitionFile();
    [[nodiscard]] Outcome<void> write_out(const char* data, std::size_t bytes);

    struct StateDeleter {
        void operator()(XXH3_state_s* state) const noexcept;
    };

    std::string name_;
    FileDescriptor fd_;
    std::unique_ptr<XXH3_state_s, StateDeleter> checksum_;
    std::unique_ptr<char[]> gathered_;
    std::size_t gathered_bytes_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace shoal::shuffling
