// An arena of which some words are overwritten, attached to and used in every way.
//
// Input: records of 12 bytes, each a word and what it becomes: region, index (2), kind, value (8).
#include <cstring>

#include "victim.hpp"

namespace {

using namespace shoal_fuzz;

constexpr std::size_t kRecordBytes = 12;
constexpr std::size_t kMostRecords = 32;

std::uint64_t value_of(unsigned kind, std::uint64_t before, std::uint64_t value, const Victim& victim) {
    const auto& objects = victim.objects();
    const std::uint64_t object = objects[value % objects.size()];
    switch (kind % 8) {
        case 0:
            return value;
        case 1:
            return object;  // another object, in a word for one
        case 2:
            return object | (value >> 56 & 7);  // and the flags of such words
        case 3:
            return (before & 0xffff'0000'0000'003fULL) | object;  // a slot of a leaf keeps its tag
        case 4:
            return before ^ 1ULL << (value % 64);
        case 5:
            return before + (value & 0xff) - 128;
        case 6:
            return victim.size() - (value & 0xffff);  // near the end
        default:
            return ~0ULL << (value % 64);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Victim& victim = Victim::instance();
    victim.restore();
    for (std::size_t record = 0; record < kMostRecords && (record + 1) * kRecordBytes <= size; ++record) {
        const std::uint8_t* at = data + record * kRecordBytes;
        const auto& region = victim.words()[at[0] % victim.words().size()];
        const std::uint64_t word = region[static_cast<std::size_t>(at[1] | at[2] << 8) % region.size()];
        std::uint64_t value = 0;
        std::uint64_t before = 0;
        std::memcpy(&value, at + 4, sizeof value);
        std::memcpy(&before, victim.bytes() + word, sizeof before);
        const std::uint64_t after = value_of(at[3], before, value, victim);
        std::memcpy(victim.bytes() + word, &after, sizeof after);
    }
    use_everything(victim.path());
    return 0;
}
