// A file that has no name yet, so that a crash leaves none behind. Where the file system cannot do that (NFS,
// Lustre) it has a hidden temporary name until it is linked or given up.
//
// Thread safety: none; one creator has it. A crash leaves nothing, or that hidden name.
#pragma once

#include <string>

#include "store/access.hpp"
#include "store/descriptor.hpp"

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
    [[nodiscard]] int release() noexcept { return descriptor_.release(); }

    // Gives the file, open as `descriptor`, its name in the same directory; 0 or an errno (EEXIST: somebody was
    // quicker).
    [[nodiscard]] int link(int descriptor, const std::string& name) const;

private:
    int directory_;
    std::string temporary_;
    Descriptor descriptor_;
    int cause_ = 0;
};

}  // namespace shoal
