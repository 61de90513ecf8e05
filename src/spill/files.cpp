#include "spill/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "arena/crash_point.hpp"
#include "arena/descriptor.hpp"
#include "arena/paths_inside.hpp"
#include "arena/system_failure.hpp"
#include "io/file_limit_signal.hpp"
#include "spill/bundle.hpp"
#include "spill/file_header.hpp"
#include "spill/restores.hpp"

namespace shoal {
namespace {

constexpr std::size_t kMostOpen = 256;      // files of a process; more are opened anew each time
constexpr std::uint64_t kHoleBytes = 4096;  // what file systems give back

// A file that take() owns, until it is the caller's: let go of where it cannot be had, also by an exception.
struct Owning {
    SpillFile& file;
    std::uint64_t left_as;
    bool kept = false;
    ~Owning() {
        if (!kept) file.owner.store(left_as, std::memory_order_release);  // pairs with try_own
    }
    Result<SharedSpillFile> keep(Result<SharedSpillFile> opened) noexcept {
        kept = opened.has_value();
        return opened;
    }
};

}  // namespace

OpenSpillFile::~OpenSpillFile() {
    for (const int number : {descriptor(), direct()}) {
        if (number >= 0) ::close(number);
    }
}

void OpenSpillFile::punch(std::uint64_t begin, std::uint64_t end) const noexcept {
    if (end <= begin) return;
    static_cast<void>(::fallocate(descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  static_cast<off_t>(begin), static_cast<off_t>(end - begin)));
}

void OpenSpillFile::punch(const StoredAt& extent) const noexcept {
    if (extent.in_bundle) return;
    // Edges are shared with neighbours.
    punch(round_up(extent.offset, kHoleBytes), (extent.offset + extent.bytes) / kHoleBytes * kHoleBytes);
}

bool OpenSpillFile::is_removed() const noexcept {
    struct stat info {};
    return ::fstat(descriptor(), &info) == 0 && info.st_nlink == 0;
}

SpillFiles::SpillFiles(const Mapping& mapping, Slots& slots, Grant grant, bool page_cache,
                       const std::string& store_path)
    : header_(&mapping.header()),
      slots_(&slots),
      grant_(std::move(grant)),
      page_cache_(page_cache),
      read_only_(mapping.is_read_only()) {
    if (header_->spill_files_at == 0) return;
    table_ = mapping.at<SpillFileTable>(header_->spill_files_at);
    const std::string said(header_->spill_folder.data(),
                           ::strnlen(header_->spill_folder.data(), header_->spill_folder.size()));
    folder_ = KeptFolder(from_there(store_path, said));
    id_text_ = shoal::id_text(header_->store_id);
    if (header_->restore != 0) find_adopted(mapping.descriptor());
}

// Of each number the newest file of an arena before this one. What this arena has adopted is among them, and stays
// until nothing of it counts any more; nothing is adopted later.
void SpillFiles::find_adopted(int arena) {
    restore_of_.resize(kSpillFiles);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder().c_str()), &::closedir);
    struct stat own {};
    if (stream == nullptr || ::fstat(arena, &own) != 0) return;  // then no file can be opened either
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = ::readdir(stream.get())) {
        const auto name = spill_file_name(static_cast<const char*>(entry->d_name), id_text_);
        struct stat info {};
        if (!name || name->restore >= header_->restore || name->restore < restore_of_[name->number] ||
            ::fstatat(::dirfd(stream.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !belongs_with(own, info)) {
            continue;  // anybody may put a file into a folder like /var/tmp
        }
        restore_of_[name->number] = name->restore + 1;
    }
}

std::string SpillFiles::path_of(std::uint32_t number) const { return path_to(number).text.data(); }

SpillFiles::PathTo SpillFiles::path_to(std::uint32_t number) const noexcept {
    const bool adopted = number < restore_of_.size() && restore_of_[number] != 0 && is_adopted(entry(number));
    const std::uint64_t restore = adopted ? restore_of_[number] - 1 : header_->restore;
    PathTo path;
    char of_restore[32] = "";
    if (restore != 0)
        std::snprintf(of_restore, sizeof of_restore, "r%llu-", static_cast<unsigned long long>(restore));
    std::snprintf(path.text.data(), path.text.size(), "%s/shoal-%s-%s%04u.spill", folder_.path().text.data(),
                  id_text_.c_str(), of_restore, number);
    return path;
}

bool SpillFiles::try_own(SpillFile& file, std::uint64_t owner, std::uint64_t ours) const noexcept {
    // acquire: its last owner's end is seen; a failed try: another spiller was quicker
    return file.owner.compare_exchange_strong(owner, ours, std::memory_order_acquire, std::memory_order_relaxed);
}

bool SpillFiles::has_room(std::uint64_t end, std::uint64_t bytes, std::uint64_t limit) noexcept {
    // Who takes the file over begins at the next block.
    return round_up(end, kSpillFileHeaderBytes) < kSpillFileBytes && bytes <= limit - std::min(limit, end);
}

Result<SharedSpillFile> SpillFiles::take(const Slot& slot, std::uint64_t bytes, std::uint32_t* number) {
    const std::uint64_t ours = hand_of(slot);
    for (std::uint32_t at = 0; at < kSpillFiles; ++at) {
        SpillFile& file = entry(at);
        const std::uint64_t owner = file.owner.load(std::memory_order_relaxed);  // relaxed: try_own decides
        if (owner == kNoFile) {
            if (!try_own(file, owner, ours)) continue;
            Owning owning{file, kNoFile};
            if (auto made = make(at); !made) {
                if (made.error().system_errno == EEXIST) continue;
                return tl::unexpected(std::move(made.error()));
            }
            owning.left_as = kIdleFile;
            *number = at;
            return owning.keep(open_anew(at, O_RDWR));
        }
        const bool left = owner == kIdleFile || (is_in_hand(owner) && !slots_->is_current(owner));
        // relaxed: only a filter; owned, it is ours to read
        if (!left || !has_room(file.end.load(std::memory_order_relaxed), bytes)) continue;
        if (!try_own(file, owner, ours)) continue;
        Owning owning{file, kIdleFile};
        auto opened = open_anew(at, O_RDWR);
        if (opened && file.end.load(std::memory_order_relaxed) >= kSpillFileHeaderBytes) {
            *number = at;
            return owning.keep(std::move(opened));
        }
        // Its maker died before it had a header, or somebody has removed it: nothing can be written behind it. The
        // latter stays what it is, so that what it held is missed where it is read.
        if (counts_nothing(file, *header_)) {
            owning.left_as = kNoFile;
            --at;  // now as one that was never made
        } else {
            file.end.store(kSpillFileBytes, std::memory_order_relaxed);
        }
    }
    return tl::unexpected(Error{Code::kNoSpace, fmt::format("all {} spill files are full", kSpillFiles), ENOSPC});
}

Result<void> SpillFiles::make(std::uint32_t number) {
    forget(number);
    OpenSpillFile file(path_of(number));
    const std::string& path = file.path();
    // One that a dead process made, and nobody has named; or one that was emptied by a process that may not remove
    // it, in a folder with the sticky bit: then this number is for its owner to use again. It is not written to:
    // another process may have it open still, to give room of it back.
    ::unlink(path.c_str());
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor < 0) return failed("cannot make spill file " + path, errno);
    file.own(descriptor, -1);
    int cause = grant_ ? grant_(descriptor) : 0;
    if (cause == 0) {
        std::array<std::byte, kSpillFileHeaderBytes> head;
        write_file_header({header_->store_id, number, static_cast<std::uint64_t>(::time(nullptr)),
                           static_cast<std::uint32_t>(header_->restore)},
                          head);
        const ssize_t written = ::pwrite(descriptor, head.data(), head.size(), 0);
        if (written != static_cast<ssize_t>(head.size())) cause = written < 0 ? errno : ENOSPC;
    }
    // acquire: pairs with announce_destruction, whose caller looks for files after it: either it finds this one, or
    // we see its bit
    if (cause == 0 && (header_->epoch.load(std::memory_order_acquire) & kDestroyedBit) != 0) cause = ENOENT;
    if (cause != 0) {
        ::unlink(path.c_str());
        return failed("cannot make spill file " + path, cause);
    }
    SpillFile& entry = this->entry(number);
    entry.live_bytes.store(0, std::memory_order_relaxed);  // relaxed, all: ours alone until it is given back
    entry.kept_until.store(0, std::memory_order_relaxed);
    entry.end.store(kSpillFileHeaderBytes, std::memory_order_relaxed);
    return {};
}

