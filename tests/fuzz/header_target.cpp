// An arena whose header is overwritten, attached to and used.
//
// Input: pieces, each an offset in the header (2 bytes), a length (1) and that many bytes.
#include <algorithm>
#include <cstring>

#include "arena/plan.hpp"
#include "victim.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace shoal_fuzz;
    Victim& victim = Victim::instance();
    victim.restore();
    for (const std::uint8_t* at = data; data + size - at > 3;) {
        const std::size_t offset = static_cast<std::size_t>(at[0] | at[1] << 8) % sizeof(shoal::ArenaHeader);
        std::size_t count = std::min<std::size_t>(at[2], static_cast<std::size_t>(data + size - at - 3));
        count = std::min(count, sizeof(shoal::ArenaHeader) - offset);
        std::memcpy(victim.bytes() + offset, at + 3, count);
        at += 3 + count;
    }
    alignas(shoal::ArenaHeader) std::byte copy[sizeof(shoal::ArenaHeader)];
    std::memcpy(copy, victim.bytes(), sizeof copy);
    const auto& header = *reinterpret_cast<const shoal::ArenaHeader*>(copy);
    (void)shoal::check_layout(header);
    for (const std::uint64_t bytes :
         {std::uint64_t{0}, victim.size(), header.arena_bytes, std::uint64_t{1} << 44}) {
        if (bytes <= 1ULL << 44) (void)shoal::check_header(header, bytes);
    }
    use_everything(victim.path());
    return 0;
}
