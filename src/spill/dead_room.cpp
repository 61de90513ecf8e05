#include "spill/dead_room.hpp"

#include <algorithm>
#include <iterator>

namespace shoal {

// I1.
DeadRoom::OfFile& DeadRoom::of_file(std::uint32_t number, const File& file) {
    OfFile& known = files_[number];
    if (known.file != file) {
        known = {};
        known.file = file;
    }
    return known;
}

void DeadRoom::note_bundle(std::uint32_t number, const File& file, Range bundle, std::uint64_t live_bytes) {
    OfFile& known = of_file(number, file);
    if (known.bundles.size() >= kMostBundles) known.bundles.clear();
    known.bundles.emplace(bundle.begin, Bundle{bundle.end, live_bytes});
}

DeadRoom::Range DeadRoom::leave_bundle(std::uint32_t number, std::uint64_t begin, std::uint64_t live_bytes,
                                       bool checkpointed) noexcept {
    const auto known = files_.find(number);
    if (known == files_.end()) return {};
    const auto bundle = known->second.bundles.find(begin);
    if (bundle == known->second.bundles.end()) return {};
    bundle->second.left -= std::min(bundle->second.left, live_bytes);
    const Range dead{begin, bundle->second.end};
    const bool is_dead = bundle->second.left == 0 && !checkpointed;
    if (is_dead || checkpointed) known->second.bundles.erase(bundle);
    return is_dead ? dead : Range{};
}

DeadRoom::Range DeadRoom::add(std::uint32_t number, const File& file, Range dead, std::uint64_t block_bytes) {
    OfFile& known = of_file(number, file);
    if (known.ranges.size() >= kMostRanges) known.ranges.clear();
    Range all = dead;
    auto next = known.ranges.lower_bound(dead.begin);
    if (next != known.ranges.begin()) {
        const auto before = std::prev(next);
        if (before->second == dead.begin) {
            all.begin = before->first;
            known.ranges.erase(before);
        }
    }
    if (next != known.ranges.end() && next->first == dead.end) {
        all.end = next->second;
        known.ranges.erase(next);
    }
    known.ranges.emplace(all.begin, all.end);
    // Those that `dead` has a part of: the others were given back before.
    const auto down = [&](std::uint64_t at) { return at / block_bytes * block_bytes; };
    const auto up = [&](std::uint64_t at) { return down(at + block_bytes - 1); };
    return {std::max(up(all.begin), down(dead.begin)), std::min(down(all.end), up(dead.end))};
}

}  // namespace shoal
