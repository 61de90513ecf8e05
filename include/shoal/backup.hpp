// A backup: one portable file of all that a store holds, and a store made of it. See Store::backup, Store::restore.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include <shoal/bytes.hpp>
#include <shoal/codec.hpp>
#include <shoal/error.hpp>

namespace shoal {

// How far a backup, or the restoring of one, is.
struct BackupProgress {
    double fraction = 0;              // of all, 0 to 1; an estimate
    std::uint64_t keys = 0;           // written, or restored, so far
    std::uint64_t records = 0;        // of those keys
    std::uint64_t payload_bytes = 0;  // of those records
    std::uint64_t file_bytes = 0;     // of the backup, written or read so far
};

// Called between two chunks of some 8 MiB, outside of every epoch, so that it may be slow. False ends the call with
// kSystem and ECANCELED. It must not throw.
using BackupCallback = std::function<bool(const BackupProgress& progress)>;

// Takes the next bytes of a backup, all of them. An error ends the backup, which returns it. It may block.
using BackupSink = std::function<Result<void>(ByteView bytes)>;

// Puts the next bytes of a backup into `room`, one at least; returns how many, 0 at the end. An error ends the
// restoring, which returns it.
using BackupSource = std::function<Result<std::size_t>(std::span<std::byte> room)>;

struct BackupOptions {
    // How chunks are compressed. Nothing, the default: as the store's spilled data, so not at all in most stores.
    std::optional<Codec> codec;

    // To a file: goes on with the backup of this store that was interrupted there, if there is one.
    bool resume = false;

    BackupCallback progress;
};

struct BackedUp {
    std::uint64_t keys = 0;
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;
    std::uint64_t file_bytes = 0;     // of the backup
    std::uint64_t resumed_bytes = 0;  // of those, written by the backup that was interrupted
};

struct RestoreOptions {
    BackupCallback progress;
};

struct Restored {
    std::uint64_t keys = 0;
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;
    std::uint64_t begun_unix_s = 0;  // when the backup was begun: what was acknowledged before is in it
    bool synced = false;             // the store has a spill folder, and outlives a reboot as it is
};

}  // namespace shoal
