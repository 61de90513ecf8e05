#include "store/directory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "arena/plan.hpp"
#include "store/descriptor.hpp"
#include "store/leftovers.hpp"
#include "store/metadata.hpp"
#include "store/place.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kLeastSegmentsAnArena = 256;
constexpr int kRaceTurns = 1000;  // of creators and destroyers against us, before we give up

std::string metadata_path(const std::string& path) { return path + "/" + std::string(kMetadataName); }

Result<std::string> absolute_path(const std::string& path) {
    if (path.empty()) return tl::unexpected(Error{Code::kInvalidArgument, "the store's path is empty"});
    std::error_code cause;
    std::string whole = std::filesystem::absolute(path, cause).lexically_normal().string();
    if (cause) return failed(path, cause.value());
    while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
    if (whole.size() >= kStorePathBytes) {
        return tl::unexpected(
            Error{Code::kInvalidArgument,
                  fmt::format("the store's path has {} bytes; up to {} go", whole.size(), kStorePathBytes - 1)});
    }
    return whole;
}

Result<std::optional<Metadata>> read_metadata(const std::string& path) {
    return read_metadata_file(metadata_path(path));
}

Result<OpenedArena> open_arena(const std::string& path, const Metadata& metadata) {
    Descriptor descriptor(::open(metadata.arena_path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (descriptor.get() < 0) {
        if (errno != ENOENT) return failed("arena " + metadata.arena_path, errno);
        return tl::unexpected(
            Error{Code::kArenaGone,
                  fmt::format("the arena {} of store {} is gone (a reboot empties a tmpfs): what it held is lost; "
                              "destroy the store and create it anew",
                              metadata.arena_path, path),
                  ENOENT});
    }
    struct stat info {};
    if (::fstat(descriptor.get(), &info) != 0) return failed("arena " + metadata.arena_path, errno);
    const auto bytes = static_cast<std::uint64_t>(info.st_size);
    // The head is read before anything is mapped: a file too short for what it says would fault.
    alignas(ArenaHeader) std::array<std::byte, sizeof(ArenaHeader)> head{};
    const ssize_t count = ::pread(descriptor.get(), head.data(), head.size(), 0);
    const auto& header = *reinterpret_cast<const ArenaHeader*>(head.data());
    const auto damaged = [&](Code code, const std::string& what) {
        return tl::unexpected(
            Error{code, fmt::format("arena {} of store {}: {}", metadata.arena_path, path, what)});
    };
    if (!S_ISREG(info.st_mode) || count != static_cast<ssize_t>(head.size())) {
        return damaged(Code::kDamaged, "it is too short, or no regular file");
    }
    if (header.magic.load(std::memory_order_relaxed) != kArenaMagic) {  // relaxed: a private copy
        return damaged(Code::kDamaged, check_layout(header));
    }
    if (const std::string what = check_layout(header); !what.empty()) return damaged(Code::kIncompatible, what);
    if (const std::string what = check_header(header, bytes); !what.empty()) return damaged(Code::kDamaged, what);
    if (header.store_id != metadata.id) return damaged(Code::kDamaged, "it belongs to another store");
    auto mapping = Mapping::map(descriptor.release(), bytes, metadata.arena_path);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    return OpenedArena{std::move(*mapping), path, metadata.arena_path, ""};
}

// A nameless file in `dir`, filled and mapped.
Result<Mapping> build_arena(int descriptor, const std::string& name, const std::string& where, std::uint64_t bytes,
                            const Options& options, const StoreId& id, const std::string& store_path,
                            FillArena fill) {
    if (::ftruncate(descriptor, static_cast<off_t>(bytes)) != 0) {
        const int cause = errno;
        ::close(descriptor);
        return failed(fmt::format("cannot make arena {} {} bytes long", name, bytes), cause);
    }
    auto mapped = Mapping::map(descriptor, bytes, name);
    if (!mapped) return mapped;
    const ArenaPlan plan = plan_arena(bytes);
    if (const int cause = mapped->allocate(0, plan.block_bits_at); cause != 0) {
        return tl::unexpected(
            Error{code_of(cause),
                  fmt::format("cannot allocate {} bytes for the tables of arena {}: {}; {}", plan.block_bits_at,
                              name, std::strerror(cause), advice_for_space(where)),
                  cause});
    }
    ArenaHeader& header = mapped->header();
    header.signature = layout_signature();
    header.layout = layout_words();
    header.store_id = id;
    header.arena_bytes = bytes;
    header.page_count = plan.page_count;
    header.slots_at = plan.slots_at;
    header.used_at = plan.used_at;
    header.real_at = plan.real_at;
    header.tables_at = plan.tables_at;
    header.classes_at = plan.classes_at;
    header.partial_at = plan.partial_at;
    header.block_bits_at = plan.block_bits_at;
    header.pages_at = plan.pages_at;
    // What keys leave unused at their ends must stay small beside the whole.
    const std::uint64_t most = std::max<std::uint64_t>(std::bit_floor(bytes / kLeastSegmentsAnArena), 64 << 10);
    header.max_segment_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(options.max_segment_bytes, most));
    header.first_segment_bytes = std::min(options.first_segment_bytes, header.max_segment_bytes);
    header.created_unix_s = static_cast<std::uint64_t>(::time(nullptr));
    std::memcpy(header.store_path.data(), store_path.data(), store_path.size());
    if (::getrandom(&header.hash_seed, sizeof header.hash_seed, 0) < 0) header.hash_seed = header.created_unix_s;
    header.epoch.store(1, std::memory_order_relaxed);  // relaxed: published by the magic
    if (auto filled = fill(*mapped, options); !filled) {
        if (filled.error().code == Code::kNoSpace) filled.error().message += "; " + advice_for_space(where);
        return tl::unexpected(std::move(filled.error()));
    }
    header.magic.store(kArenaMagic, std::memory_order_release);  // pairs with check_layout: all above is seen
    return mapped;
}

// A file that has no name yet, so that a crash leaves none behind. Where the file system cannot do that (NFS,
// Lustre) it has a hidden temporary name until it is linked or given up.
class NamelessFile {
public:
    NamelessFile(const std::string& dir, unsigned mode) : descriptor_(open_in(dir, mode, &temporary_)) {
        cause_ = descriptor_.get() < 0 ? errno : 0;
        if (cause_ == 0) ::fchmod(descriptor_.get(), mode);  // whatever the umask
    }
    NamelessFile(const NamelessFile&) = delete;
    NamelessFile& operator=(const NamelessFile&) = delete;
    ~NamelessFile() {
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
    }

    [[nodiscard]] int cause() const noexcept { return cause_; }  // errno of the creation, 0 if it worked
    [[nodiscard]] int get() const noexcept { return descriptor_.get(); }
    [[nodiscard]] int release() noexcept { return descriptor_.release(); }

    // Gives the file, open as `descriptor`, its name; 0 or an errno (EEXIST: somebody was quicker).
    [[nodiscard]] int link(int descriptor, const std::string& to) const {
        const std::string from = temporary_.empty() ? fmt::format("/proc/self/fd/{}", descriptor) : temporary_;
        return ::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
    }

private:
    static int open_in(const std::string& dir, unsigned mode, std::string* temporary) {
        const int nameless = ::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
        if (nameless >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return nameless;
        *temporary = dir + "/.shoal-XXXXXX";
        const int named = ::mkostemp(temporary->data(), O_CLOEXEC);
        if (named < 0) temporary->clear();
        return named;
    }

    std::string temporary_;
    Descriptor descriptor_;
    int cause_ = 0;
};

Result<void> publish_metadata(const std::string& path, const Metadata& metadata, unsigned mode) {
    const NamelessFile file(path, mode);
    if (file.cause() != 0) return failed("cannot write in store directory " + path, file.cause());
    const std::string text = print_metadata(metadata);
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return failed("cannot write " + metadata_path(path), errno == 0 ? ENOSPC : errno);
    }
    if (const int cause = file.link(file.get(), metadata_path(path)); cause != 0) {
        return failed("cannot create " + metadata_path(path), cause);
    }
    return {};
}

// One try to create; kSystem with EEXIST or kNotFound when another creator or a destroyer was quicker.
Result<OpenedArena> create(const std::string& path, const Options& options, FillArena fill) {
    auto place = choose_place(options, path);
    if (!place) return tl::unexpected(std::move(place.error()));
    Metadata metadata;
    if (::getrandom(metadata.id.data(), metadata.id.size(), 0) != static_cast<ssize_t>(metadata.id.size())) {
        return failed("getrandom", errno);
    }
    std::error_code ignored;
    const std::string dir = std::filesystem::absolute(place->dir, ignored).lexically_normal().string();
    metadata.arena_path = dir + (dir.back() == '/' ? "shoal-" : "/shoal-") + id_text(metadata.id);
    if (metadata.arena_path.find('\n') != std::string::npos) {
        return tl::unexpected(Error{Code::kInvalidArgument, "the arena's folder has a newline in its name"});
    }
    sweep_leftovers(path, dir);
    NamelessFile file(dir, options.mode);
    if (file.cause() != 0) return failed("cannot create an arena in " + dir, file.cause());
    auto mapping =
        build_arena(file.release(), metadata.arena_path, dir, place->bytes, options, metadata.id, path, fill);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    if (const int cause = begin_creation(mapping->descriptor()); cause != 0)
        return failed("cannot lock the arena", cause);
    if (const int cause = file.link(mapping->descriptor(), metadata.arena_path); cause != 0) {
        return failed("cannot create arena " + metadata.arena_path, cause);
    }
    if (auto published = publish_metadata(path, metadata, options.mode); !published) {
        ::unlink(metadata.arena_path.c_str());
        return tl::unexpected(std::move(published.error()));
    }
    finish_creation(mapping->descriptor());
    return OpenedArena{std::move(*mapping), path, metadata.arena_path, place->note};
}

}  // namespace

