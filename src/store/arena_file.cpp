#include "store/arena_file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "arena/boot_id.hpp"
#include "arena/crash_point.hpp"
#include "arena/plan.hpp"
#include "arena/system_failure.hpp"
#include "store/home.hpp"
#include "store/place.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kLeastSegmentsAnArena = 256;

}  // namespace

bool is_on_disk(int file) noexcept {
    struct statfs info {};
    if (::fstatfs(file, &info) != 0) return true;
    return info.f_type != TMPFS_MAGIC && info.f_type != RAMFS_MAGIC && info.f_type != HUGETLBFS_MAGIC;
}

Error never_synced(const std::string& path, const std::string& arena_path, bool outdated) {
    const char* how = outdated
                          ? "lies on a disk and was made before the machine was started last, so that parts of it "
                            "may never have reached the disk"
                          : "is gone (a reboot empties a tmpfs)";
    return {Code::kArenaGone,
            fmt::format(
                "the arena {} of store {} {}, and the store was never synced: what it held is lost; destroy the "
                "store and create it anew",
                arena_path, path, how),
            outdated ? ESTALE : ENOENT, 0};
}

Error arena_outdated(const std::string& path, const std::string& arena_path) {
    return {
        Code::kArenaGone,
        fmt::format("the arena {} of store {} lies on a disk and was made before the machine was started last, so "
                    "that parts of it may never have reached the disk; what was synced comes back when the store "
                    "is opened ('shoal recover')",
                    arena_path, path),
        ESTALE, 0};
}

Error arena_gone(const std::string& path, const std::string& arena_path) {
    return {
        Code::kArenaGone,
        fmt::format("the arena {} of store {} is gone (a reboot empties a tmpfs); what was synced comes back when "
                    "the store is opened ('shoal recover')",
                    arena_path, path),
        ENOENT, 0};
}

Error is_outdated(const std::string& path, const std::string& arena_path) {
    return {
        Code::kArenaGone,
        fmt::format("the arena {} is not that of store {} any more: the store was restored from its checkpoint "
                    "since, behind another mount perhaps (another container's /dev/shm), and goes on there; what "
                    "was not synced from this arena is only in it. Remove it (rm {}), and open the store again",
                    arena_path, path, arena_path),
        ESTALE, 0};
}

Error is_on_read_only_mount(const std::string& path, const std::string& arena_path) {
    return {Code::kPermission,
            fmt::format("the arena {} of store {} is on a read-only mount: open the store with Options::read_only "
                        "(--read-only) to read it",
                        arena_path, path),
            EROFS, 0};
}

Error no_locks(const std::string& arena, int cause) {
    const char* advice = cause == ENOENT ? " (is there a /proc?)" : "";
    return {Code::kSystem,
            fmt::format("cannot open arena {} anew for its locks: {}{}", arena, std::strerror(cause), advice),
            cause};
}

