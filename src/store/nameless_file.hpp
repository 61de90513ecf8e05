// A file that has no name yet, so that a crash leaves none behind. Where the file system cannot do that (NFS,
// Lustre), or there is no /proc by which to name it, it has a hidden name of its own until it is linked or given
// up, and a byte of it is locked for so long (arena/presence.hpp): so what a crash leaves is told from what
// somebody is at.
//
// Thread safety: none; one creator has it. remove_abandoned: beside anything. A crash leaves nothing, or the hidden
// name, which remove_abandoned takes away.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "arena/descriptor.hpp"
#include "arena/lock_description.hpp"
#include "store/access.hpp"

namespace shoal {

class NamelessFile {
public:
    // In the directory open as `directory`, with the group and mode of `access`.
    NamelessFile(int directory, const Access& access);
    NamelessFile(const NamelessFile&) = delete;
    NamelessFile& operator=(const NamelessFile&) = delete;
    ~NamelessFile();

    [[nodiscard]] int cause() const noexcept { return cause_; }  // errno of the creation, 0 if it worked
    [[nodiscard]] int get() const noexcept { return descriptor_.get(); }
    // The hidden name's path, where it has one, in the directory of that path; else empty.
    [[nodiscard]] std::string hidden_path(const std::string& directory) const;

    // Gives the file its name in the same directory; 0 or an errno (EEXIST: another creator was quicker).
    [[nodiscard]] int link(const std::string& name);

private:
    void give_up_hidden_name() noexcept;

    int directory_;
    std::string hidden_name_;  // empty where it has none
    LockDescription lock_;     // of the hidden name
    Descriptor descriptor_;
    int cause_ = 0;
};

struct Abandoned {
    std::uint64_t bytes;  // that it takes in its file system
    int cause;            // errno of a removal that failed, or 0
};

// Removes `name` in the directory if it is a hidden name whose creator is dead; nothing where it is not. A dry run
// only says so.
std::optional<Abandoned> remove_abandoned(int directory, const std::string& name, bool dry_run = false) noexcept;

}  // namespace shoal
