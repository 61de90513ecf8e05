#include "store/restore_backup.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "arena/plan.hpp"
#include "arena/system_failure.hpp"
#include "backup/file.hpp"
#include "backup/reader.hpp"
#include "spill/codec_word.hpp"
#include "store/impl.hpp"
#include "store/place.hpp"

namespace shoal {
namespace {

constexpr std::size_t kPairsAtOnce = 16 << 10;

// What the backup says of its store, where the caller does not.
Result<Options> options_for(const Options& asked, const BackupHeader& header, const std::string& path) {
    if (asked.temporary) {
        return tl::unexpected(
            Error{Code::kInvalidArgument, "a restored store cannot be temporary: no process has it open", 0, 0});
    }
    if (asked.read_only) {
        return tl::unexpected(Error{Code::kInvalidArgument,
                                    "a store cannot be restored read-only: leave Options::read_only away", 0, 0});
    }
    const Options unless_said;
    Options options = asked;
    if (options.memory_limit_bytes == 0) {
        // On a smaller machine a new store's own limit.
        const std::size_t slash = path.rfind('/');
        const std::string above = slash == std::string::npos ? "." : path.substr(0, slash + 1);
        const auto place = choose_place(options, above);
        if (!place) return tl::unexpected(place.error());
        options.memory_limit_bytes = std::min(header.memory_limit, limit_of(place->bytes));
    }
    if (options.first_segment_bytes == unless_said.first_segment_bytes) {
        options.first_segment_bytes = header.first_segment_bytes;
    }
    if (options.max_segment_bytes == unless_said.max_segment_bytes) {
        options.max_segment_bytes = header.max_segment_bytes;
    }
    if (options.codec == unless_said.codec) options.codec = codec_of_said(header.codec);
    // It had a spill folder, and may hold more than its memory: in a folder that is there on each machine.
    if (options.spill_dir.empty() && (header.flags & kBackupSpills) != 0) options.durable = true;
    return options;
}

}  // namespace

Result<Restored> StoreImpl::fill_from(BackupReader& reader, std::uint64_t file_bytes,
                                      const BackupCallback& progress) {
    std::vector<Pair> pairs;
    const auto append_pairs = [&]() -> Result<void> {
        auto appended = append(pairs);
        pairs.clear();
        return appended;
    };
    for (;;) {
        const auto more = reader.next_chunk();
        if (!more) return tl::unexpected(more.error());
        if (!*more) break;
        for (BackupReader::Part part;;) {
            const auto has_part = reader.next_part(part);
            if (!has_part) return tl::unexpected(has_part.error());
            if (!*has_part) break;
            const std::byte* payload = part.payload.data();
            for (const std::uint64_t bytes : part.lengths) {
                pairs.emplace_back(part.key, ByteView(payload, bytes));
                payload += bytes;
                if (pairs.size() < kPairsAtOnce) continue;
                if (auto done = append_pairs(); !done) return tl::unexpected(std::move(done.error()));
            }
            const bool has_codec = part.codec != 0 && part.begins && files_.enabled();
            if (!has_codec && !part.voids) continue;
            if (auto done = append_pairs(); !done) return tl::unexpected(std::move(done.error()));
            const auto key = key_ref(part.key);
            if (!key) return tl::unexpected(key.error());
            if (part.voids) {
                if (const auto erased = erase(*key); !erased) return tl::unexpected(erased.error());
            } else if (auto set = set_codec(*key, codec_of_said(part.codec)); !set) {
                return tl::unexpected(std::move(set.error()));
            }
        }
        if (auto done = append_pairs(); !done) return tl::unexpected(std::move(done.error()));
        crash_point(CrashPoint::kChunkRestored);
        if (!progress) continue;
        const BackupPosition& now = reader.position();
        const double fraction =
            file_bytes == 0 ? 0 : static_cast<double>(now.file_bytes) / static_cast<double>(file_bytes);
        if (!progress({std::min(fraction, 1.0), now.keys, now.records, now.payload_bytes, now.file_bytes})) {
            return stopped_by_caller("the restoring");
        }
    }
    if (auto ended = reader.finish(); !ended) return tl::unexpected(std::move(ended.error()));
    crash_point(CrashPoint::kBackupRestored);
    if (files_.enabled()) {
        if (const auto synced = sync_before_named(); !synced) return tl::unexpected(synced.error());
        crash_point(CrashPoint::kRestoredSynced);
    }
    const BackupPosition& end = reader.position();
    return Restored{end.keys, end.records, end.payload_bytes, 0, files_.enabled()};
}

Result<Restored> restore_backup(const BackupSource& source, const std::string& what, std::uint64_t file_bytes,
                                const std::string& path, const Options& options,
                                const RestoreOptions& restore_options) {
    BackupReader reader(source, what);
    const auto header = reader.begin();
    if (!header) return tl::unexpected(header.error());
    const auto as_before = options_for(options, *header, path);
    if (!as_before) return tl::unexpected(as_before.error());
    std::optional<Restored> restored;
    const auto fill = [&](OpenedArena&& arena) -> Result<void> {
        Options of_filler = *as_before;
        of_filler.durable = false;  // it is synced when it is whole
        const bool has_files = arena.mapping.header().spill_files_at != 0;
        const auto store = std::make_shared<StoreImpl>(std::move(arena), of_filler);
        auto filled = store->fill_from(reader, file_bytes, restore_options.progress);
        if (filled) {
            restored = *filled;
            return {};
        }
        Error error = std::move(filled.error());
        if (error.code == Code::kMemoryLimit) {
            error.message = fmt::format("{} does not go into a store with this memory limit{}: {}", what,
                                        has_files ? "" : " and without a spill_dir", error.message);
        }
        return tl::unexpected(std::move(error));
    };
    auto made = create_filled(path, *as_before, StoreImpl::fill_arena, fill);
    if (!made) return tl::unexpected(std::move(made.error()));
    restored->begun_unix_s = header->begun_unix_s;
    return *restored;
}

Result<Restored> restore_backup(const std::string& file, const std::string& path, const Options& options,
                                const RestoreOptions& restore_options) {
    const std::string what = "backup " + file;
    const auto opened = open_backup(file);
    if (!opened) return tl::unexpected(opened.error());
    struct stat info {};
    const bool has_size = ::fstat(opened->get(), &info) == 0 && S_ISREG(info.st_mode);
    static_cast<void>(::posix_fadvise(opened->get(), 0, 0, POSIX_FADV_SEQUENTIAL));  // advice
    const BackupSource source = [&](std::span<std::byte> room) {
        return read_some(opened->get(), room, "cannot read " + what);
    };
    return restore_backup(source, what, has_size ? static_cast<std::uint64_t>(info.st_size) : 0, path, options,
                          restore_options);
}

}  // namespace shoal
