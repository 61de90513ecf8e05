// Whose files a process takes, and to whom it gives its own.
//
// The default is the caller alone. Others' files are taken when the caller asked for it: those of one group that
// are closed to everybody else, or anybody's. Only the file in hand counts (fstat of a descriptor), never a name;
// and no symbolic link is followed in the last step of a path. The folders above are the caller's to choose.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>

#include <shoal/error.hpp>
#include <shoal/options.hpp>

namespace shoal {

class Access {
public:
    // kInvalidArgument: there is no such group; kPermission: the caller is not in it.
    [[nodiscard]] static Result<Access> from(const Options& options);

    [[nodiscard]] bool shares() const noexcept { return group_.has_value(); }

    // Gives what this process has just made its group and mode, whatever the umask. 0 or an errno.
    [[nodiscard]] int grant_file(int descriptor) const noexcept;
    [[nodiscard]] int grant_directory(int descriptor) const noexcept;  // also one opened with O_PATH

    // kPermission where the file belongs to somebody that was not asked for; names the owner, and says what to do.
    // `what` says which file it is.
    [[nodiscard]] Result<void> check_file(const struct stat& info, const std::string& what) const;
    [[nodiscard]] Result<void> check_directory(const struct stat& info, const std::string& what) const;

private:
    [[nodiscard]] Result<void> check(const struct stat& info, const std::string& what, mode_t closed) const;

    std::optional<gid_t> group_;
    bool any_owner_ = false;
};

// Gives a file that this process has just made the group and mode of another. 0 or an errno.
[[nodiscard]] int grant_like(int model, int descriptor) noexcept;

// "alice (user 1000)", or "user 1000" where it has no name.
[[nodiscard]] std::string user_text(uid_t user);

}  // namespace shoal