Result<OpenedArena> attach_existing(const std::string& path) {
    auto whole = absolute_path(path);
    if (!whole) return tl::unexpected(std::move(whole.error()));
    for (int turn = 0;; ++turn) {
        auto metadata = read_metadata(*whole);
        if (!metadata) return tl::unexpected(std::move(metadata.error()));
        if (!*metadata) {
            return tl::unexpected(Error{Code::kNotFound, fmt::format("there is no store at {}", *whole), ENOENT});
        }
        auto opened = open_arena(*whole, **metadata);
        if (opened || opened.error().code != Code::kArenaGone || turn == kRaceTurns) return opened;
        // Gone, or destroyed between our two looks: then the metadata is gone or another now.
        auto again = read_metadata(*whole);
        if (again && *again && (*again)->id == (*metadata)->id) return opened;
    }
}

Result<OpenedArena> open_or_create(const std::string& path, const Options& options, FillArena fill) {
    auto whole = absolute_path(path);
    if (!whole) return tl::unexpected(std::move(whole.error()));
    for (int turn = 0;; ++turn) {
        auto attached = attach_existing(*whole);
        if (attached || attached.error().code != Code::kNotFound) return attached;
        if (auto sized = arena_bytes_for(options, 0); !sized) return tl::unexpected(std::move(sized.error()));
        const unsigned directory_mode = (options.mode | (options.mode >> 2 & 0111)) & 0777;
        const bool made = ::mkdir(whole->c_str(), directory_mode) == 0;
        if (!made && errno == ENOENT) {
            return tl::unexpected(Error{
                Code::kInvalidArgument,
                fmt::format("cannot make store directory {}: the folder above it does not exist", *whole), ENOENT});
        }
        if (!made && errno != EEXIST) return failed("cannot make store directory " + *whole, errno);
        if (made) ::chmod(whole->c_str(), directory_mode);  // whatever the umask
        auto created = create(*whole, options, fill);
        if (created) return created;
        if (made) ::rmdir(whole->c_str());  // fails where another creator has got further: then it is theirs
        int cause = created.error().system_errno;
        // A directory that a destroyer has just removed under us answers EPERM on some file systems.
        if (cause == EPERM && !std::filesystem::exists(*whole)) cause = ENOENT;
        if ((cause != EEXIST && cause != ENOENT) || turn == kRaceTurns) return created;
        if (cause == ENOENT && !std::filesystem::exists(std::filesystem::path(*whole).parent_path()))
            return created;
        if (cause == ENOENT && !options.arena_dir.empty() && !std::filesystem::exists(options.arena_dir))
            return created;
    }
}

