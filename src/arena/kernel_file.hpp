// Files of the kernel, as those in /proc and /sys. Header only, as arena/group_memory.hpp is.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

namespace shoal {

// The whole of the file; empty where it cannot be read.
[[nodiscard]] inline std::string text_of(const std::string& path) {
    std::string text;
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return text;
    std::array<char, 4096> part{};
    for (ssize_t got = ::read(file, part.data(), part.size()); got > 0;
         got = ::read(file, part.data(), part.size())) {
        text.append(part.data(), static_cast<std::size_t>(got));
    }
    ::close(file);
    return text;
}

}  // namespace shoal