// Both descriptors are of one file: of whichever had the name.
Result<SharedSpillFile> SpillFiles::open_anew(std::uint32_t number, int access) const {
    const auto file = std::make_shared<OpenSpillFile>(path_of(number));
    const std::string& path = file->path();
    const int descriptor = ::open(path.c_str(), access | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0 && errno == ENOENT) {
        if (path_of(number) != path) return open_anew(number, access);  // the folder has been moved meanwhile
        return tl::unexpected(Error{Code::kDamaged, "there is no such file", ENOENT, 0});
    }
    if (descriptor < 0) return failed("cannot open it", errno);
    file->own(descriptor, -1);
    if (!page_cache_) {
        const std::string again = fmt::format("/proc/self/fd/{}", descriptor);
        file->own(descriptor, ::open(again.c_str(), access | O_CLOEXEC | O_DIRECT));
    }
    struct stat info {};
    if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        return tl::unexpected(Error{Code::kDamaged, "it is no regular file"});
    }
    return file;
}

std::uint64_t SpillFiles::hand_of(const Slot& slot) const noexcept {
    return in_hand(slots_->number(slot),
                   slot.generation.load(std::memory_order_relaxed));  // relaxed: our own slot's
}

void SpillFiles::give_back(const Slot& slot, std::uint32_t number) noexcept {
    const std::uint64_t end = entry(number).end.load(std::memory_order_relaxed);  // relaxed: ours until below
    const FileLimitSignalHeld held;  // a dead spiller's end may lie behind what it has written
    static_cast<void>(::truncate(path_to(number).text.data(), static_cast<off_t>(end)));
    entry(number).owner.store(kIdleFile, std::memory_order_release);  // pairs with try_own
    remove_if_empty(slot, number);
}