Result<OpenedArena> create_in_memory(const Options& options, FillArena fill) {
    auto bytes = arena_bytes_for(options, ~0ULL);
    if (!bytes) return tl::unexpected(std::move(bytes.error()));
    const int file = ::memfd_create("shoal", MFD_CLOEXEC);
    if (file < 0) return failed("memfd_create", errno);
    StoreId id{};
    if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
        const int cause = errno;
        ::close(file);
        return failed("getrandom", cause);
    }
    auto mapping = build_arena(file, "in memory", "the machine's memory", *bytes, options, id, "", fill);
    if (!mapping) return tl::unexpected(std::move(mapping.error()));
    return OpenedArena{std::move(*mapping), "", "", ""};
}

Result<void> destroy_store(const std::string& path) {
    auto whole = absolute_path(path);
    if (!whole) return tl::unexpected(std::move(whole.error()));
    // The metadata goes first, by a rename: of several who destroy one has it, and it is that store, whichever is
    // there at this moment, that is destroyed. From here on an open starts clean.
    StoreId unique{};
    if (::getrandom(unique.data(), unique.size(), 0) != static_cast<ssize_t>(unique.size())) {
        return failed("getrandom", errno);
    }
    const std::string aside = *whole + "/" + std::string(kDestroyedPrefix) + id_text(unique);
    if (::rename(metadata_path(*whole).c_str(), aside.c_str()) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return tl::unexpected(Error{Code::kNotFound, fmt::format("there is no store at {}", *whole), ENOENT});
        }
        return failed("cannot remove " + metadata_path(*whole), errno);
    }
    // Damaged metadata names no arena: then there is none to remove.
    if (const auto metadata = read_metadata_file(aside); metadata && *metadata) {
        if (auto opened = open_arena(*whole, **metadata)) {
            // release: who sees the bit comes after the destroy; read by Epochs::enter
            opened->mapping.header().epoch.fetch_or(kDestroyedBit, std::memory_order_release);
        }
        if (::unlink((*metadata)->arena_path.c_str()) != 0 && errno != ENOENT) {
            return failed("cannot remove arena " + (*metadata)->arena_path, errno);
        }
    }
    if (auto metadata = read_metadata_file(aside); metadata && *metadata) {
        sweep_leftovers(*whole, (*metadata)->arena_path.substr(0, (*metadata)->arena_path.rfind('/')));
    }
    if (::unlink(aside.c_str()) != 0 && errno != ENOENT) return failed("cannot remove " + aside, errno);
    if (::rmdir(whole->c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT) {
        return failed("cannot remove store directory " + *whole, errno);
    }
    return {};
}

}  // namespace shoal
