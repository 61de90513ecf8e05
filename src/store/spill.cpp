// What a store does on its way to files: spilling at once, and codecs of keys.
#include "arena/system_failure.hpp"
#include "spill/codec_word.hpp"
#include "store/impl.hpp"

namespace shoal {

Result<std::uint64_t> StoreImpl::spill(std::uint64_t bytes) {
    if (!files_.enabled()) return tl::unexpected(does_not_spill());
    if (auto lost = out_of_reach()) return tl::unexpected(std::move(*lost));
    if (auto lost = lost_arena()) return tl::unexpected(std::move(*lost));
    const Spiller::Spilled spilled = spiller_.spill(bytes);
    if (spilled.error != 0) return failed("cannot write spill files in " + files_.folder(), spilled.error);
    return spilled.block_bytes;
}

Result<void> StoreImpl::set_codec(const KeyRef& key, const Codec& codec) {
    if (!files_.enabled()) return tl::unexpected(does_not_spill());
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    const ArenaOffset chain = find_chain(key, index_.tree(), Index::Which::kLive);
    if (is_null(chain)) return tl::unexpected(not_found());
    log_change(mapping_, key.hash);
    Atomic<std::uint64_t>& identity = mapping_.at<Chain>(chain)->identity;
    std::uint64_t now = identity.load(std::memory_order_relaxed);  // relaxed, both: it stands for itself
    // A failed turn means that another set a codec.
    while (!identity.compare_exchange_weak(now, identity_of(generation_of(now), said_codec(codec)),
                                           std::memory_order_relaxed, std::memory_order_relaxed)) {
    }
    return {};
}

}  // namespace shoal