Result<SharedSpillFile> SpillFiles::open(std::uint32_t number) {
    if (table_ == nullptr) return tl::unexpected(Error{Code::kDamaged, "the store has no spill files"});
    {
        const std::lock_guard lock(slots_->mutex());
        const auto found = open_.find(number);
        if (found != open_.end() && !found->second->is_lost()) return found->second;
    }
    auto file = open_anew(number, read_only_ ? O_RDONLY : O_RDWR);
    if (!file && !read_only_ && (file.error().system_errno == EROFS || file.error().system_errno == EACCES)) {
        file = open_anew(number, O_RDONLY);  // no room can be given back then, and all else goes on
    }
    if (!file) return file;
    const std::lock_guard lock(slots_->mutex());
    if (open_.size() >= kMostOpen) open_.erase(open_.begin());
    open_[number] = *file;
    return file;
}

Result<SharedSpillFile> SpillFiles::open_current(std::uint32_t number) {
    auto file = open(number);
    if (!file || !(*file)->is_removed()) return file;
    forget(number);  // another process has made one anew under that number, or none
    return open(number);
}

void SpillFiles::forget(std::uint32_t number) {
    const std::lock_guard lock(slots_->mutex());
    open_.erase(number);
}

void SpillFiles::release(const Slot& slot, std::uint64_t place, std::uint64_t bytes, bool checkpointed) noexcept {
    if (table_ == nullptr) return;
    const StoredAt at = stored_at(place);
    DeadRoom::Range dead;
    if (at.in_bundle) {
        const std::lock_guard lock(slots_->mutex());
        dead = dead_room_.leave_bundle(at.file, at.offset, bytes, checkpointed);
    } else if (!checkpointed) {
        dead = {at.offset, at.offset + at.bytes};
    }
    if (!dead.empty()) {
        try {
            give_room_back(at.file, dead);
        } catch (const std::bad_alloc&) {
            // Its room comes back with the file, as where the file cannot be opened.
        }
    }
    // acq_rel: who brings it to nothing comes after everybody who released an extent
    if (entry(at.file).live_bytes.fetch_sub(bytes, std::memory_order_acq_rel) == bytes) {
        remove_if_empty(slot, at.file);
    }
}

