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
// written from where they lie; or all are gathered, and each MiB goes past the page cache (O_DIRECT), where the
// file system can. Thread safety: none. A failure or crash leaves a part of the file, in a folder that goes too.
class PartitionFile {
public:
    enum class Through : std::uint8_t { kPageCache, kDisk };

    // The file must not exist. `folder_fd` is its folder's.
    [[nodiscard]] static Outcome<PartitionFile> create(int folder_fd, const std::string& name,
                                                       Through through = Through::kPageCache);
    PartitionFile(PartitionFile&&) noexcept;
    PartitionFile& operator=(PartitionFile&&) noexcept;
    ~PartitionFile();

    [[nodiscard]] Outcome<void> write(std::string_view piece);

    // Writes out what was gathered and closes.
    [[nodiscard]] Outcome<void> finish();

    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] Digest digest() const;

private:
    explicit PartitionFile(Through through);
    [[nodiscard]] Outcome<void> gather(std::string_view piece);
    [[nodiscard]] Outcome<void> write_out(const char* data, std::size_t bytes);
    void set_direct(bool direct) noexcept;

    struct StateDeleter {
        void operator()(XXH3_state_s* state) const noexcept;
    };

    std::string name_;
    FileDescriptor fd_;
    std::unique_ptr<XXH3_state_s, StateDeleter> checksum_;
    bool to_disk_;
    bool direct_ = false;
    std::unique_ptr<char[], void (*)(void*)> gathered_;
    std::size_t gathered_bytes_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace shoal::shuffling
