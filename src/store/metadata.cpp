#include "store/metadata.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/descriptor.hpp"
#include "arena/format_version.hpp"
#include "arena/paths_inside.hpp"
#include "arena/summed_text.hpp"
#include "arena/system_failure.hpp"

namespace shoal {
namespace {

constexpr std::uint64_t kVersion = 2;
constexpr std::string_view kFirstLine = "shoal store 2\n";
constexpr std::string_view kFirstLineBefore =
    "shoal store 1\n";  // has no line "file", and no path that begins with .

// Takes "name value\n" off the front.
bool take_line(std::string_view* rest, std::string_view name, std::string_view* value) {
    const std::size_t end = rest->find('\n');
    if (end == std::string_view::npos || rest->substr(0, name.size()) != name || end < name.size() + 1 ||
        (*rest)[name.size()] != ' ') {
        return false;
    }
    *value = rest->substr(name.size() + 1, end - name.size() - 1);
    rest->remove_prefix(end + 1);
    return true;
}

// Takes "inode born_ns".
bool take_identity(std::string_view text, MetaIdentity* identity) {
    const char* end = text.data() + text.size();
    const auto inode = std::from_chars(text.data(), end, identity->inode);
    if (inode.ec != std::errc{} || inode.ptr == end || *inode.ptr != ' ') return false;
    const auto born = std::from_chars(inode.ptr + 1, end, identity->born_ns);
    return born.ec == std::errc{} && born.ptr == end &&
           text == fmt::format("{} {}", identity->inode, identity->born_ns);
}

std::uint64_t hash_of_path(const std::string& path) { return XXH3_64bits(path.data(), path.size()); }

}  // namespace

Result<StoreId> new_store_id(const std::string& path) {
    StoreId id{};
    std::uint64_t hash = hash_of_path(path);
    for (std::size_t at = kPathDigits / 2; at-- > 0; hash >>= 8) id[at] = static_cast<std::uint8_t>(hash);
    constexpr std::size_t kRandomBytes = sizeof(StoreId) - kPathDigits / 2;
    if (::getrandom(id.data() + kPathDigits / 2, kRandomBytes, 0) != static_cast<ssize_t>(kRandomBytes)) {
        return failed("getrandom", errno);
    }
    return id;
}

bool is_id_for(std::string_view id_digits, const std::string& path) {
    return id_digits.substr(0, kPathDigits) == fmt::format("{:016x}", hash_of_path(path));
}

StoreId arena_id_of(const std::string& arena_path) noexcept {
    StoreId id{};
    if (arena_path.size() < 2 * id.size()) return id;
    const char* digits = arena_path.data() + arena_path.size() - 2 * id.size();
    for (std::size_t at = 0; at < id.size(); ++at)
        std::from_chars(digits + 2 * at, digits + 2 * at + 2, id[at], 16);
    return id;
}

std::string print_metadata(const Metadata& metadata, const std::string& path) {
    std::string text =
        fmt::format("{}id {}\narena {}\n", kFirstLine, id_text(metadata.id), seen_from(path, metadata.arena_path));
    if (!metadata.spill_folder.empty()) text += fmt::format("spill {}\n", seen_from(path, metadata.spill_folder));
    text += fmt::format("file {} {}\n", metadata.file.inode, metadata.file.born_ns);
    return with_sum(std::move(text));
}

Result<Metadata> parse_metadata(std::string_view text, const std::string& path) {
    const auto damaged = [](std::string what) { return tl::unexpected(Error{Code::kDamaged, std::move(what)}); };
    const bool is_before = text.starts_with(kFirstLineBefore);
    if (!text.starts_with(kFirstLine) && !is_before) {
        const std::uint64_t version = version_of(text, "shoal store");
        if (version > kVersion) return is_of_later_version("it", version, kVersion);
        return damaged("its first line is not \"shoal store 2\"");
    }
    std::string_view rest = text.substr(kFirstLine.size());
    std::string_view id;
    std::string_view arena;
    std::string_view spill;
    std::string_view file;
    std::string_view checksum;
    if (!take_line(&rest, "id", &id) || !take_line(&rest, "arena", &arena)) {
        return damaged("its lines are not id, arena, xxh3");
    }
    const bool spills = take_line(&rest, "spill", &spill);
    Metadata metadata;
    if (!is_before && (!take_line(&rest, "file", &file) || !take_identity(file, &metadata.file))) {
        return damaged("its line of the file is none");
    }
    const std::uint64_t sum = XXH3_64bits(text.data(), text.size() - rest.size());
    if (!take_line(&rest, "xxh3", &checksum) || !rest.empty() || checksum != fmt::format("{:016x}", sum)) {
        return damaged("its checksum does not match");
    }
    const auto is_path = [&](std::string_view seen) {
        return seen.starts_with('/') || (!is_before && (seen == "." || seen.starts_with("./")));
    };
    if (!is_path(arena) || (spills && !is_path(spill))) {
        return damaged(spills && is_path(arena) ? "its spill folder's path cannot be"
                                                : "its id or its arena's path cannot be");
    }
    metadata.arena_path = from_there(path, std::string(arena));
    metadata.spill_folder = spills ? from_there(path, std::string(spill)) : std::string();
    if (id.size() != 2 * metadata.id.size()) {
        return damaged("its id or its arena's path cannot be");
    }
    for (std::size_t index = 0; index < metadata.id.size(); ++index) {
        const char* digits = id.data() + 2 * index;
        if (std::from_chars(digits, digits + 2, metadata.id[index], 16).ptr != digits + 2) {
            return damaged("its id is not hexadecimal");
        }
    }
    if (id_text(metadata.id) != id) {
        return damaged("its id is not in lower case");
    }
    // destroy removes that file: it must not be talked into removing another.
    if (!metadata.arena_path.ends_with("/shoal-" + id_text(metadata.id))) {
        return damaged("its arena's name is not that of its id");
    }
    return metadata;
}

Result<Metadata> read_metadata(int descriptor, const std::string& path, const Access& access) {
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) return failed(path, errno);
    if (auto checked = access.check_file(info, path); !checked) return tl::unexpected(std::move(checked.error()));
    if (!S_ISREG(info.st_mode)) {
        return tl::unexpected(Error{Code::kDamaged, fmt::format("{} is no regular file", path)});
    }
    std::string text(kMetadataMaxBytes, 0);
    std::size_t filled = 0;
    while (filled < text.size()) {
        const ssize_t count =
            ::pread(descriptor, text.data() + filled, text.size() - filled, static_cast<off_t>(filled));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed(path, errno);
        if (count == 0) break;
        filled += static_cast<std::size_t>(count);
    }
    text.resize(filled);
    auto metadata = parse_metadata(text, path.substr(0, path.rfind('/')));
    if (!metadata) {
        Error& error = metadata.error();
        error.message =
            fmt::format("{}{}: {}", path, error.code == Code::kDamaged ? " is damaged" : "", error.message);
    }
    return metadata;
}

Result<std::optional<Metadata>> read_metadata_file(int directory, const std::string& name, const std::string& path,
                                                   const Access& access) {
    const Descriptor descriptor(
        ::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    if (descriptor.get() < 0) {
        if (errno == ENOENT) return std::optional<Metadata>{};
        return failed(path, errno);
    }
    return read_metadata(descriptor.get(), path, access).map([](Metadata&& metadata) {
        return std::optional(std::move(metadata));
    });
}

}  // namespace shoal
