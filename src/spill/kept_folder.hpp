// A folder that a process goes on finding while the folder, or one above it, is renamed or moved.
//
// Thread safety: const functions. A crash leaves nothing.
#pragma once

#include <array>
#include <string>

#include "arena/file_identity.hpp"
#include "arena/store_home.hpp"

namespace shoal {

class KeptFolder {
public:
    KeptFolder() noexcept = default;
    explicit KeptFolder(std::string path);
    KeptFolder(const KeptFolder&) = delete;
    KeptFolder& operator=(KeptFolder&& other) noexcept;
    ~KeptFolder();

    // Its path at this moment; the one that it was opened by where another cannot be told, since there is no /proc
    // or the program has closed the descriptor. Needs no memory. Cost: two system calls.
    struct Path {
        std::array<char, 2 * kStorePathBytes> text{};
    };
    [[nodiscard]] Path path() const noexcept;

private:
    std::string opened_as_;
    int descriptor_ = -1;
    FileIdentity folder_;
};

}  // namespace shoal
