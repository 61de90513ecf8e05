// Look-ups of many keys at once: a group goes through the stages together, so that its cache misses overlap.
//
//   hash, entry  →  bucket  →  chain
//
// Each stage has asked for the line that the next one reads (after the staged look-ups of "cuckoo++" and of MICA).
//
// Thread safety: an object is one thread's, inside an epoch. A crash leaves nothing.
#pragma once

#include <array>

#include "arena/prefetch.hpp"
#include "store/impl.hpp"

namespace shoal {

class GroupLookUp {
public:
    static constexpr std::size_t kKeys = 32;  // in flight: more than a core has outstanding misses

    explicit GroupLookUp(StoreImpl& store) noexcept : store_(store) {}

    std::array<KeyRef, kKeys> refs;
    std::array<ArenaOffset, kKeys> chains;  // null: no such key

    // Finds the chains of the first `count` of refs, erased or not (Index::Which::kFirst).
    void find(ArenaOffset tree, std::size_t count) noexcept {
        const Index& index = store_.index_;
        for (std::size_t at = 0; at < count; ++at) {
            if (refs[at].handle == nullptr) prefetch_to_read(index.second_entry(tree, refs[at].hash));
        }
        for (std::size_t at = 0; at < count; ++at) {
            if (refs[at].handle != nullptr) continue;
            prefetch_to_read(&index.leaf_for(tree, refs[at].hash).slots[home_slot(refs[at].hash)]);
        }
        for (std::size_t at = 0; at < count; ++at) {
            const KeyRef& ref = refs[at];
            chains[at] = ref.handle != nullptr ? store_.find_chain(ref, tree, Index::Which::kFirst)
                                               : index.candidate(tree, ref.hash);
            if (!is_null(chains[at])) prefetch_to_read(store_.mapping_.at<Chain>(chains[at]));
        }
        for (std::size_t at = 0; at < count; ++at) {
            const KeyRef& ref = refs[at];
            if (ref.handle != nullptr) continue;
            if (is_null(chains[at]) || !store_.mapping_.at<Chain>(chains[at])->has_key(ref.hash, ref.bytes)) {
                chains[at] = index.find(tree, ref.bytes, ref.hash, Index::Which::kFirst);
            }
        }
    }

private:
    StoreImpl& store_;
};

}  // namespace shoal
