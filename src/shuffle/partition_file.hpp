// One partition's file: what it is called, and how it is written.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "shuffle/failure.hpp"

namespace shoal::shuffling {

// The name of the file for a distinct value: "value-", the value with every byte but [A-Za-z0-9._-], and a leading
// dot, as %XX, and the extension. A value whose name would be longer than 200 bytes is cut and bears the XXH3-128
// of the whole behind a '~', which no other name holds: so two values never share a name (short of a collision of
// 128 bits).
[[nodiscard]] std::string value_file_name(std::string_view value, std::string_view extension);

// XXH3-128 as xxh128sum prints it: 32 hex digits, big end first.
using Digest = std::array<unsigned char, 16>;
[[nodiscard]] std::string hex(const Digest& digest);

// Writes a file from many pieces and computes its checksum on the way, at once or in several goes. Small pieces are
// gathered, large ones written from where they lie. Thread safety: none. A failure or crash leaves a part of the
// file, in a folder that goes too.
class PartitionFile {
public:
    // kDisk: past the page cache (O_DIRECT), where the file system can, but for what is no whole block at the end.
    enum class Through : std::uint8_t { kPageCache, kDisk };

    // The file must not exist. `folder_fd` is its folder's.
    [[nodiscard]] static Outcome<PartitionFile> create(int folder_fd, const std::string& name,
                                                       Through through = Through::kPageCache);
    PartitionFile(PartitionFile&&) noexcept;
    PartitionFile& operator=(PartitionFile&&) noexcept;
    ~PartitionFile();

    // One that was paused, by a process that this one's parent has forked, too. `paused` is what pause() gave.
    [[nodiscard]] static Outcome<PartitionFile> resume(int folder_fd, const std::string& name, Through through,
                                                       std::string_view paused);

    [[nodiscard]] Outcome<void> write(std::string_view piece);

    // Closes the file for somebody to resume, and gives what that takes: the checksum so far, and what was gathered
    // of a block of the disk that is not full yet.
    [[nodiscard]] Outcome<std::string> pause();

    // Writes out all that was gathered, and closes.
    [[nodiscard]] Outcome<void> finish();

    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] Digest digest() const;

private:
    struct Checksum;

    PartitionFile(Through through, std::string name);
    [[nodiscard]] Outcome<void> open(int folder_fd, int flags);
    [[nodiscard]] Outcome<void> gather(std::string_view piece);
    [[nodiscard]] Outcome<void> write_out(const char* data, std::size_t bytes);
    [[nodiscard]] Outcome<void> close_file();
    void set_direct(bool direct) noexcept;

    std::string name_;
    FileDescriptor fd_;
    std::unique_ptr<Checksum> checksum_;
    Through through_;
    bool direct_ = false;
    std::unique_ptr<char[], void (*)(void*)> gathered_;
    std::size_t gathered_bytes_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace shoal::shuffling
