#include "store/access.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <vector>

#include <fmt/format.h>

namespace shoal {
namespace {

constexpr mode_t kOthers = 0007;

std::optional<gid_t> group_number(const std::string& group) {
    gid_t number = 0;
    const char* end = group.data() + group.size();
    const auto [stop, error] = std::from_chars(group.data(), end, number);
    if (error == std::errc{} && stop == end) return number;
    std::vector<char> names(1024);
    for (;;) {
        struct group entry {};
        struct group* found = nullptr;
        const int cause = ::getgrnam_r(group.c_str(), &entry, names.data(), names.size(), &found);
        if (cause == ERANGE) {
            names.resize(2 * names.size());
            continue;
        }
        if (cause != 0 || found == nullptr) return std::nullopt;
        return found->gr_gid;
    }
}

bool is_member(gid_t group) {
    if (group == ::getegid()) return true;
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
    if (count < 0) return false;
    groups.resize(static_cast<std::size_t>(count));
    return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace

std::string user_text(uid_t user) {
    std::vector<char> names(1024);
    for (;;) {
        struct passwd entry {};
        struct passwd* found = nullptr;
        const int cause = ::getpwuid_r(user, &entry, names.data(), names.size(), &found);
        if (cause == ERANGE) {
            names.resize(2 * names.size());
            continue;
        }
        if (cause != 0 || found == nullptr) return fmt::format("user {}", user);
        return fmt::format("{} (user {})", found->pw_name, user);
    }
}

Result<Access> Access::from(const Options& options) {
    Access access;
    access.any_owner_ = options.any_owner;
    if (options.group.empty()) return access;
    access.group_ = group_number(options.group);
    if (!access.group_) {
        return tl::unexpected(Error{Code::kInvalidArgument, fmt::format("there is no group {}", options.group)});
    }
    if (!is_member(*access.group_)) {
        return tl::unexpected(
            Error{Code::kPermission, fmt::format("{} is not in group {}: it cannot share a store within it",
                                                 user_text(::geteuid()), options.group)});
    }
    return access;
}

int Access::grant_file(int descriptor) const noexcept {
    if (group_ && ::fchown(descriptor, static_cast<uid_t>(-1), *group_) != 0) return errno;
    return ::fchmod(descriptor, group_ ? 0660 : 0600) == 0 ? 0 : errno;
}

int Access::grant_directory(int descriptor) const noexcept {
    if (group_ && ::fchownat(descriptor, ".", static_cast<uid_t>(-1), *group_, 0) != 0) return errno;
    // What is made in it belongs to the group too.
    return ::fchmodat(descriptor, ".", group_ ? 02770 : 0700, 0) == 0 ? 0 : errno;
}

int grant_like(int model, int descriptor) noexcept {
    struct stat info {};
    if (::fstat(model, &info) != 0) return errno;
    const bool shared = (info.st_mode & 0060) != 0;
    if (shared && ::fchown(descriptor, static_cast<uid_t>(-1), info.st_gid) != 0) return errno;
    return ::fchmod(descriptor, shared ? 0660 : 0600) == 0 ? 0 : errno;
}

Result<void> Access::check_file(const struct stat& info, const std::string& what) const {
    return check(info, what, kOthers);
}

Result<void> Access::check_directory(const struct stat& info, const std::string& what) const {
    return check(info, what, S_IWOTH);  // what lies in it is checked by itself
}

Result<void> Access::check(const struct stat& info, const std::string& what, mode_t closed) const {
    const uid_t caller = ::geteuid();
    if (any_owner_ || info.st_uid == caller) return {};
    const auto refused = [&](const std::string& why) {
        return tl::unexpected(Error{
            Code::kPermission,
            fmt::format("{} belongs to {}, not to {}: {}", what, user_text(info.st_uid), user_text(caller), why),
            EPERM});
    };
    if (!group_) {
        return refused(
            "share the store within a group (Options::group, --group), or, if you trust its owner, take any "
            "owner's "
            "(any_owner, --any-owner)");
    }
    if (info.st_gid != *group_) return refused(fmt::format("and it is of group {}, not {}", info.st_gid, *group_));
    if ((info.st_mode & closed) != 0) {
        return refused(fmt::format("and its mode {:o} lets in others than its group", info.st_mode & 07777U));
    }
    return {};
}

}  // namespace shoal
