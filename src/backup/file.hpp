// A backup as a file. It is written under the name FILE.part and gets its own name when it is whole and durable, so
// FILE is a whole backup or what it was before. FILE.part stays where a backup is interrupted, for another to go on
// with. A FILE that is there and no regular file (a pipe, /dev/null) is written to as it is.
//
// Thread safety: none. A crash leaves FILE.part, which the next backup to FILE goes on with, or begins anew.
// Invariants: I1 FILE.part is written by one process at a time, which has it locked (flock);
//             I2 FILE gets its name after its bytes are durable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <shoal/backup.hpp>

#include "arena/descriptor.hpp"
#include "backup/reader.hpp"

namespace shoal {

class BackupFile {
public:
    // Opens FILE.part, and locks it. Errors: kInUse while another process writes it; kPermission, kNoSpace,
    // kNotFound (the folder is not there), kSystem.
    [[nodiscard]] static Result<BackupFile> open(const std::string& path);

    // What is there of a backup with this header, but for the time when it was begun, and whole up to a place where
    // it can be gone on with; what lies behind it is cut off. Nothing where there is no such backup: the file is
    // empty then. kInvalidArgument where it is of another store.
    struct Interrupted {
        BackupHeader header;
        BackupPosition position;
    };
    [[nodiscard]] Result<std::optional<Interrupted>> interrupted(const BackupHeader& header);
    // Empties the file.
    [[nodiscard]] Result<void> begin_anew();

    [[nodiscard]] Result<void> write(ByteView bytes);
    // Makes the file durable, and gives it its name.
    [[nodiscard]] Result<void> publish();

private:
    BackupFile(std::string path, std::string part, Descriptor&& descriptor) noexcept
        : path_(std::move(path)), part_(std::move(part)), descriptor_(std::move(descriptor)) {}
    [[nodiscard]] bool has_part() const noexcept { return !part_.empty(); }
    [[nodiscard]] const std::string& written_path() const noexcept { return has_part() ? part_ : path_; }

    std::string path_;
    std::string part_;  // empty where FILE is no regular file
    Descriptor descriptor_;
    std::uint64_t offset_ = 0;
    std::uint64_t begun_to_disk_ = 0;  // bytes that the kernel has been asked to write to the disk
};

// A backup that is to be restored; errors as above.
[[nodiscard]] Result<Descriptor> open_backup(const std::string& path);

// Writes all of `bytes`; blocks where the descriptor would. Errors: `what` and the reason.
[[nodiscard]] Result<void> write_all(int descriptor, ByteView bytes, const std::string& what);
// Reads some, as BackupSource does.
[[nodiscard]] Result<std::size_t> read_some(int descriptor, std::span<std::byte> room, const std::string& what);

}  // namespace shoal