// What lies there counts yet, so that the file of this moment is the one.
void SpillFiles::give_room_back(std::uint32_t number, DeadRoom::Range dead) {
    const auto opened = open_current(number);
    if (!opened) return;
    const auto blocks = [&] {
        const std::lock_guard lock(slots_->mutex());
        return dead_room_.add(number, *opened, dead, kHoleBytes);
    }();
    (*opened)->punch(blocks.begin, blocks.end);
}

void SpillFiles::note_bundle(const SharedSpillFile& file, std::uint64_t place, const BundleView& bundle) {
    const auto live = bundle.live_bytes();
    if (!live) return;
    const StoredAt at = stored_at(place);
    const DeadRoom::Range range{at.offset, at.offset + padded_to_extent(bundle.header().bytes)};
    const std::lock_guard lock(slots_->mutex());
    dead_room_.note_bundle(at.file, file, range, *live);
}

void SpillFiles::remove_empty(const Slot& slot) noexcept {
    for (std::uint32_t number = 0; number < kSpillFiles; ++number) remove_if_empty(slot, number);
}

void SpillFiles::adopt(std::uint32_t number, std::uint64_t end, std::uint64_t live_bytes,
                       std::uint64_t checkpoint) noexcept {
    SpillFile& file = entry(number);
    // relaxed, all: published with the arena
    file.end.store(end | kAdoptedBit, std::memory_order_relaxed);
    file.live_bytes.store(live_bytes, std::memory_order_relaxed);
    file.kept_until.store(checkpoint + 1, std::memory_order_relaxed);
    file.owner.store(kIdleFile, std::memory_order_relaxed);
}

Result<void> SpillFiles::look_at_adopted(std::uint32_t number) {
    const std::string path = path_of(number);
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    std::array<std::byte, kSpillFileHeaderBytes> head;
    struct stat info {};
    if (file.get() >= 0 && ::fstat(file.get(), &info) == 0) {
        const auto size = static_cast<std::uint64_t>(info.st_size);
        Atomic<std::uint64_t>& end = entry(number).end;
        // relaxed, both: published with the arena
        if (size < (end.load(std::memory_order_relaxed) & ~kAdoptedBit))
            end.store(size | kAdoptedBit, std::memory_order_relaxed);
    }
    if (file.get() < 0 || ::pread(file.get(), head.data(), head.size(), 0) != static_cast<ssize_t>(head.size()))
        return {};
    auto parsed = parse_file_header({head.data(), head.size()});
    if (parsed || parsed.error().code != Code::kIncompatible) return {};
    parsed.error().message = fmt::format("spill file {}: {}", path, parsed.error().message);
    return tl::unexpected(std::move(parsed.error()));
}

void SpillFiles::remove_unnamed(const Slot& slot) {
    const std::string folder = this->folder();
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), &::closedir);
    if (stream == nullptr) return;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* each = ::readdir(stream.get())) {
        const auto name = spill_file_name(static_cast<const char*>(each->d_name), id_text_);
        if (!name || name->restore > header_->restore) continue;
        const std::string path = fmt::format("{}/{}", folder, static_cast<const char*>(each->d_name));
        SpillFile& file = entry(name->number);
        if (name->restore < header_->restore) {
            const bool adopted = is_adopted(file) && restore_of_[name->number] == name->restore + 1;
            if (!adopted) ::unlink(path.c_str());
        } else if (try_own(file, kNoFile, hand_of(slot))) {
            ::unlink(path.c_str());
            file.owner.store(kNoFile, std::memory_order_release);  // pairs with try_own
        }
    }
}

