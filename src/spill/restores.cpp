#include "spill/restores.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>

#include <fmt/format.h>

#include "arena/descriptor.hpp"
#include "arena/format_version.hpp"
#include "arena/summed_text.hpp"
#include "arena/system_failure.hpp"
#include "spill/checkpoint_name.hpp"
#include "spill/file_table.hpp"

namespace shoal {
namespace {

constexpr std::string_view kEnding = ".spill";
constexpr std::size_t kNumberDigits = 4;

// Takes a number without leading zeroes, and the text behind it, off the front.
bool take_number(std::string_view* rest, std::string_view behind, std::uint64_t* number) {
    const char* end = rest->data() + rest->size();
    const auto read = std::from_chars(rest->data(), end, *number);
    const auto digits = static_cast<std::size_t>(read.ptr - rest->data());
    if (read.ec != std::errc{} || rest->front() == '0' || rest->substr(digits, behind.size()) != behind)
        return false;
    rest->remove_prefix(digits + behind.size());
    return true;
}

// Of 1 there was no version and no store.meta in the text.
constexpr std::uint64_t kRestoresVersion = 2;
constexpr std::string_view kRestoresWords = "shoal restores";

// One sector's write, so that a power failure leaves all of it or nothing; a torn one counts as none.
std::string print(const std::string& id_text, const NewestRestore& restore) {
    return with_sum(fmt::format("{} {} {} {:020} {:020} {:020}\n", kRestoresWords, kRestoresVersion, id_text,
                                restore.number, restore.meta.inode, restore.meta.born_ns));
}
std::string print_before(const std::string& id_text, std::uint64_t restore) {
    return with_sum(fmt::format("{} {} {:020}\n", kRestoresWords, id_text, restore));
}

// Takes a number off the front, and the space before it. 0 where there is none: then the text is not as printed.
std::uint64_t take_padded(std::string_view* rest) {
    std::uint64_t number = 0;
    if (rest->starts_with(' ')) rest->remove_prefix(1);
    const auto read = std::from_chars(rest->data(), rest->data() + rest->size(), number);
    rest->remove_prefix(static_cast<std::size_t>(read.ptr - rest->data()));
    return number;
}

}  // namespace

std::optional<SpillFileName> spill_file_name(std::string_view text, const std::string& id_text) {
    const std::string prefix = spill_name_prefix(id_text);
    if (!text.starts_with(prefix) || !text.ends_with(kEnding)) return std::nullopt;
    text.remove_prefix(prefix.size());
    SpillFileName name;
    if (text.front() == 'r') {
        text.remove_prefix(1);
        if (!take_number(&text, "-", &name.restore) || name.restore > kMostRestores) return std::nullopt;
    }
    const auto read = std::from_chars(text.data(), text.data() + text.size(), name.number);
    const auto digits = static_cast<std::size_t>(read.ptr - text.data());
    if (read.ec != std::errc{} || digits != kNumberDigits || text.substr(digits) != kEnding ||
        name.number >= kSpillFiles) {
        return std::nullopt;
    }
    return name;
}

std::string restores_path(const std::string& folder, const std::string& id_text) {
    return fmt::format("{}/{}{}", folder, spill_name_prefix(id_text), kRestoresName);
}

bool belongs_with(const struct stat& own, const struct stat& info) noexcept {
    constexpr mode_t kGroupMay = S_IRGRP | S_IWGRP;
    const bool shared = (own.st_mode & kGroupMay) == kGroupMay && info.st_gid == own.st_gid;
    return info.st_uid == own.st_uid || shared;
}

Result<std::uint64_t> next_restore(const std::string& folder, const std::string& id_text, const CheckOwner& check) {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), &::closedir);
    if (stream == nullptr) return failed("cannot look into " + folder, errno);
    const auto said = newest_restore(folder, id_text, check);
    if (!said) return tl::unexpected(said.error());
    std::uint64_t newest = said->number;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string_view name = static_cast<const char*>(entry->d_name);
        std::uint64_t restore = 0;
        if (const auto file = spill_file_name(name, id_text)) restore = file->restore;
        if (const auto checkpoint = checkpoint_name(name, id_text)) restore = restore_of_sync(checkpoint->number);
        struct stat info {};
        if (restore <= newest || ::fstatat(::dirfd(stream.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !check(info, std::string(name))) {
            continue;
        }
        newest = std::min(restore, kMostRestores);
    }
    if (newest >= kMostRestores) {
        return tl::unexpected(
            Error{Code::kDamaged, fmt::format("files of the store in {} bear {} as the number of a "
                                              "restore, which cannot be",
                                              folder, newest)});
    }
    return newest + 1;
}

Result<NewestRestore> newest_restore(const std::string& folder, const std::string& id_text,
                                     const CheckOwner& check) {
    const NewestRestore none;
    const std::string path = restores_path(folder, id_text);
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    struct stat info {};
    if (file.get() < 0 || ::fstat(file.get(), &info) != 0 || (check && !check(info, path))) return none;
    std::array<char, 512> text{};
    const ssize_t count = ::pread(file.get(), text.data(), text.size(), 0);
    if (count <= 0) return none;
    const std::string_view all(text.data(), static_cast<std::size_t>(count));
    const std::uint64_t version = version_of(all, kRestoresWords);
    if (version > kRestoresVersion) return is_of_later_version(path, version, kRestoresVersion);
    const std::size_t id_at = all.find(id_text);
    if (id_at == std::string_view::npos) return none;
    std::string_view rest = all.substr(id_at + id_text.size());
    NewestRestore restore;
    restore.number = take_padded(&rest);
    if (restore.number > kMostRestores) return none;
    if (print_before(id_text, restore.number) == all) return restore;
    restore.meta.inode = take_padded(&rest);
    restore.meta.born_ns = take_padded(&rest);
    return print(id_text, restore) == all ? restore : none;
}

Result<void> say_restore(const std::string& folder, const std::string& id_text, const NewestRestore& restore,
                         const std::function<int(int descriptor)>& grant) {
    const std::string path = restores_path(folder, id_text);
    constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    const auto cannot = [&](int cause) { return failed("cannot write " + path, cause); };
    int made = ::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0600);
    if (made >= 0 && grant) {
        if (const int cause = grant(made); cause != 0) {
            ::close(made);
            return cannot(cause);
        }
    }
    if (made < 0 && errno == EEXIST) made = ::open(path.c_str(), kFlags);
    const Descriptor file(made);
    if (file.get() < 0) return cannot(errno);
    const std::string text = print(id_text, restore);
    errno = 0;
    if (::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
        return cannot(errno == 0 ? ENOSPC : errno);
    }
    if (::ftruncate(file.get(), static_cast<off_t>(text.size())) != 0 || ::fsync(file.get()) != 0) {
        return cannot(errno);
    }
    return {};
}

}  // namespace shoal
