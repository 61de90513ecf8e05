#include "spill/kept_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace shoal {

KeptFolder::KeptFolder(std::string path)
    : opened_as_(std::move(path)),
      descriptor_(::open(opened_as_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      folder_(descriptor_) {}

KeptFolder& KeptFolder::operator=(KeptFolder&& other) noexcept {
    std::swap(opened_as_, other.opened_as_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(folder_, other.folder_);
    return *this;
}

KeptFolder::~KeptFolder() {
    if (folder_.is_of(descriptor_)) ::close(descriptor_);
}

KeptFolder::Path KeptFolder::path() const noexcept {
    Path opened;
    opened_as_.copy(opened.text.data(), opened.text.size() - 1);
    struct stat named {};
    if (::stat(opened.text.data(), &named) == 0 && folder_.is_of(named)) return opened;
    if (!folder_.is_of(descriptor_)) return opened;
    std::array<char, 64> link{};
    std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", descriptor_);
    Path now;
    const ssize_t length = ::readlink(link.data(), now.text.data(), now.text.size() - 1);
    if (length <= 0 || ::stat(now.text.data(), &named) != 0 || !folder_.is_of(named)) return opened;
    return now;
}

}  // namespace shoal