void SpillFiles::remove_if_empty(const Slot& slot, std::uint32_t number) noexcept {
    SpillFile& file = entry(number);
    if (!counts_nothing(file, *header_)) return;
    const std::uint64_t owner = file.owner.load(std::memory_order_relaxed);  // relaxed: try_own decides
    const bool left = owner == kIdleFile || (is_in_hand(owner) && !slots_->is_current(owner));
    if (!left || !try_own(file, owner, hand_of(slot))) return;  // somebody writes to it, or removes it
    // Nobody can add to it now; somebody may have before we had it.
    if (!counts_nothing(file, *header_)) {
        file.owner.store(kIdleFile, std::memory_order_release);  // pairs with try_own
        return;
    }
    const PathTo path = path_to(number);
    file.end.store(0, std::memory_order_relaxed);  // first: who takes it over from the dead makes it anew
    crash_point(CrashPoint::kSpillFileEnded);
    // Empty before: other processes may have it open for long.
    static_cast<void>(::truncate(path.text.data(), 0));
    crash_point(CrashPoint::kSpillFileEmptied);
    ::unlink(path.text.data());
    crash_point(CrashPoint::kSpillFileUnlinked);
    forget(number);
    file.owner.store(kNoFile, std::memory_order_release);  // pairs with try_own
}

SpillFiles::Usage SpillFiles::usage() {
    Usage usage;
    for (std::uint32_t number = 0; table_ != nullptr && number < kSpillFiles; ++number) {
        const SpillFile& file = entry(number);
        if (file.owner.load(std::memory_order_relaxed) == kNoFile) continue;  // relaxed, all: to show
        usage.files += 1;
        usage.live_bytes += file.live_bytes.load(std::memory_order_relaxed);
        struct stat info {};
        if (::lstat(path_of(number).c_str(), &info) == 0) {
            usage.disk_bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
        }
    }
    return usage;
}

int remove_spill_files(const std::string& folder, const std::string& id_text, const struct stat& own) {
    constexpr int kTurns = 16;
    const std::string prefix = spill_name_prefix(id_text);
    const auto is_checkpoint = [&](const std::string& name) { return checkpoint_name(name, id_text).has_value(); };
    int failure = 0;
    bool moved = true;  // a checkpoint has got another name since the folder was read
    for (int turn = 0; moved && turn < kTurns; ++turn) {
        moved = false;
        failure = 0;
        const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), &::closedir);
        if (stream == nullptr) return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
        std::vector<std::string> names;
        // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
        while (const dirent* found = ::readdir(stream.get())) names.emplace_back(found->d_name);
        // The checkpoints first: without one nobody takes what is left for a store.
        std::partition(names.begin(), names.end(), is_checkpoint);
        for (const std::string& name : names) {
            const bool is_ours = is_checkpoint(name) || name == prefix + std::string(kRestoresName) ||
                                 (name.starts_with(prefix) && name.ends_with(".spill"));
            if (!is_ours) continue;
            struct stat info {};
            const auto gone = [&] { moved |= is_checkpoint(name); };
            if (::fstatat(::dirfd(stream.get()), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
                gone();
                continue;
            }
            if (!belongs_with(own, info)) continue;
            if (::unlinkat(::dirfd(stream.get()), name.c_str(), 0) == 0) continue;
            if (errno == ENOENT) {
                gone();
                continue;
            }
            failure = errno;
            // In a folder with the sticky bit its name is its owner's to remove; the room that it takes need not
            // stay.
            const int file = ::openat(::dirfd(stream.get()), name.c_str(),
                                      O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
            if (file < 0) continue;
            static_cast<void>(::ftruncate(file, 0));
            ::close(file);
        }
    }
    return failure;
}

}  // namespace shoal
