// The folder that a job fills: hidden beside its final place until it is whole, then renamed.
//
// The hidden folder `.NAME.shoal-XXXXXX` is locked (flock) while its job lives. The lock goes with the last process
// of the job, so whoever makes a folder for the same place knows an abandoned one by its free lock, and removes it.
// A crash leaves that and nothing else: the final place is untouched until publish(), which is one rename (an
// exchange where something is replaced). Thread safety: none.
#pragma once

#include <sys/types.h>

#include <string>

#include "shuffle/failure.hpp"

namespace shoal::shuffling {

class OutputFolder {
public:
    // Prepares a folder to become `path`, whose parent must exist. If something is there: an empty folder is
    // replaced, another one only by `force`, anything else is a failure.
    [[nodiscard]] static Outcome<OutputFolder> prepare(const std::string& path, bool force);
    OutputFolder(OutputFolder&& other) noexcept;
    OutputFolder& operator=(OutputFolder&&) = delete;
    ~OutputFolder();  // removes what was not published

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }  // absolute, the final one
    [[nodiscard]] const std::string& parent() const noexcept { return parent_; }

    // Puts the folder where it belongs. On a failure the final place is as it was.
    [[nodiscard]] Outcome<void> publish();

private:
    OutputFolder() = default;
    void remove_abandoned() const;
    [[nodiscard]] Outcome<void> make_hidden();

    std::string parent_;
    std::string name_;
    std::string path_;
    std::string hidden_;  // absolute; empty when there is nothing to remove
    bool force_ = false;
    mode_t mode_ = 0;
    FileDescriptor fd_;
};

}  // namespace shoal::shuffling