Result<ArenaFile> open_arena_file(const std::string& path, const Metadata& metadata, const Access& access,
                                  Mapping::For use) {
    const std::string what = "arena " + metadata.arena_path;
    const int mode = use == Mapping::For::kReading ? O_RDONLY : O_RDWR;
    Descriptor descriptor(
        ::open(metadata.arena_path.c_str(), mode | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    if (descriptor.get() < 0) {
        const int cause = errno;
        if (cause == EROFS) return tl::unexpected(is_on_read_only_mount(path, metadata.arena_path));
        if (cause != ENOENT) return failed(what, cause);
        return tl::unexpected(arena_gone(path, metadata.arena_path));
    }
    struct stat info {};
    if (::fstat(descriptor.get(), &info) != 0) return failed(what, errno);
    if (auto checked = access.check_file(info, what); !checked) return tl::unexpected(std::move(checked.error()));
    const auto bytes = static_cast<std::uint64_t>(info.st_size);
    // The head is read before anything is mapped: a file too short for what it says would fault.
    alignas(ArenaHeader) std::array<std::byte, sizeof(ArenaHeader)> head{};
    const ssize_t count = ::pread(descriptor.get(), head.data(), head.size(), 0);
    const auto& header = *reinterpret_cast<const ArenaHeader*>(head.data());
    const auto damaged = [&](Code code, const std::string& how) {
        return tl::unexpected(Error{code, fmt::format("{} of store {}: {}", what, path, how)});
    };
    if (!S_ISREG(info.st_mode) || count != static_cast<ssize_t>(head.size())) {
        return damaged(Code::kDamaged, "it is too short, or no regular file");
    }
    if (header.magic.load(std::memory_order_relaxed) != kArenaMagic) {  // relaxed: a private copy
        return damaged(Code::kDamaged, check_layout(header));
    }
    if (const std::string how = check_layout(header); !how.empty()) {
        return damaged(has_layout_of_some_build(header) ? Code::kIncompatible : Code::kDamaged, how);
    }
    if (const std::string how = check_header(header, bytes); !how.empty()) return damaged(Code::kDamaged, how);
    if (header.store_id != metadata.id || !metadata.arena_path.ends_with(id_text(header.arena_id))) {
        return damaged(Code::kDamaged, "it belongs to another store");
    }
    const bool outdated = is_of_another_boot(header.boot_id) && is_on_disk(descriptor.get());
    return ArenaFile{std::move(descriptor), bytes, header.flags == kTemporaryFlag, outdated};
}

Result<Mapping> build_arena(int descriptor, const ArenaPlans& plans, const Options& options, const FillArena& fill,
                            CheckpointReader* checkpoint) {
    const auto& [name, where, bytes, id, arena_id, store_path, hidden_path, meta, restore] = plans;
    if (const std::uint64_t most = file_size_limit(); bytes > most) {  // growing it would raise SIGXFSZ
        return tl::unexpected(
            Error{Code::kNoSpace,
                  fmt::format("an arena of {} bytes is larger than this process may make a file ({} bytes): raise "
                              "that limit (ulimit -f), or lower memory_limit_bytes",
                              bytes, most),
                  EFBIG});
    }
    if (::ftruncate(descriptor, static_cast<off_t>(bytes)) != 0) {
        return failed(fmt::format("cannot make arena {} {} bytes long", name, bytes), errno);
    }
    crash_point(CrashPoint::kArenaSized);
    int refused = 0;
    LockDescription locks = LockDescription::of(descriptor, hidden_path, &refused);
    if (!locks.exists() && store_path.empty()) locks = LockDescription::shared(descriptor, &refused);
    if (!locks.exists()) return tl::unexpected(no_locks(name, refused));
    auto mapped = Mapping::map(descriptor, std::move(locks), bytes, name);
    if (!mapped) return mapped;
    const ArenaPlan plan = plan_arena(bytes);
    const std::uint64_t first_slots_end = kSlotsAt + kSlotsAChunk * sizeof(Slot);
    int cause = mapped->allocate(0, first_slots_end);
    if (cause == 0) cause = mapped->allocate(plan.used_at, plan.block_bits_at - plan.used_at);
    if (cause == EOPNOTSUPP) {
        return tl::unexpected(
            Error{Code::kSystem,
                  fmt::format("cannot create arena {}: the file system of {} cannot allocate memory ahead of use "
                              "(fallocate), and this kernel is older than Linux 5.14, which can do without: set "
                              "arena_dir to a folder on a tmpfs",
                              name, where),
                  cause});
    }
    if (cause != 0) {
        return tl::unexpected(Error{code_of(cause),
                                    fmt::format("cannot allocate {} bytes for the tables of arena {}: {}; {}",
                                                first_slots_end + plan.block_bits_at - plan.used_at, name,
                                                std::strerror(cause), advice_for_space(where)),
                                    cause});
    }
    ArenaHeader& header = mapped->header();
    header.slots_real.store(kSlotsAChunk, std::memory_order_relaxed);  // relaxed: published by the magic
    header.signature = layout_signature();
    header.layout = layout_words();
    header.store_id = id;
    header.arena_id = arena_id;
    header.arena_bytes = bytes;
    header.page_count = plan.page_count;
    header.slots_at = plan.slots_at;
    header.used_at = plan.used_at;
    header.real_at = plan.real_at;
    header.tables_at = plan.tables_at;
    header.owners_at = plan.owners_at;
    header.partial_at = plan.partial_at;
    header.block_bits_at = plan.block_bits_at;
    header.pages_at = plan.pages_at;
    // What keys leave unused at their ends must stay small beside the whole.
    const std::uint64_t most =
        std::max<std::uint64_t>(std::bit_floor(limit_of(bytes) / kLeastSegmentsAnArena), 64 << 10);
    header.max_segment_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(options.max_segment_bytes, most));
    header.first_segment_bytes = std::min(options.first_segment_bytes, header.max_segment_bytes);
    header.flags = options.temporary ? kTemporaryFlag : 0;
    header.restore = restore;
    header.boot_id = this_boot_id();
    header.created_unix_s = static_cast<std::uint64_t>(::time(nullptr));
    if (!store_path.empty()) cause = write_home(descriptor, home_at(store_path, meta));
    if (cause != 0) return failed("cannot write arena " + name, cause);
    if (::getrandom(&header.hash_seed, sizeof header.hash_seed, 0) < 0) header.hash_seed = header.created_unix_s;
    header.epoch.store(1, std::memory_order_relaxed);  // relaxed: published by the magic
    crash_point(CrashPoint::kHeaderWritten);
    if (auto filled = fill(*mapped, options, store_path, checkpoint); !filled) {
        if (filled.error().code == Code::kNoSpace) filled.error().message += "; " + advice_for_space(where);
        return tl::unexpected(std::move(filled.error()));
    }
    crash_point(CrashPoint::kArenaFilled);
    header.magic.store(kArenaMagic, std::memory_order_release);  // pairs with check_layout: all above is seen
    crash_point(CrashPoint::kMagicStored);
    return mapped;
}

int announce_destruction(int descriptor) noexcept {
    // One page: the whole arena may be more than this process can map.
    void* page = ::mmap(nullptr, sizeof(ArenaHeader), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (page == MAP_FAILED) return errno;
    // release: who sees the bit comes after the destroy; read by Epochs::enter
    static_cast<ArenaHeader*>(page)->epoch.fetch_or(kDestroyedBit, std::memory_order_release);
    ::munmap(page, sizeof(ArenaHeader));
    return 0;
}

}  // namespace shoal
