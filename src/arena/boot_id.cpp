#include "arena/boot_id.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

namespace shoal {

BootId this_boot_id() noexcept {
    const int file = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (file < 0) return {};
    std::array<char, 64> text{};
    const ssize_t count = ::read(file, text.data(), text.size());
    ::close(file);
    BootId id{};
    std::size_t filled = 0;
    std::string_view rest(text.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
    while (filled < id.size() && rest.size() >= 2) {  // 8-4-4-4-12 hex digits
        if (rest.front() == '-') rest.remove_prefix(1);
        if (std::from_chars(rest.data(), rest.data() + 2, id[filled], 16).ptr != rest.data() + 2) return {};
        filled += 1;
        rest.remove_prefix(2);
    }
    return filled == id.size() ? id : BootId{};
}

bool is_of_another_boot(const BootId& boot_id) noexcept {
    if (boot_id == BootId{}) return false;
    const BootId now = this_boot_id();
    return now != BootId{} && now != boot_id;
}

}  // namespace shoal
